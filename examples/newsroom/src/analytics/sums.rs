//! One reading of the dataset: the sums of each day, of the whole site and of every page.

use std::{collections::HashMap, fmt, path::Path};

use nexios::CancelToken;
use serde::{Deserialize, Serialize};

/// The most sums that are kept: those of 500 pages for a year.
const MOST_SUMS: usize = 200_000;

/// The token is looked at once in so many rows.
const ROWS_A_LOOK: u64 = 1_000;

#[derive(Deserialize)]
struct Row<'a> {
    date: &'a str,
    page: &'a str,
    views: u64,
    clicks: u64,
    conversions: u64,
}

/// Sums by date.
type Days = HashMap<String, Totals>;

/// The sums of a dataset.
#[derive(Default)]
pub(super) struct Sums {
    site: Days,
    pages: HashMap<String, Days>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Totals {
    views: u64,
    clicks: u64,
    conversions: u64,
}

/// The sums of one day.
#[derive(Serialize)]
pub(super) struct Day<'a> {
    date: &'a str,
    #[serde(flatten)]
    totals: Totals,
}

/// Reads a dataset to its end, or until nobody wants to know any more.
pub(super) fn read(dataset: &Path, token: &CancelToken) -> Result<Sums, DatasetError> {
    let mut csv = csv::Reader::from_path(dataset)?;
    let headers = csv.headers()?.clone();
    let mut record = csv::StringRecord::new();
    let (mut sums, mut kept) = (Sums::default(), 0);
    while csv.read_record(&mut record)? {
        let row: Row<'_> = record.deserialize(Some(&headers))?;
        let line = record.position().map_or(0, csv::Position::line);
        // A key is made for each page and day, not for each row.
        if !sums.pages.contains_key(row.page) {
            sums.pages.insert(row.page.to_owned(), Days::new());
        }
        for days in sums
            .pages
            .get_mut(row.page)
            .into_iter()
            .chain([&mut sums.site])
        {
            if !days.contains_key(row.date) {
                days.insert(row.date.to_owned(), Totals::default());
                kept += 1;
            }
            if let Some(totals) = days.get_mut(row.date) {
                *totals = totals.plus(&row).ok_or(DatasetError::TooLarge { line })?;
            }
        }
        if line.is_multiple_of(ROWS_A_LOOK) && token.is_cancelled() {
            return Err(DatasetError::GivenUp);
        }
        if kept > MOST_SUMS {
            return Err(DatasetError::TooMany { line });
        }
    }
    if sums.site.is_empty() {
        Err(DatasetError::Empty)
    } else {
        Ok(sums)
    }
}

impl Totals {
    fn plus(self, row: &Row<'_>) -> Option<Self> {
        Some(Totals {
            views: self.views.checked_add(row.views)?,
            clicks: self.clicks.checked_add(row.clicks)?,
            conversions: self.conversions.checked_add(row.conversions)?,
        })
    }
}

impl Sums {
    /// The days of the whole site, in their order.
    pub(super) fn site(&self) -> Vec<Day<'_>> {
        in_order(&self.site)
    }

    /// The days of each page, in their order.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&str, Vec<Day<'_>>)> {
        self.pages
            .iter()
            .map(|(page, days)| (page.as_str(), in_order(days)))
    }
}

fn in_order(days: &Days) -> Vec<Day<'_>> {
    let mut days: Vec<_> = days
        .iter()
        .map(|(date, totals)| Day {
            date,
            totals: *totals,
        })
        .collect();
    days.sort_unstable_by_key(|day| day.date);
    days
}

/// Why a dataset has no sums.
#[derive(Debug)]
pub(crate) enum DatasetError {
    /// It cannot be read, or is no table of such rows.
    Csv(csv::Error),
    /// Nobody waits for the sums.
    GivenUp,
    /// It has no rows.
    Empty,
    /// With the row in this line a sum is more than can be counted.
    TooLarge { line: u64 },
    /// With the row in this line there are more sums than are kept.
    TooMany { line: u64 },
}

impl From<csv::Error> for DatasetError {
    fn from(error: csv::Error) -> Self {
        DatasetError::Csv(error)
    }
}

impl fmt::Display for DatasetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the dataset ")?;
        match self {
            DatasetError::Csv(error) => write!(f, "cannot be read: {error}"),
            DatasetError::GivenUp => f.write_str("was not read to its end"),
            DatasetError::Empty => f.write_str("has no rows"),
            DatasetError::TooLarge { line } => {
                write!(
                    f,
                    "has a sum that is more than can be counted, with the row in line {line}"
                )
            }
            DatasetError::TooMany { line } => {
                write!(
                    f,
                    "has more than {MOST_SUMS} sums of a page and a day, with the row in line {line}"
                )
            }
        }
    }
}
