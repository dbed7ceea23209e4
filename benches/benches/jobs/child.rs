//! Workers in a process of their own: this program, started once more.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use nexios_jobs::Jobs;

const URL: &str = "NEXIOS_JOBS_BENCH_WORK";

/// The store that this process is to work for, if it is such a one.
pub(crate) fn asked() -> Option<String> {
    std::env::var(URL).ok()
}

/// Works until it is killed.
pub(crate) async fn work(url: &str) -> anyhow::Result<()> {
    let jobs = Jobs::open(url).await?;
    let _workers = crate::work::start(&jobs).await?;
    std::future::pending().await
}

/// Killed when it is dropped.
pub(crate) struct Child(std::process::Child);

impl Child {
    pub(crate) fn start(url: &str) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .env(URL, url)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// How much of a core it takes.
    pub(crate) async fn processor_share(&self, time: Duration) -> anyhow::Result<f64> {
        let (before, began) = (self.ticks()?, Instant::now());
        tokio::time::sleep(time).await;
        let seconds = (self.ticks()? - before) as f64 / 100.0;
        Ok(seconds / began.elapsed().as_secs_f64())
    }

    /// Hundredths of a second.
    fn ticks(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, rest) = text.rsplit_once(')').context("a name")?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut next = || -> anyhow::Result<u64> { Ok(fields.next().context("a field")?.parse()?) };
        Ok(next()? + next()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
