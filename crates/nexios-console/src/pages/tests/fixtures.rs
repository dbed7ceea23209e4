//! Something of everything that a page can show.

use std::collections::BTreeMap;

use nexios::{CancelReason, LazyState, observe::WorkKind};

use crate::{access::Access, model::*, mount::Place, pages::viewer::Viewer};

/// A moment that all texts are counted from.
pub(super) const THEN: u64 = 1_795_348_288_000;

pub(super) fn place(up: &str) -> Place {
    Place {
        base: up.to_owned(),
        home: format!("{up}../nexios"),
    }
}

/// As the script is told of it: times that go on have no text, so that the look is the same tomorrow.
pub(super) fn viewer(place: &Place) -> Viewer<'_> {
    Viewer {
        place,
        access: Access::Act,
        acts: true,
        scripted: true,
    }
}

pub(super) fn status() -> Status {
    Status {
        service: "newsroom".into(),
        phase: "ready",
        uptime_ms: 274_271.0,
        in_flight: 42,
        p50_ms: Some(38.1),
        p99_ms: Some(412.0),
        cancelled_per_minute: 3,
        shed_per_minute: 0,
        lints: 1,
        observed: 912_233,
        dropped_spans: 0,
    }
}

pub(super) fn work(id: u64, kind: WorkKind, name: &str) -> Work {
    Work {
        id,
        parent: None,
        link: None,
        kind,
        name: name.into(),
        owner: None,
        state: State::Running,
        made_unix_ms: THEN,
        age_ms: 1900.4,
        waited_ms: 0.0,
        waits_since_unix_ms: None,
        waiting_for: None,
        progress: None,
        attempt: 1,
        reason: None,
        error: None,
        can_cancel: false,
    }
}

pub(super) fn progress(done: u64, total: u64, message: &str) -> Option<Progress> {
    Some(Progress {
        done: Some(done),
        total: Some(total),
        message: Some(Sensitive::new(message)),
    })
}

pub(super) fn live() -> Running {
    let export = Work {
        progress: progress(510, 1000, "510 sent"),
        can_cancel: true,
        ..work(7, WorkKind::Background, "export-csv")
    };
    let request = work(88, WorkKind::Request, "GET /quote/{id}");
    let job = Work {
        parent: Some(88),
        owner: Some("thumbnails".into()),
        state: State::Waiting,
        waiting_for: Some("a thread of \"thumbnails\"".into()),
        ..work(912, WorkKind::PoolJob, "src/upload.rs:40:9")
    };
    let evil = Work {
        parent: Some(88),
        state: State::Cancelling,
        reason: Some(CancelReason::ClientDisconnected),
        ..work(913, WorkKind::Child, "<img src=x onerror=alert(1)>")
    };
    Running {
        total: 1204,
        page: 2,
        pages: 7,
        work: vec![export, request, job, evil],
    }
}

pub(super) fn span(
    id: u64,
    parent: u64,
    kind: WorkKind,
    name: &str,
    times: (f64, f64, f64),
) -> Span {
    Span {
        id,
        parent,
        kind,
        name: name.into(),
        owner: None,
        state: State::Completed,
        reason: None,
        error: None,
        made_ms: times.0,
        started_ms: Some(times.1),
        ended_ms: Some(times.2),
        critical: false,
        winner: None,
        saved_ms: None,
        after_answer: false,
    }
}

