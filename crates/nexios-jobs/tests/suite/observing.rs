//! What those see who look around.

use std::sync::{Arc, Mutex};

use nexios::observe::{self, Observer, Outcome, Update, Work, WorkId, WorkKind};
use nexios_jobs::{JobContext, JobFailure, JobState, Jobs, Kind, Policy};

const SEEN: Kind<u64, u64> = Kind::new("seen");

/// Remembers what it hears of the jobs of one kind.
#[derive(Default)]
struct Recorder(Mutex<Vec<(WorkId, String)>>);

impl Recorder {
    fn note(&self, id: WorkId, line: impl FnOnce() -> String) {
        let mut lines = self.0.lock().unwrap();
        if lines.iter().any(|(known, _)| *known == id) {
            lines.push((id, line()));
        }
    }
}

impl Observer for Recorder {
    fn made(&self, work: &Work<'_>) {
        if work.name == SEEN.name() {
            assert_eq!(
                (work.kind, work.owner, work.parent),
                (WorkKind::Background, Some("jobs"), None)
            );
            let link = if work.link.is_some() {
                "linked"
            } else {
                "alone"
            };
            self.0
                .lock()
                .unwrap()
                .push((work.id, format!("made {link}")));
        }
    }

    fn updated(&self, id: WorkId, update: &Update<'_>) {
        self.note(id, || format!("{update:?}"));
    }

    fn ended(&self, id: WorkId, outcome: &Outcome<'_>) {
        self.note(id, || format!("{outcome:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_observed_as_background_work_of_its_enqueuer() {
    let recorder = Arc::new(Recorder::default());
    let observing = observe::observe(recorder.clone());
    let jobs = Jobs::memory();
    let handler = |number, job: JobContext| async move {
        job.progress(1, 2);
        if job.attempt() == 1 {
            Err("no")
        } else {
            Ok(number)
        }
    };
    let workers = jobs
        .workers()
        .handle(SEEN, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = observe::custom("enqueuer")
        .run(jobs.enqueue(SEEN, &1))
        .await
        .unwrap();
    job.wait().await.unwrap();
    crate::kit::end(&workers).await;
    drop(observing);
    let lines = recorder.0.lock().unwrap();
    let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "made linked",
            "Progress { done: 1, total: 2 }",
            "Failed(Some(\"no\"))",
            "made linked",
            "Attempt(2)",
            "Progress { done: 1, total: 2 }",
            "Completed",
        ]
    );
}

/// Tells the number of the first job of a kind.
struct Number(Mutex<Option<WorkId>>);

impl Observer for Number {
    fn made(&self, work: &Work<'_>) {
        if work.name == STOPPED.name() {
            self.0.lock().unwrap().get_or_insert(work.id);
        }
    }
}

const STOPPED: Kind<u64, u64> = Kind::new("stopped by its number");

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_as_work_is_not_tried_again() {
    let number = Arc::new(Number(Mutex::default()));
    let observing = observe::observe(number.clone());
    let jobs = Jobs::memory();
    let handler = |_, job: JobContext| async move { Err(format!("{:?}", job.cancelled().await)) };
    let workers = jobs
        .workers()
        .handle(STOPPED, Policy::new(), handler)
        .start()
        .await
        .unwrap();
    let job = jobs.enqueue(STOPPED, &1).await.unwrap();
    let id = loop {
        let seen = *number.0.lock().unwrap();
        match seen {
            Some(id) => break id,
            None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    };
    assert!(observe::cancel(id));
    let ended = job.wait().await;
    assert!(matches!(ended, Err(JobFailure::Cancelled)), "{ended:?}");
    let info = job.status().await.unwrap().unwrap();
    assert_eq!((info.state, info.attempt), (JobState::Cancelled, 1));
    assert!(!observe::cancel(id), "it has ended");
    crate::kit::end(&workers).await;
    drop(observing);
}
