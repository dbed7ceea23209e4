//! What readers did, day by day.

mod sums;

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use axum::body::Bytes;
use nexios::{AsyncLazy, LazyError, LazyStats, Overload, PoolError, ThreadPool};
use nexios_axum::Problem;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use sums::{DatasetError, Day};

/// The soft limit: numbers of a day are looked at for a day.
const FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// When a day ends and its numbers are complete: midnight UTC.
pub(crate) const END_OF_DAY: &str = "0 0 * * *";

/// From the soft to the hard limit: old sums are served while new ones are computed.
const STALE_FOR: Duration = Duration::from_secs(60 * 60);

/// How many readings may wait for the one that is under way.
const WAITING: usize = 4;

/// The sums of every day, of the whole site and of each page.
///
/// One reading of the dataset gives them all, so whatever pages are asked for, and whether they exist, it is read
/// once.
pub(crate) struct Analytics {
    daily: AsyncLazy<Daily, AnalyticsError>,
    /// Reads the dataset; one thread, because a second reading at the same time is one too many.
    thread: ThreadPool,
}

/// Sums as they are sent: encoded once, not for each request.
pub(crate) struct Daily {
    site: Bytes,
    pages: HashMap<String, Bytes>,
    completed: Instant,
}

impl Daily {
    /// The sums of one page, or of the whole site; `None` if there is no such page.
    pub(crate) fn of(&self, page: Option<&str>) -> Option<Bytes> {
        match page {
            None => Some(self.site.clone()),
            Some(page) => self.pages.get(page).cloned(),
        }
    }

    pub(crate) fn age(&self) -> Duration {
        self.completed.elapsed()
    }
}

impl Analytics {
    pub(crate) fn new(dataset: PathBuf) -> Self {
        let builder = ThreadPool::builder()
            .name("analytics")
            .threads(1)
            .queue(WAITING);
        let thread = builder.overload(Overload::Shed).build();
        let computing = thread.clone();
        let daily = AsyncLazy::builder(move || compute(computing.clone(), dataset.clone()))
            .name("daily totals")
            .ttl(FRESH_FOR)
            .stale_while_revalidate(STALE_FOR);
        Analytics {
            daily: daily.build(),
            thread,
        }
    }

    /// The sums as they are known, or computed anew if `refresh` says so.
    pub(crate) async fn daily(
        &self,
        refresh: bool,
    ) -> Result<Arc<Daily>, LazyError<AnalyticsError>> {
        if refresh {
            self.daily.refresh().await
        } else {
            self.daily.get().await
        }
    }

    /// Forgets the sums, so that whoever asks next has the dataset read.
    ///
    /// Refused while a reading waits for another one already: a client may ask for both in turns, and each reset
    /// would cost all others one more reading.
    pub(crate) fn reset(&self) -> Result<(), Problem> {
        if self.thread.stats().queued > 0 {
            let one_reading = self.daily.stats().last_duration.unwrap_or_default();
            return Err(Problem::unavailable(
                "The sums are being computed anew already.",
                one_reading,
            ));
        }
        self.daily.reset();
        Ok(())
    }

    /// Computes the sums anew, if anybody has asked for them; nobody waits for it. Without new ones the old ones stay.
    pub(crate) async fn refresh_what_is_there(&self) -> Result<(), LazyError<AnalyticsError>> {
        if self.daily.peek().is_some() {
            self.daily.refresh().await?;
        }
        Ok(())
    }

    /// Returns what the computation of the whole site, pages included, has done, for the status page.
    pub(crate) fn snapshot(&self) -> Value {
        json!({ "site": counters(&self.daily.stats()) })
    }
}

fn counters(stats: &LazyStats) -> Value {
    json!({
        "hits": stats.hits,
        "waits": stats.waits,
        "misses": stats.misses,
        "stale": stats.stale,
        "computations": stats.computations,
        "failures": stats.failures,
        "age_ms": stats.age.map(whole_milliseconds),
        "last_ms": stats.last_duration.map(whole_milliseconds),
    })
}

fn whole_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn compute(thread: ThreadPool, dataset: PathBuf) -> Result<Daily, AnalyticsError> {
    let daily = thread.run_with(move |token| {
        let sums = sums::read(&dataset, token)?;
        let site = encode(None, sums.site())?;
        let pages = sums
            .pages()
            .map(|(page, days)| Ok((page.to_owned(), encode(Some(page), days)?)));
        let pages = pages.collect::<Result<_, AnalyticsError>>()?;
        Ok::<_, AnalyticsError>((site, pages))
    });
    let (site, pages) = daily.await??;
    Ok(Daily {
        site,
        pages,
        completed: Instant::now(),
    })
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    days: Vec<Day<'a>>,
}

fn encode(page: Option<&str>, days: Vec<Day<'_>>) -> Result<Bytes, AnalyticsError> {
    Ok(serde_json::to_vec(&Body { page, days })?.into())
}

/// Why there are no sums.
#[derive(Debug)]
pub(crate) enum AnalyticsError {
    Pool(PoolError),
    Dataset(DatasetError),
    Json(serde_json::Error),
}

impl From<PoolError> for AnalyticsError {
    fn from(error: PoolError) -> Self {
        AnalyticsError::Pool(error)
    }
}

impl From<DatasetError> for AnalyticsError {
    fn from(error: DatasetError) -> Self {
        AnalyticsError::Dataset(error)
    }
}

impl From<serde_json::Error> for AnalyticsError {
    fn from(error: serde_json::Error) -> Self {
        AnalyticsError::Json(error)
    }
}

impl fmt::Display for AnalyticsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnalyticsError::Pool(error) => error.fmt(f),
            AnalyticsError::Dataset(error) => error.fmt(f),
            AnalyticsError::Json(error) => error.fmt(f),
        }
    }
}

/// The cause of an error that several requests share, as each of them answers it.
pub(crate) fn problem(error: LazyError<AnalyticsError>) -> Problem {
    match error {
        LazyError::Failed(cause) => match *cause {
            AnalyticsError::Pool(error) => error.into(),
            _ => Problem::internal(&cause),
        },
        error => error.into(),
    }
}
