//! Draws the tables of `crates/nexios/docs/hedging.md`; with `NEXIOS_DRAW=1` the picture is written anew.
#![allow(clippy::unwrap_used)]

use std::{env, fs};

use plotters::prelude::*;

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/nexios/docs/hedging.md"
);
const PICTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/nexios/docs/hedging.svg"
);
const SIZE: (u32, u32) = (760, 420);
/// Where bars begin, and how long the longest is.
const LEFT: i32 = 220;
const LONGEST: f64 = 440.0;
const USUAL: RGBColor = RGBColor(0x3b, 0x76, 0xaf);
const SLOW: RGBColor = RGBColor(0xd9, 0x7b, 0x29);

/// One row of a table.
struct Policy {
    name: String,
    /// Milliseconds.
    p99: f64,
    /// Per cent.
    extra: f64,
}

/// The rows of the table under a heading.
fn table(page: &str, heading: &str) -> Vec<Policy> {
    let (_, below) = page.split_once(heading).unwrap();
    let rows = below
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1);
    let policy = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (_, share) = cells[5].split_once('(').unwrap();
        Policy {
            name: cells[1].to_owned(),
            p99: cells[3].strip_suffix(" ms").unwrap().parse().unwrap(),
            extra: share.strip_suffix(" %)").unwrap().parse().unwrap(),
        }
    };
    rows.take_while(|row| row.starts_with('|'))
        .map(policy)
        .collect()
}

fn draw(usual: &[Policy], slow: &[Policy]) -> String {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let text = |text: &str, at: (i32, i32), size: i32| {
            area.draw(&Text::new(text.to_owned(), at, ("sans-serif", size)))
                .unwrap();
        };
        let bar = |at: (i32, i32), length: f64, colour: RGBColor, label: String| {
            let end = (at.0 + length.round() as i32, at.1 + 13);
            area.draw(&Rectangle::new([at, end], colour.filled()))
                .unwrap();
            text(&label, (end.0 + 6, at.1), 16);
        };
        // Three decades from 5 ms.
        let log = |millis: f64| (millis / 5.0).log10() / 3.0 * LONGEST;
        let linear = |percent: f64| percent / 100.0 * LONGEST;

        bar((LEFT, 12), 13.0, USUAL, "the service as usual".to_owned());
        bar(
            (LEFT + 190, 12),
            13.0,
            SLOW,
            "the whole service ten times slower".to_owned(),
        );
        text("99th percentile, logarithmic", (12, 40), 18);
        text("extra attempts, per 100 calls", (12, 230), 18);
        for (row, (usual, slow)) in usual.iter().zip(slow).enumerate() {
            assert_eq!(usual.name, slow.name);
            let y = 64 + 39 * row as i32;
            text(&usual.name, (12, y + 6), 16);
            bar(
                (LEFT, y),
                log(usual.p99),
                USUAL,
                format!("{} ms", usual.p99),
            );
            bar(
                (LEFT, y + 15),
                log(slow.p99),
                SLOW,
                format!("{} ms", slow.p99),
            );
            let y = y + 190;
            text(&usual.name, (12, y + 6), 16);
            bar(
                (LEFT, y),
                linear(usual.extra),
                USUAL,
                format!("{:.1}", usual.extra),
            );
            bar(
                (LEFT, y + 15),
                linear(slow.extra),
                SLOW,
                format!("{:.1}", slow.extra),
            );
        }
        area.present().unwrap();
    }
    picture
}

#[test]
fn the_picture_shows_the_tables() {
    let page = fs::read_to_string(PAGE).unwrap();
    let usual = table(&page, "### The service as usual");
    let slow = table(&page, "### The whole service ten times slower");
    assert_eq!((usual.len(), slow.len()), (4, 4));
    let picture = draw(&usual, &slow);
    if env::var_os("NEXIOS_DRAW").is_some() {
        fs::write(PICTURE, &picture).unwrap();
    }
    let committed = fs::read_to_string(PICTURE).unwrap_or_default();
    assert!(
        picture == committed,
        "hedging.svg is not what the tables say; draw it with NEXIOS_DRAW=1"
    );
}
