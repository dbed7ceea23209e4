//! How much the console takes, by the allocator: a binary of its own, as that is counted for the whole process.

use std::alloc::System;

use cap::Cap;
use nexios::observe::{self, Outcome, Update};
use nexios_console::Console;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const MEBIBYTE: usize = 1 << 20;

/// Pieces of work that live at the same time.
const CROWD: usize = 20_000;

/// A million events: routes and works without number, long names and texts, crowds that live, and many that end at once.
#[test]
fn a_million_events_take_no_more_than_the_console_was_given() {
    let given = 4 * MEBIBYTE;
    // The metrics have a bound of their own, by what lives.
    let metrics = if cfg!(feature = "prometheus") {
        CROWD * 256 + MEBIBYTE
    } else {
        0
    };
    let console = Console::builder()
        .dangerously_public()
        .memory(given)
        .build();
    let long = "é".repeat(2_000);
    let before = ALLOCATOR.allocated();
    let mut most = 0;
    let mut crowd = Vec::new();
    let mut events = 0_u64;
    for round in 0..50_000_u64 {
        // What lives is held by the guards, which are not the console's.
        if round % 10_000 == 0 {
            let guards = ALLOCATOR.allocated();
            crowd = (0..CROWD).map(|_| observe::custom("crowd")).collect();
            most = most
                .max(ALLOCATOR.allocated() - before - (crowd.capacity() * size_of_val(&crowd[0])));
            events += 3 * CROWD as u64;
            crowd.clear();
            crowd.shrink_to_fit();
            assert!(
                ALLOCATOR.allocated() <= guards + given / 2 + metrics,
                "what has ended is still there"
            );
        }
        let request = observe::request(format!("GET /{round}/{long}"));
        request.update(&Update::Attribute {
            name: "uri",
            value: &long,
        });
        request.scope(|| {
            for _ in 0..4 {
                observe::custom("part").end(&Outcome::Failed(Some(&long)));
            }
        });
        request.end(&Outcome::Panicked(&long));
        events += 15;
        most = most.max(ALLOCATOR.allocated() - before);
    }
    println!("{events} events, {most} bytes at most");
    assert!(events > 1_000_000);
    assert!(most > given / 2, "{most} is too little to say anything");
    assert!(most <= given + metrics, "{most}");
    drop((console, crowd));
}
