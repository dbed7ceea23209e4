//! A fresh store of each engine, and what the rules share.

use std::time::Duration;

use nexios::Drain;
use nexios_jobs::{JobHandle, JobInfo, JobState, Jobs, JobsBuilder, Kind, Workers};
use tempfile::TempDir;

/// Echoes its argument.
pub(crate) const ECHO: Kind<u64, u64> = Kind::new("echo");

pub(crate) const NOW: Drain = Drain {
    wait: Duration::ZERO,
    cancel: Duration::ZERO,
};

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) struct Kit {
    place: Place,
}

enum Place {
    Memory(Jobs),
    Sqlite(TempDir),
    #[cfg(feature = "postgres")]
    Postgres {
        url: String,
        folder: TempDir,
    },
}

impl Kit {
    pub(crate) fn memory() -> Self {
        Self {
            place: Place::Memory(Jobs::memory()),
        }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            place: Place::Sqlite(folder),
        }
    }

    /// None on a machine without Postgres.
    #[cfg(feature = "postgres")]
    pub(crate) async fn postgres() -> Option<Self> {
        let url = crate::server::database().await?;
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::Postgres { url, folder };
        Some(Self { place })
    }

    /// The store as a process that has just started opens it.
    pub(crate) async fn jobs(&self) -> Jobs {
        self.open(Jobs::builder()).await
    }

    pub(crate) async fn open(&self, builder: JobsBuilder) -> Jobs {
        match &self.place {
            Place::Memory(jobs) => jobs.clone(),
            _ => builder.open(&self.url()).await.expect("a store"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::Memory(_) => panic!("memory has no URL"),
            Place::Sqlite(folder) => format!("sqlite:{}/jobs/jobs.db", folder.path().display()),
            #[cfg(feature = "postgres")]
            Place::Postgres { url, .. } => url.clone(),
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        match &self.place {
            Place::Memory(_) => panic!("memory has no folder"),
            Place::Sqlite(folder) => folder.path(),
            #[cfg(feature = "postgres")]
            Place::Postgres { folder, .. } => folder.path(),
        }
    }
}

/// Looks until the job is in this state.
pub(crate) async fn until<O>(job: &JobHandle<O>, state: JobState) -> JobInfo {
    for _ in 0..3000 {
        let info = job.status().await.expect("a look").expect("a job");
        if info.state == state {
            return info;
        }
        assert!(!info.state.is_final(), "{info:?} is not {state}");
        tokio::time::sleep(millis(10)).await;
    }
    panic!("the job did not become {state}");
}

/// Waits until the workers run so many jobs, which are theirs in the store a moment before.
pub(crate) async fn begun(workers: &Workers, count: usize) {
    for _ in 0..3000 {
        if workers.stats().running == count {
            return;
        }
        tokio::time::sleep(millis(10)).await;
    }
    panic!("{:?}", workers.stats());
}

/// Waits until the workers have counted ends: whoever waits for a job may hear of its end before its own process does.
pub(crate) async fn counted(workers: &Workers, completed: u64, failed: u64) {
    for _ in 0..3000 {
        let stats = workers.stats();
        if (stats.completed, stats.failed) == (completed, failed) {
            return;
        }
        tokio::time::sleep(millis(10)).await;
    }
    panic!("{:?}", workers.stats());
}

/// Ends workers that have nothing left to do.
pub(crate) async fn end(workers: &Workers) {
    let report = workers.drain(NOW).await;
    assert!(report.abandoned.is_empty(), "{report:?}");
}