/// A client that left while a race had been won and a pool kept the rest waiting.
pub(super) fn cancelled() -> Request {
    let critical = |span: Span| Span {
        critical: true,
        ..span
    };
    let cancelled = |span: Span, reason| Span {
        state: State::Cancelled,
        reason: Some(reason),
        ..span
    };
    let left = CancelReason::ClientDisconnected;
    Request {
        id: 77,
        route: "GET /quote/{id}".into(),
        uri: Some(Sensitive::new("/quote/42?user=ada")),
        status: Some(499),
        state: State::Cancelled,
        reason: Some(left),
        error: None,
        started_unix_ms: THEN,
        duration_ms: 812.0,
        cleanup_ms: Some(43.0),
        deadline_ms: Some(2000.0),
        response_bytes: Some(24_613),
        dropped_spans: 3,
        spans: vec![
            critical(cancelled(
                span(78, 77, WorkKind::Group, "quote", (1.0, 1.0, 812.0)),
                left,
            )),
            span(79, 78, WorkKind::Child, "fetch-price", (2.0, 2.0, 98.0)),
            critical(Span {
                winner: Some(82),
                ..span(80, 78, WorkKind::Race, "best-carrier", (2.0, 2.0, 340.0))
            }),
            Span {
                state: State::Lost,
                saved_ms: Some(1200.0),
                ..span(81, 80, WorkKind::Candidate, "carrier-a", (2.0, 2.0, 340.0))
            },
            critical(Span {
                state: State::Won,
                ..span(
                    82,
                    80,
                    WorkKind::Candidate,
                    "carrier-b",
                    (152.0, 152.0, 340.0),
                )
            }),
            critical(Span {
                owner: Some("thumbnails".into()),
                error: Some(Sensitive::new("no space left")),
                ..cancelled(
                    span(
                        83,
                        78,
                        WorkKind::PoolJob,
                        "render-pdf",
                        (345.0, 560.0, 843.0),
                    ),
                    left,
                )
            }),
            Span {
                state: State::Panicked,
                ..span(84, 78, WorkKind::Child, "stock", (345.0, 345.0, 400.0))
            },
            cancelled(
                span(85, 78, WorkKind::Child, "prices", (345.0, 345.0, 400.0)),
                CancelReason::SiblingFailed,
            ),
            Span {
                after_answer: true,
                ..span(
                    86,
                    78,
                    WorkKind::Finalizer,
                    "release",
                    (813.0, 813.0, 855.0),
                )
            },
        ],
    }
}

pub(super) fn grid() -> Requests {
    let mut counts = Counts::default();
    counts[Bucket::Lt10ms] = 10;
    counts[Bucket::Ge5s] = 1;
    counts[Bucket::Failed] = 4;
    let route = Route {
        route: "GET /quote/{id}".into(),
        running: 12,
        counts,
        total: 4711,
    };
    Requests {
        buckets: Bucket::ALL,
        routes: vec![route],
    }
}

pub(super) fn samples() -> Samples {
    let sample = Sample {
        id: 77,
        route: "GET /quote/{id}".into(),
        status: Some(499),
        state: State::Cancelled,
        reason: Some(CancelReason::ClientDisconnected),
        started_unix_ms: THEN,
        duration_ms: 812.0,
    };
    Samples {
        samples: vec![sample],
    }
}

pub(super) fn pool_list() -> Pools {
    let history = (0..120_u64).map(|second| {
        let queued = (second % 40).saturating_sub(24) as usize / 2;
        (
            THEN + second * 1000,
            2 - usize::from(second % 7 == 0),
            queued,
        )
    });
    let full = Pool {
        id: 3,
        name: "thumbnails".into(),
        state: PoolState::Saturated,
        threads: 2,
        running: 2,
        queued: 9,
        wait_p50_ms: 41.0,
        wait_p95_ms: 220.0,
        completed: 12_017,
        shed: 4,
        cancelled: 0,
        oldest_running_ms: None,
        oldest_running: None,
        history: history.collect(),
    };
    let free = Pool {
        id: 4,
        name: "sqlite".into(),
        state: PoolState::Free,
        threads: 8,
        running: 1,
        queued: 0,
        shed: 0,
        oldest_running: None,
        history: Vec::new(),
        ..full
    };
    Pools {
        pools: vec![full, free],
    }
}

pub(super) fn tasks() -> Background {
    let failed = Work {
        state: State::Failed,
        attempt: 3,
        error: Some(Sensitive::new("the mail server said no")),
        ..work(9, WorkKind::Background, "receipts")
    };
    let retry = BackgroundTask {
        work: failed,
        registry: Some("background".into()),
        eta_ms: None,
        ended_unix_ms: Some(THEN),
        elapsed_ms: 8_400.0,
    };
    Background {
        tasks: vec![retry],
        schedules: vec![Schedule {
            name: "nightly digest".into(),
            next_unix_ms: Some(THEN),
        }],
        jobs: job_list(),
    }
}

/// A job that has failed once, and then was handed back.
pub(super) fn job(id: u64, kind: &str, state: &'static str) -> Job {
    let attempt = |number, pid, end, error| JobAttempt {
        number,
        started_unix_ms: THEN,
        ended_unix_ms: Some(THEN + 2_500),
        host: "press-1".into(),
        pid,
        end: Some(end),
        error,
    };
    let error = Some(Sensitive::new("the mail server said <img src=x>"));
    Job {
        id: id.to_string(),
        kind: kind.into(),
        state,
        key: Some(Sensitive::new("weekly")),
        priority: 0,
        created_unix_ms: THEN,
        run_at_unix_ms: THEN,
        ended_unix_ms: None,
        attempt: 2,
        attempts: vec![
            attempt(1, 77, "failed", error.clone()),
            attempt(2, 78, "handed_back", None),
        ],
        progress: progress(3, 10, "3 letters"),
        result: None,
        error,
    }
}

