//! What readers did, day by day.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use axum::body::Bytes;
use nexios::{AsyncLazy, AsyncLazyMap, LazyError, LazyStats, run_in_threadpool};
use nexios_axum::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

/// The soft limit: numbers of a day are looked at for a day.
const FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// When a day ends and its numbers are complete: midnight UTC.
pub(crate) const END_OF_DAY: &str = "0 0 * * *";

/// From the soft to the hard limit: old sums are served while new ones are computed.
const STALE_FOR: Duration = Duration::from_secs(60 * 60);

/// Pages whose sums are kept: anybody may ask for any page, so there has to be an end.
const PAGES: usize = 100;

/// The sums of every day, of the whole site and of single pages.
pub(crate) struct Analytics {
    site: AsyncLazy<Sums, AnalyticsError>,
    by_page: AsyncLazyMap<String, Sums, AnalyticsError>,
}

/// Sums as they are sent: encoded once, not for each request.
pub(crate) struct Sums {
    pub(crate) body: Bytes,
    completed: Instant,
}

impl Sums {
    pub(crate) fn age(&self) -> Duration {
        self.completed.elapsed()
    }
}

impl Analytics {
    pub(crate) fn new(dataset: PathBuf) -> Self {
        let pages = dataset.clone();
        Analytics {
            site: AsyncLazy::builder(move || compute(dataset.clone(), None))
                .name("daily totals")
                .ttl(FRESH_FOR)
                .stale_while_revalidate(STALE_FOR)
                .build(),
            by_page: AsyncLazyMap::builder(PAGES, move |page| compute(pages.clone(), Some(page)))
                .name("daily totals of a page")
                .ttl(FRESH_FOR)
                .stale_while_revalidate(STALE_FOR)
                .build(),
        }
    }

    /// The sums of one page, or of the whole site; computed anew if `refresh` says so.
    pub(crate) async fn sums(
        &self,
        page: Option<&str>,
        refresh: bool,
    ) -> Result<Arc<Sums>, LazyError<AnalyticsError>> {
        match (page, refresh) {
            (None, false) => self.site.get().await,
            (None, true) => self.site.refresh().await,
            (Some(page), false) => self.by_page.get(page).await,
            (Some(page), true) => self.by_page.refresh(page).await,
        }
    }

    pub(crate) fn reset(&self) {
        self.site.reset();
        self.by_page.reset_all();
    }

    /// Computes the sums of the site anew, if anybody has asked for them, and forgets those of pages; nobody waits
    /// for it.
    pub(crate) async fn refresh_what_is_there(&self) {
        self.by_page.reset_all();
        if self.site.peek().is_some()
            && let Err(error) = self.site.refresh().await
        {
            tracing::warn!(%error, "the daily totals stay as they are");
        }
    }

    /// Returns what both have done, for the status page.
    pub(crate) fn snapshot(&self) -> Value {
        json!({ "site": counters(&self.site.stats()), "pages": counters(&self.by_page.stats()) })
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
        "evictions": stats.evictions,
        "age_s": stats.age.map(|age| age.as_secs()),
        "last_ms": stats.last_duration.map(|took| took.as_millis() as u64),
    })
}

async fn compute(dataset: PathBuf, page: Option<String>) -> Result<Sums, AnalyticsError> {
    let body = run_in_threadpool(move || {
        let days = sum_up(dataset, page.as_deref())?;
        if page.is_some() && days.is_empty() {
            return Err(AnalyticsError::UnknownPage);
        }
        Ok(serde_json::to_vec(&Daily { page, days })?)
    });
    Ok(Sums { body: body.await?.into(), completed: Instant::now() })
}

#[derive(Serialize)]
struct Daily {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    days: Vec<Day>,
}

#[derive(Serialize)]
struct Day {
    date: String,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Default, Serialize)]
struct Totals {
    views: u64,
    clicks: u64,
    conversions: u64,
}

#[derive(Deserialize)]
struct Row<'a> {
    date: &'a str,
    page: &'a str,
    views: u64,
    clicks: u64,
    conversions: u64,
}

fn sum_up(dataset: PathBuf, page: Option<&str>) -> Result<Vec<Day>, csv::Error> {
    let mut csv = csv::Reader::from_path(dataset)?;
    let headers = csv.headers()?.clone();
    let mut record = csv::StringRecord::new();
    let mut days = BTreeMap::<String, Totals>::new();
    while csv.read_record(&mut record)? {
        let row: Row<'_> = record.deserialize(Some(&headers))?;
        if page.is_some_and(|page| page != row.page) {
            continue;
        }
        // A key is made for each day, not for each row.
        if !days.contains_key(row.date) {
            days.insert(row.date.to_owned(), Totals::default());
        }
        if let Some(day) = days.get_mut(row.date) {
            day.views += row.views;
            day.clicks += row.clicks;
            day.conversions += row.conversions;
        }
    }
    Ok(days.into_iter().map(|(date, totals)| Day { date, totals }).collect())
}

/// Why there are no sums.
#[derive(Debug)]
pub(crate) enum AnalyticsError {
    UnknownPage,
    Csv(csv::Error),
    Json(serde_json::Error),
}

impl From<csv::Error> for AnalyticsError {
    fn from(error: csv::Error) -> Self {
        AnalyticsError::Csv(error)
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
            AnalyticsError::UnknownPage => f.write_str("unknown page"),
            AnalyticsError::Csv(error) => error.fmt(f),
            AnalyticsError::Json(error) => error.fmt(f),
        }
    }
}

/// The cause of an error that several requests share, as each of them answers it.
pub(crate) fn problem(error: LazyError<AnalyticsError>) -> Problem {
    match &error {
        LazyError::Failed(cause) if matches!(**cause, AnalyticsError::UnknownPage) => {
            Problem::not_found("There is no such page.")
        }
        _ => error.into(),
    }
}
