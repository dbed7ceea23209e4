//! The table that says where things are is true.

use std::{collections::BTreeSet, fs, path::Path};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What stands between backticks and looks like a file or a folder of this repository.
fn paths(text: &str) -> BTreeSet<&str> {
    let is_path = |quoted: &&str| {
        ["crates/", "examples/", "benches/", ".ci/"]
            .iter()
            .any(|folder| quoted.starts_with(folder))
    };
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(is_path)
        .collect()
}

#[test]
fn every_path_in_the_guide_for_contributors_exists() {
    let guide = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let paths = paths(&guide);
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "no such file or folder: {missing:#?}");
}

/// Each row says what is changed, where, and which test holds it.
#[test]
fn the_guide_for_contributors_begins_with_a_table_of_places_and_tests() {
    let guide = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut lines = guide
        .lines()
        .skip_while(|line| !line.starts_with("| "))
        .skip(2);
    let rows: Vec<_> = lines
        .by_ref()
        .take_while(|line| line.starts_with("| "))
        .collect();
    assert!(rows.len() >= 30, "{} rows", rows.len());
    assert!(
        lines.any(|line| line.starts_with("## ")),
        "the table comes before all chapters"
    );
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [_, file, test] = cells[..] else {
            panic!("three cells: {row}")
        };
        assert!(!paths(file).is_empty(), "where: {row}");
        assert!(
            paths(test)
                .iter()
                .all(|path| path.contains("test") || path.contains("bench")),
            "{row}"
        );
        assert!(
            !paths(test).is_empty() || test.contains("in the file"),
            "which test: {row}"
        );
    }
}
