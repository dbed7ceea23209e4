//! `large_dataset.csv`: what a year of readers did, page by page.

use std::{path::Path, str::from_utf8};

use anyhow::{Context, ensure};
use csv::ByteRecord;

use super::Progress;

const COLUMNS: [&str; 5] = ["date", "page", "views", "clicks", "conversions"];

/// Page views are the same in every copy of the demo.
const SEED: u64 = 20_250_101;
const PAGES: [&str; 12] = [
    "/", "/about", "/archive", "/contact", "/culture", "/economy", "/jobs", "/letters", "/science",
    "/search", "/sport", "/world",
];
/// The bar moves this often.
const ROWS_A_STEP: u64 = 10_000;

/// Writes `rows` rows, spread evenly over the 365 days of 2025.
pub(crate) fn create(path: &Path, rows: u64, progress: &Progress) -> anyhow::Result<()> {
    let dates = dates_of_2025();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut csv = csv::Writer::from_path(path)?;
    csv.write_record(COLUMNS)?;
    for row in 0..rows {
        let date = &dates[usize::try_from(row * 365 / rows)?];
        let page = PAGES[random.usize(..PAGES.len())];
        let views = random.u32(1..=500);
        let clicks = random.u32(0..=views / 4);
        let conversions = random.u32(0..=clicks / 5);
        csv.serialize((date, page, views, clicks, conversions))?;
        if row % ROWS_A_STEP == 0 {
            progress.advance(ROWS_A_STEP);
        }
    }
    csv.flush()?;
    Ok(())
}

/// Reads every row: one that cannot be summed up would otherwise be found by the first who asks for sums.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    let mut csv = csv::Reader::from_path(path)?;
    let columns = csv.byte_headers()?;
    ensure!(
        columns == COLUMNS.as_slice(),
        "its first row must be {}",
        COLUMNS.join(",")
    );
    let mut row = ByteRecord::new();
    let mut rows = 0_u64;
    while csv.read_byte_record(&mut row)? {
        rows += 1;
        let line = || format!("line {}", row.position().map_or(0, csv::Position::line));
        ensure!(from_utf8(row.as_slice()).is_ok(), "{} is no text", line());
        for (column, number) in COLUMNS.iter().zip(&row).skip(2) {
            let read = from_utf8(number)
                .ok()
                .and_then(|number| number.parse::<u64>().ok());
            read.with_context(|| format!("{}: {column} is no number", line()))?;
        }
    }
    ensure!(rows > 0, "it has no rows");
    Ok(())
}

fn dates_of_2025() -> Vec<String> {
    let days_of_months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months = (1..).zip(days_of_months);
    months
        .flat_map(|(month, days)| (1..=days).map(move |day| format!("2025-{month:02}-{day:02}")))
        .collect()
}
