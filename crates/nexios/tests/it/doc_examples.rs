//! Every public type, function and method has an example in its docs, which is compiled, and run with the other tests unless it
//! serves for ever or needs a server of others (`no_run`).
//!
//! It is read from the source by line, as rustfmt leaves it; what is `pub` is public here, which the lint
//! `unreachable_pub` sees to.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Methods that are shown where something else is, instead of by an example of their own: they look at it or finish it, and
/// that is where they make sense.
const SHOWN_ELSEWHERE: [&str; 4] = ["build", "info", "is_empty", "stats"];

/// A public item.
struct Item {
    /// `file:line`.
    place: String,
    name: String,
    has_example: bool,
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the crate");
    entries
        .map(|entry| entry.expect("an entry of it").path())
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

/// What a line declares for everybody: a type or function at the margin, a method anywhere.
fn declared(line: &str) -> Option<&str> {
    let item = line.trim_start();
    let public = item.strip_prefix("pub ")?;
    let (kind, rest) = [
        "async fn ",
        "const fn ",
        "fn ",
        "struct ",
        "enum ",
        "trait ",
    ]
    .into_iter()
    .find_map(|kind| Some((kind, public.strip_prefix(kind)?)))?;
    // A type that is not at the margin is in a private module.
    (kind.ends_with("fn ") || item.len() == line.len()).then(|| {
        rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .next()
            .unwrap_or(rest)
    })
}

/// The public items of a file, and the text of its examples.
fn read(file: &Path) -> (Vec<Item>, String) {
    let text = fs::read_to_string(file).expect("a file of the crate");
    let (mut items, mut examples) = (Vec::new(), String::new());
    // What is hidden is for nobody to use, and needs none.
    let (mut has_example, mut is_hidden) = (false, false);
    // Between two fences, and whether what stands there is run.
    let mut block: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        let code = line.trim();
        if let Some(docs) = code.strip_prefix("///") {
            if let Some(language) = docs.trim().strip_prefix("```") {
                // With another word behind it, such as `text` or `ignore`, it would not even be compiled.
                let is_compiled = matches!(language, "" | "no_run");
                block = block.is_none().then_some(is_compiled);
                has_example |= block == Some(true);
            } else if block == Some(true) {
                examples.push_str(docs);
                examples.push('\n');
            }
            continue;
        }
        is_hidden |= code == "#[doc(hidden)]";
        if let Some(name) = declared(line).filter(|_| !is_hidden) {
            items.push(Item {
                place: format!("{}:{}", file.display(), number + 1),
                name: name.to_owned(),
                has_example,
            });
        }
        // Attributes stand between docs and what they are of; anything else ends with one of these.
        if code.is_empty() || code.ends_with(['{', '}', ';']) {
            (has_example, is_hidden) = (false, false);
        }
    }
    (items, examples)
}

/// Holds one package of the workspace to it; it has more public items than `least`.
fn check(package: &str, least: usize, shown_elsewhere: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{package}/src"));
    let (items, examples): (Vec<_>, Vec<_>) =
        sources(&source).iter().map(|file| read(file)).unzip();
    let items: Vec<Item> = items.into_iter().flatten().collect();
    let examples = examples.concat();
    assert!(items.len() > least, "only {} items", items.len());

    let without: Vec<_> = items.iter().filter(|item| !item.has_example).collect();
    let missing: Vec<_> = without
        .iter()
        .filter(|item| !shown_elsewhere.contains(&&*item.name))
        .map(|item| format!("{} {}", item.place, item.name))
        .collect();
    assert!(missing.is_empty(), "without an example: {missing:#?}");

    for name in shown_elsewhere {
        let is_excused = without.iter().any(|item| item.name == *name);
        let is_shown = examples.contains(&format!(".{name}("));
        assert!(
            is_excused && is_shown,
            "`{name}` is no exception any more, or is shown nowhere"
        );
    }
}

#[test]
fn every_public_type_and_method_has_an_example() {
    check("nexios", 250, &SHOWN_ELSEWHERE);
}

/// Those of the packages beside this one, where they are: this one may be alone.
#[test]
fn so_have_those_of_the_other_packages() {
    for (package, least) in [
        ("nexios-axum", 120),
        ("nexios-console", 20),
        ("nexios-jobs", 90),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{package}"));
        if folder.exists() {
            check(package, least, &[]);
        }
    }
}
