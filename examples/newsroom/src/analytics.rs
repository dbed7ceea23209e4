//! What readers did, day by day.

use std::{collections::BTreeMap, path::PathBuf};

use nexios::{AsyncLazy, run_in_threadpool};
use serde::{Deserialize, Serialize};

/// Numbers of a day are looked at until it ends: midnight UTC.
pub(crate) const RESET_AT: &str = "0 0 * * *";

/// The sums of every day, computed once, on the first request.
pub(crate) type DailyTotals = AsyncLazy<Vec<Day>, csv::Error>;

pub(crate) fn daily_totals(dataset: PathBuf) -> DailyTotals {
    AsyncLazy::new(move || {
        let dataset = dataset.clone();
        run_in_threadpool(move || sum_up(dataset))
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Day {
    date: String,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Debug, Default, Serialize)]
struct Totals {
    views: u64,
    clicks: u64,
    conversions: u64,
}

#[derive(Deserialize)]
struct Row<'a> {
    date: &'a str,
    views: u64,
    clicks: u64,
    conversions: u64,
}

fn sum_up(dataset: PathBuf) -> Result<Vec<Day>, csv::Error> {
    let mut csv = csv::Reader::from_path(dataset)?;
    let headers = csv.headers()?.clone();
    let mut record = csv::StringRecord::new();
    let mut days = BTreeMap::<String, Totals>::new();
    while csv.read_record(&mut record)? {
        let row: Row<'_> = record.deserialize(Some(&headers))?;
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
