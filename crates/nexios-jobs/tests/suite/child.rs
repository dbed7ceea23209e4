//! A process of the suite: this test binary, started with its part in the environment.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, OnceLock},
    time::{Duration, SystemTime},
};

use nexios::AsyncLazy;
use nexios_jobs::{Filter, JobContext, JobError, JobFailure, JobState, Jobs, Kind, Policy};
use serde::{Deserialize, Serialize};

/// Writes a line at its start and one at its end, and returns the number of its process.
pub(crate) const MARK: Kind<Mark, u32> = Kind::new("mark");
/// Ends its process.
pub(crate) const ABORT: Kind<(), ()> = Kind::new("abort");
/// What is computed once for all processes.
pub(crate) const DAILY: Kind<(), u64> = Kind::new("daily");
/// Counts to a number, a step in ten milliseconds, and goes on where it was; returns where it began.
pub(crate) const COUNT: Kind<u64, u64> = Kind::new("count");
/// Enqueued by a schedule.
pub(crate) const TICK: Kind<(), ()> = Kind::new("tick");

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) number: u32,
    pub(crate) millis: u64,
    /// Whether it holds its thread.
    pub(crate) holds: bool,
}

const PART: &str = "NEXIOS_JOBS_PART";

/// What a process of the suite does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    pub(crate) lease: Duration,
    pub(crate) play: Play,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Play {
    /// Runs jobs, this many at once, until it is killed.
    Work { concurrency: usize },
    /// Enqueues a job with each of so many keys.
    Race { rounds: u32 },
    /// Has a schedule, by the clock in a file.
    Cron,
    /// Asks for a lazy value again and again, and says when it is another one.
    Lazy,
}

/// A process of the suite, which is killed when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(part: &Part) -> Self {
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["child::process", "--exact", "--nocapture"])
            .env(PART, serde_json::to_string(part).expect("JSON"))
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("a process"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("it has ended");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill").success());
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().expect("it has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Appends one line in one write: what counts is what is in the file.
pub(crate) fn note(folder: &Path, line: &str) {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    file.expect("a file")
        .write_all(format!("{line}\n").as_bytes())
        .expect("room");
}

/// The lines that begin with this word, without it.
pub(crate) fn notes(folder: &Path, word: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(|rest| rest.trim().to_owned()).collect()
}

/// Sets the clock of those that play `Cron`.
pub(crate) fn set_clock(folder: &Path, millis: u64) {
    let fresh = folder.join("clock.new");
    std::fs::write(&fresh, millis.to_string()).expect("room");
    std::fs::rename(fresh, folder.join("clock")).expect("a name");
}

fn clock(folder: &Path) -> SystemTime {
    let text = std::fs::read_to_string(folder.join("clock")).expect("a clock");
    SystemTime::UNIX_EPOCH + Duration::from_millis(text.parse().expect("a number"))
}

/// No test by itself: the other side of [`Process`].
#[test]
fn process() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let part: Part = serde_json::from_str(&part).expect("a part");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(play(part));
}

async fn play(part: Part) {
    let builder = Jobs::builder().lease(part.lease);
    let jobs = builder.open(&part.url).await.expect("a store");
    match part.play {
        Play::Work { concurrency } => {
            work(&jobs, part.folder, concurrency).await;
            std::future::pending::<()>().await;
        }
        Play::Race { rounds } => {
            for round in 0..rounds {
                let task = jobs.task(ABORT).unique(format!("round {round}"));
                let job = task.enqueue(&()).await.expect("a job");
                note(
                    &part.folder,
                    &format!("key {round} {} {}", job.id(), job.was_new()),
                );
            }
        }
        Play::Cron => {
            let folder = part.folder.clone();
            let builder = jobs.workers().cron("* * * * *", TICK, &());
            let builder = builder.cron_clock(move || clock(&folder));
            let _workers = builder.start().await.expect("workers");
            note(&part.folder, "ready");
            std::future::pending::<()>().await;
        }
        Play::Lazy => lazy(jobs, part.folder).await,
    }
}

static STORE: OnceLock<Jobs> = OnceLock::new();
static DAILY_VALUE: LazyLock<AsyncLazy<u64, JobFailure>> = LazyLock::new(|| {
    AsyncLazy::new(|| async {
        let today = STORE.get().expect("a store").task(DAILY).unique("today");
        let job = today.enqueue(&()).await.map_err(JobFailure::Store)?;
        job.wait().await
    })
});

/// As the docs do it: the job looks first whether another one has computed the value.
async fn lazy(jobs: Jobs, folder: PathBuf) {
    let store = STORE.get_or_init(|| jobs);
    let at = folder.clone();
    let compute = move |(), _| {
        let folder = at.clone();
        async move {
            let done = Filter::new().kind(DAILY).key("today");
            let done = store.list(done.state(JobState::Completed).limit(1)).await?;
            if let Some(value) = done.jobs.first().and_then(|job| job.result.clone()) {
                return value.as_u64().ok_or_else(|| JobError::discard("no number"));
            }
            note(&folder, "computed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(notes(&folder, "computed").len() as u64)
        }
    };
    let workers = store.workers().handle(DAILY, Policy::new(), compute);
    let _workers = workers.start().await.expect("workers");
    let _signal = store.reset_everywhere(&DAILY_VALUE, "daily").await;
    let mut last = 0;
    loop {
        let value = DAILY_VALUE.get().await.map(|value| *value);
        let value = value.unwrap_or_default();
        if std::mem::replace(&mut last, value) != value {
            note(&folder, &format!("value {value}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn work(jobs: &Jobs, folder: PathBuf, concurrency: usize) {
    let policy = Policy::new()
        .concurrency(concurrency)
        .backoff(Duration::from_millis(10), Duration::from_millis(10));
    let at = folder.clone();
    let mark = move |mark: Mark, _| {
        let folder = at.clone();
        async move {
            note(&folder, &format!("start {}", mark.number));
            let length = Duration::from_millis(mark.millis);
            if mark.holds {
                std::thread::sleep(length);
            } else {
                tokio::time::sleep(length).await;
            }
            note(&folder, &format!("end {}", mark.number));
            Ok::<_, String>(std::process::id())
        }
    };
    let at = folder.clone();
    let abort = move |(), _| {
        note(&at, "abort");
        std::process::abort();
        #[expect(unreachable_code, reason = "gives the closure its type")]
        async {
            Ok::<(), String>(())
        }
    };
    let count = |to: u64, job: JobContext| async move {
        let first = job.last_progress().map_or(0, |last| last.done);
        for done in first..to {
            tokio::time::sleep(Duration::from_millis(10)).await;
            job.progress(done + 1, to);
        }
        Ok::<_, String>(first)
    };
    let builder = jobs.workers().handle(MARK, policy.clone(), mark);
    let builder = builder.handle(COUNT, policy.clone(), count);
    let builder = builder.handle(ABORT, policy.attempts(2), abort);
    let _workers = builder.start().await.expect("workers");
    note(&folder, "ready");
}
