//! Random programs, told in any order and with anything missing.

use nexios::CancelReason;

use super::*;
use crate::model::{Bucket, JobList};

const KINDS: [WorkKind; 15] = [
    WorkKind::Request,
    WorkKind::Background,
    WorkKind::Group,
    WorkKind::Child,
    WorkKind::ParallelChild,
    WorkKind::Daemon,
    WorkKind::Item,
    WorkKind::Finalizer,
    WorkKind::PoolJob,
    WorkKind::Race,
    WorkKind::Candidate,
    WorkKind::Hedge,
    WorkKind::Attempt,
    WorkKind::Computation,
    WorkKind::Custom,
];

const OUTCOMES: [Outcome<'static>; 9] = [
    Outcome::Completed,
    Outcome::Failed(None),
    Outcome::Failed(Some("an error")),
    Outcome::Panicked("a panic"),
    Outcome::Cancelled(CancelReason::OwnerDropped),
    Outcome::TimedOut,
    Outcome::Won,
    Outcome::Lost,
    Outcome::Refused,
];

const UPDATES: [Update<'static>; 11] = [
    Update::Progress { done: 7, total: 3 },
    Update::Progress { done: 0, total: 0 },
    Update::Message("a message"),
    Update::Message(""),
    Update::Cancelling(CancelReason::Deadline),
    Update::Attempt(3),
    Update::Waiting {
        name: "daily totals",
        on: Some(WorkId(1)),
    },
    Update::Resumed,
    Update::Adopted,
    Update::Attribute {
        name: "status",
        value: "no number",
    },
    Update::SlowPoll(Duration::MAX),
];

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.throw(of.len())]
    }
}

/// Looks at every page and at what each shows.
fn look_everywhere(feed: &Feed) {
    let store = &feed.store;
    let running = store.running(&Default::default()).content;
    for work in &running.work {
        assert!(work.state.lives());
        if let Some(parent) = work.parent {
            assert!(running.total > 200 || running.work.iter().any(|work| work.id == parent));
        }
        store.request(work.id);
    }
    for route in store.requests().content.routes {
        for bucket in Bucket::ALL {
            let samples = store.samples(&route.route, bucket).content.samples;
            assert_eq!(samples.len(), route.counts[bucket]);
            for sample in samples {
                let request = store
                    .request(sample.id)
                    .expect("a sample has its request")
                    .content;
                assert!(request.spans.len() <= 64 + running.total);
                let trace = store.trace(sample.id).expect("and its trace");
                assert_eq!(trace.trace_events.len(), request.spans.len() + 1);
            }
        }
    }
    for page in [
        serde_json::to_string(&store.status("", "ready")),
        serde_json::to_string(&store.background(JobList::default())),
        serde_json::to_string(&store.races()),
        serde_json::to_string(&store.lints()),
    ] {
        assert!(page.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_told_is_shown_without_a_panic_and_forgotten_when_it_ends() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let feed = Feed::new(MEBIBYTE / 4);
        let mut live: Vec<WorkId> = Vec::new();
        let mut all: Vec<WorkId> = vec![WorkId(9_999)];
        for step in 0..600 {
            match dice.throw(8) {
                0..=2 => {
                    let parent = (dice.throw(4) > 0).then(|| dice.pick(&all));
                    let name = ["GET /", "src/dashboard.rs:40:9", "search"][dice.throw(3)];
                    let id = match dice.throw(2) {
                        0 => feed.made(dice.pick(&KINDS), name, parent),
                        _ => feed.owned(dice.pick(&KINDS), name, "owner", parent),
                    };
                    live.push(id);
                    all.push(id);
                }
                3..=4 => feed.store.started(dice.pick(&all)),
                5 => feed.store.updated(dice.pick(&all), &dice.pick(&UPDATES)),
                6 if !live.is_empty() => {
                    let ended = live.swap_remove(dice.throw(live.len()));
                    feed.end(ended, &dice.pick(&OUTCOMES));
                    // A second end is no end.
                    feed.end(ended, &dice.pick(&OUTCOMES));
                }
                _ => advance(Duration::from_micros(dice.throw(900_000) as u64)).await,
            }
            if step % 150 == 0 {
                look_everywhere(&feed);
            }
        }
        let mut ids: Vec<u64> = feed
            .store
            .running(&Default::default())
            .content
            .work
            .iter()
            .map(|work| work.id)
            .collect();
        let mut expected: Vec<u64> = live.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "seed {seed}");
        live.drain(..)
            .for_each(|id| feed.end(id, &Outcome::Completed));
        look_everywhere(&feed);
        assert_eq!(feed.store.memory.live(), 0, "seed {seed}");
        assert!(
            feed.store.memory.used() <= MEBIBYTE / 4 + 16 * 1024,
            "seed {seed}"
        );
    }
}