/// One of each kind of row, and a store that is away.
pub(super) fn job_list() -> JobList {
    let completed = Job {
        ended_unix_ms: Some(THEN + 2_500),
        result: Some(Sensitive::new("{\"sent\":12}")),
        error: None,
        ..job(3, "send newsletter", "completed")
    };
    let dead = Job {
        ended_unix_ms: Some(THEN + 2_500),
        ..job(2, "<img src=x onerror=alert(1)>", "dead")
    };
    let scheduled = Job {
        key: None,
        attempt: 0,
        attempts: Vec::new(),
        progress: None,
        error: None,
        ..job(4, "send newsletter", "scheduled")
    };
    JobList {
        has_store: true,
        is_known: true,
        jobs: vec![
            job(7, "send newsletter", "running"),
            job(5, "send newsletter", "retrying"),
            scheduled,
            completed,
            dead,
        ],
        left_out: vec![LeftOut {
            state: "ended".into(),
            before: Some("2".into()),
        }],
        away: Some(Away {
            since_unix_ms: THEN,
            error: Some(Sensitive::new("no such host")),
        }),
    }
}

pub(super) fn lazy_list() -> Lazies {
    let lazy = Lazy {
        id: 9,
        name: "daily totals".into(),
        state: LazyState::Failed,
        is_map: false,
        age_ms: None,
        fresh_for_ms: None,
        hits: 99_102,
        waits: 3,
        misses: 1,
        stale: 0,
        computations: 2,
        failures: 1,
        last_error: Some(LazyError {
            state: State::TimedOut,
            ended_unix_ms: THEN,
        }),
    };
    let fresh = Lazy {
        id: 10,
        name: "geoip".into(),
        state: LazyState::Fresh,
        failures: 0,
        last_error: None,
        ..lazy
    };
    Lazies {
        lazies: vec![lazy, fresh],
    }
}

pub(super) fn race_list() -> Races {
    let wins = BTreeMap::from([("primary".to_owned(), 10), ("replica".to_owned(), 2)]);
    let race = Race {
        name: "search".into(),
        kind: RaceKind::Race,
        calls: 12,
        wins,
        lost_ms: 310.0,
        nobody: 0,
        hedges: None,
        each: Vec::new(),
    };
    let hedges = Some(Hedges {
        started: 2,
        won: 1,
        wasted: 1,
        suppressed: 4,
    });
    let wins = BTreeMap::from([("attempt 1".to_owned(), 40), ("attempt 2".to_owned(), 1)]);
    let hedge = Race {
        name: "replica reads".into(),
        kind: RaceKind::Hedge,
        calls: 42,
        wins,
        lost_ms: 18.0,
        nobody: 1,
        hedges,
        each: Vec::new(),
    };
    Races {
        races: vec![hedge, race],
    }
}

pub(super) fn lint_list() -> Lints {
    let lint = Lint {
        lint: LintKind::QueueTooLong,
        text: "The queue of \"thumbnails\" has 9 jobs and 2 threads.".into(),
        work: None,
        request: None,
        owner: Some("thumbnails".into()),
        since_unix_ms: THEN,
    };
    Lints { lints: vec![lint] }
}

pub(super) fn right_now() -> Now {
    Now {
        stays: vec![
            Stay {
                waits: true,
                what: "a thread of \"thumbnails\"".into(),
                count: 1_204,
                oldest_unix_ms: THEN,
                routes: vec![("POST /<upload>".into(), 1_200), ("GET /".into(), 4)],
            },
            Stay {
                waits: false,
                what: "profile service".into(),
                count: 1,
                oldest_unix_ms: THEN,
                routes: vec![("GET /".into(), 1)],
            },
        ],
        other_stays: 2,
        failing: lazy_list().lazies,
        cancelled: vec![CancelledRequests {
            route: "GET /quote/{id}".into(),
            reason: CancelReason::ClientDisconnected,
            count: 312,
            mean_ms: 702.4,
        }],
        left: vec![LeftOver {
            id: 9,
            kind: WorkKind::Background,
            name: "<index>".into(),
            state: State::Cancelling,
            made_unix_ms: THEN,
        }],
        other_left: 3,
    }
}
