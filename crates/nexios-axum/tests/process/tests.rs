use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::child::{Service, answer, begin, get, send};

type Test = (&'static str, fn());

macro_rules! tests {
    ($($(#[doc = $doc:literal])* fn $name:ident() $body:block)*) => {
        pub(crate) const ALL: &[Test] = &[$((stringify!($name), $name)),*];
        $($(#[doc = $doc])* fn $name() $body)*
    };
}

/// The limit of all scenarios but the patient one, and what starting `kill` and noticing the end may take.
const TOTAL: u64 = 1_500 + 400;

/// What comes sooner is a repeat of the signal before.
const NO_REPEAT: u64 = 150;

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

tests! {
    fn either_signal_ends_it_with_0_after_its_work_and_its_hooks() {
        for (signal, name) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
            let mut service = Service::start("plain");
            let address = service.address();
            assert_eq!(get(address, "/"), (200, "hello".to_owned()));
            assert_eq!(get(address, "/work").1, "started");
            let end = service.stop(signal).expect(0, TOTAL);
            assert_eq!(end.output, "goodbye\n");
            assert!(end.took >= Duration::from_millis(390), "the task takes so long: {end:?}");
            let end = end.logged(&format!("cause=\"{name}\"")).logged("completed=[\"import\"]");
            let phases = ["message=draining", "message=closing", "message=stopped"];
            let places: Vec<_> = phases.iter().map(|phase| end.log.find(phase).expect(&end.log)).collect();
            assert!(places.is_sorted(), "{end:#?}");
            assert!(!end.log.contains("cancelling"), "{end:#?}");
        }
    }

    fn a_failed_startup_hook_ends_it_with_1_and_its_name() {
        let service = Service::start("broken");
        let end = service.ended(Instant::now()).expect(1, 5_000);
        assert_eq!(end.output, "", "it never listened");
        end.logged("error: startup hook \"open database\" failed: the database is away");
    }

    fn a_signal_during_startup_ends_it_at_once() {
        let mut service = Service::start("slow start");
        assert_eq!(service.line(), "starting");
        let end = service.stop("TERM").expect(0, TOTAL);
        assert_eq!(end.output, "");
    }

    fn a_signal_during_startup_ends_it_within_the_limit_of_the_whole() {
        let mut service = Service::start("short limit");
        assert_eq!(service.line(), "starting");
        let end = service.stop("TERM").expect(70, 1_000 + 400).logged("\"task newsletter\"");
        // Else the watchdog has ended it.
        end.logged("message=stopped");
    }

    fn while_draining_new_clients_are_let_in_and_readiness_fails() {
        let mut service = Service::start("patient");
        let address = service.address();
        assert_eq!(get(address, "/readyz").0, 200);
        service.signal("TERM");
        while get(address, "/readyz").0 == 200 {
            pause(5);
        }
        assert_eq!((get(address, "/readyz").0, get(address, "/livez").0, get(address, "/").0), (503, 200, 200));
        pause(NO_REPEAT);
        service.stop("TERM").expect(0, 1_000);
    }

    /// As `timeout` does: to the process, and to its group.
    fn a_signal_that_comes_twice_within_milliseconds_is_one() {
        for _ in 0..4 {
            let mut service = Service::start("plain");
            let address = service.address();
            assert_eq!(get(address, "/work").1, "started");
            let begun = Instant::now();
            service.signals("TERM", 2);
            let end = service.ended(begun).expect(0, TOTAL).logged("completed=[\"import\"]");
            assert!(!end.log.contains("asked to stop once more"), "{end:#?}");
        }
    }

    fn a_second_signal_skips_the_waits_and_cancels_and_a_third_gives_up() {
        let mut service = Service::start("patient");
        let address = service.address();
        let stuck = begin(address, "/stuck");
        assert_eq!(get(address, "/task").1, "started");
        let begun = Instant::now();
        service.signal("INT");
        while get(address, "/readyz").0 == 200 {
            pause(5);
        }
        pause(NO_REPEAT);
        service.signal("INT");
        assert_eq!(answer(stuck).0, 503);
        pause(NO_REPEAT);
        service.signal("TERM");
        let end = service.ended(begun).expect(70, 5_000).logged("asked to stop once more");
        end.logged("\"task newsletter\"");
    }

    /// Everything that could hold it up, at the same time.
    fn the_bound_holds_and_70_names_all_that_was_given_up() {
        let mut service = Service::start("plain");
        let address = service.address();
        let mut events = begin(address, "/events");
        let websocket = "GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut socket = send(address, websocket);
        let mut first = [0; 12];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 101");
        let half = send(address, "GET / HTTP/1.1\r\nhos");
        let stuck = begin(address, "/stuck");
        let closure = begin(address, "/closure");
        assert_eq!(get(address, "/task").1, "started");
        pause(100);
        let end = service.stop("TERM").expect(70, TOTAL).logged("work was given up");
        assert_eq!(end.output, "goodbye\n", "the hooks have their time");
        for name in [
            "\"socket feed\"",
            "\"request GET /stuck\"",
            "\"request GET /closure\"",
            "\"task newsletter\"",
            "\"1 closure on a thread pool\"",
        ] {
            let list = end.log.lines().find(|line| line.contains("work was given up")).unwrap();
            assert!(list.contains(name), "{name} is missing: {list}");
        }
        let list = end.log.lines().find(|line| line.contains("answers were cut off")).unwrap();
        assert!(list.contains("\"stream GET /events\""), "{list}");
        assert_eq!((answer(stuck).0, answer(closure).0), (503, 503));
        let mut ticks = String::new();
        events.read_to_string(&mut ticks).unwrap();
        assert!(ticks.contains("data: tick") && !ticks.ends_with("\r\n0\r\n\r\n"), "{ticks}");
        drop(half);
    }

    fn a_signal_lets_a_slow_request_finish_and_cuts_one_without_an_end_at_the_limit() {
        let mut service = Service::start("graceful shutdown");
        let address = service.address();
        let slow = begin(address, "/slow");
        pause(100);
        service.stop("TERM").expect(0, 1_500);
        assert_eq!(answer(slow).0, 200);

        let mut service = Service::start("graceful shutdown");
        let address = service.address();
        let (slow, forever) = (begin(address, "/slow"), begin(address, "/forever"));
        pause(100);
        let end = service.stop("TERM").expect(70, 2_500 + 400).logged("work was given up");
        end.logged("\"request GET /forever\"");
        assert_eq!((answer(slow).0, answer(forever).0), (200, 503));
    }

    fn a_blocking_closure_of_tokio_does_not_hold_the_process() {
        let mut service = Service::start("plain");
        let address = service.address();
        let _blocking = begin(address, "/blocking");
        pause(100);
        let end = service.stop("TERM").expect(70, TOTAL + 100);
        end.logged("\"request GET /blocking\"").logged("held by blocking code");
    }

    /// No thread of the runtime is left to hear the signal.
    fn handlers_that_hold_every_thread_do_not_hold_the_process() {
        let mut service = Service::start("plain");
        let address = service.address();
        let threads = std::thread::available_parallelism().unwrap().get();
        let _held: Vec<TcpStream> = (0..threads + 2).map(|_| begin(address, "/hold")).collect();
        pause(300);
        // The watchdog waits half a second longer, and a tenth for its line in the log.
        let end = service.stop("TERM").expect(70, TOTAL + 700);
        end.logged("the runtime is held by blocking code").logged("request GET /hold");
    }

    /// A full disk, or a reader that is gone.
    fn a_log_that_cannot_be_written_costs_its_lines_and_nothing_else() {
        let mut service = Service::with_full_disk("usual log");
        let address = service.address();
        for _ in 0..3 {
            assert_eq!(get(address, "/"), (200, "hello".to_owned()));
        }
        assert_eq!(get(address, "/broken").0, 500);
        assert_eq!(get(address, "/work").1, "started");
        let end = service.stop("TERM").expect(0, TOTAL);
        assert_eq!(end.output, "goodbye\n");
        assert!(end.took >= Duration::from_millis(390), "the task was waited for: {end:?}");

        let mut service = Service::with_full_disk("usual log");
        let address = service.address();
        let stuck = begin(address, "/stuck");
        drop(begin(address, "/stuck"));
        assert_eq!(get(address, "/task").1, "started");
        pause(100);
        let end = service.stop("TERM").expect(70, TOTAL);
        assert_eq!(end.output, "goodbye\n");
        assert_eq!(answer(stuck).0, 503);
    }

    /// WEB 2.2 has what a loop that does not wait does with this.
    fn running_out_of_files_neither_ends_nor_spins_the_accept_loop() {
        let mut service = Service::with_files("plain", 40);
        let address = service.address();
        let begun = Instant::now();
        let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
        pause(300);
        let before = service.processor_time();
        pause(500);
        let burnt = service.processor_time() - before;
        assert!(burnt < Duration::from_millis(150), "{burnt:?} in 500 ms");
        drop(clients);
        assert_eq!(get(address, "/"), (200, "hello".to_owned()));
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let end = service.stop("TERM").expect(0, TOTAL).logged("cannot accept connections");
        let lines = end.log.matches("cannot accept connections").count();
        assert!(lines <= 1 + seconds, "{lines} in {seconds} s and a part of one: {end:#?}");
    }

    /// What it does not understand it must not take for a filter, and leave everything out.
    fn this_program_takes_what_cargo_passes_and_refuses_the_rest() {
        let run = |arguments: &[&str]| {
            let this = std::env::current_exe().unwrap();
            let output = std::process::Command::new(this).args(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let one = "either_signal_ends_it_with_0_after_its_work_and_its_hooks";
        let (code, all) = run(&["--list"]);
        assert_eq!(code, Some(0));
        assert!(all.contains(one) && all.lines().count() == ALL.len(), "{all}");
        let (code, but_one) = run(&["--list", "--skip", "either_signal"]);
        assert_eq!(code, Some(0));
        assert!(!but_one.contains(one) && but_one.lines().count() == ALL.len() - 1, "{but_one}");
        assert_eq!(run(&["--list", "--exact", one, "--test-threads", "1", "-q"]), (Some(0), format!("{one}: test\n")));
        // As in a run of all tests of one concept.
        assert_eq!(run(&["nothing_is_called_so"]).0, Some(0));
        // With `--list`: one that is taken for something else must not run this test again.
        let unknown = [&["--list", "--bogus"][..], &["--list", "--skip"], &["--list", "--test-threads"], &["--list", "--skip", ""]];
        for unknown in unknown {
            assert_eq!(run(unknown).0, Some(2), "{unknown:?}");
        }
    }

    fn the_exit_code_is_there_without_our_runtime_too() {
        let mut service = Service::start("own main");
        let address = service.address();
        assert_eq!(get(address, "/"), (200, "hello".to_owned()));
        service.stop("TERM").expect(0, TOTAL);
        let mut service = Service::start("own main");
        let _stuck = begin(service.address(), "/stuck");
        pause(100);
        service.stop("TERM").expect(70, TOTAL).logged("\"request GET /stuck\"");
    }
}
