//! `docs/compare.md` names the tests that there are, and lines that are in the services.

use std::collections::BTreeSet;

const COMPARISON: &str = include_str!("../../docs/compare.md");

/// The tests of an example, and its service.
const EXAMPLES: [(&str, &str, &str); 7] = [
    (
        "graceful_shutdown",
        include_str!("graceful_shutdown.rs"),
        include_str!("services/graceful_shutdown.rs"),
    ),
    (
        "sse",
        include_str!("sse.rs"),
        include_str!("services/sse.rs"),
    ),
    (
        "websockets",
        include_str!("websockets.rs"),
        include_str!("services/websockets.rs"),
    ),
    (
        "reverse_proxy",
        include_str!("reverse_proxy.rs"),
        include_str!("services/reverse_proxy.rs"),
    ),
    (
        "todos",
        include_str!("todos.rs"),
        include_str!("services/todos.rs"),
    ),
    (
        "stream_to_file",
        include_str!("stream_to_file.rs"),
        include_str!("services/stream_to_file.rs"),
    ),
    (
        "static_file_server",
        include_str!("static_file_server.rs"),
        include_str!("services/static_file_server.rs"),
    ),
];

const PLAIN: (&str, &str) = ("plain_axum", include_str!("plain_axum.rs"));

const PROCESS: &str = include_str!("../process/tests.rs");

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The tests of a file, with the name of its module before them.
fn tests(module: &str, source: &str) -> Vec<String> {
    let after_attribute = source.split("\n#[tokio::test").skip(1);
    let function = after_attribute.filter_map(|rest| rest.split("fn ").nth(1));
    function
        .filter_map(|rest| rest.split('(').next())
        .map(|name| format!("{module}::{name}"))
        .collect()
}

#[test]
fn the_comparison_names_each_test_and_no_other() {
    let sources = EXAMPLES.map(|(module, tests, _)| (module, tests));
    let sources = sources.into_iter().chain([PLAIN]);
    let there: BTreeSet<String> = sources
        .flat_map(|(name, source)| tests(name, source))
        .collect();
    assert!(there.len() > 40, "{there:?}");
    let modules = || {
        EXAMPLES
            .map(|(module, ..)| module)
            .into_iter()
            .chain([PLAIN.0])
    };
    let of_these = |name: &str| {
        let test = name.split_once("::");
        test.is_some_and(|(module, test)| {
            !test.is_empty() && modules().any(|known| known == module)
        })
    };
    let named: BTreeSet<String> = code(COMPARISON)
        .filter(|name| of_these(name))
        .map(str::to_owned)
        .collect();
    let unnamed: Vec<_> = there.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&there).collect();
    assert!(
        unnamed.is_empty() && unknown.is_empty(),
        "not named: {unnamed:#?}, not there: {unknown:#?}"
    );
    for name in code(COMPARISON).filter_map(|name| name.strip_prefix("process::")) {
        assert!(PROCESS.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn the_lines_that_the_comparison_names_are_in_the_services() {
    for (module, _, service) in EXAMPLES {
        let row = format!("| `{}` | ", module.replace('_', "-"));
        let row = COMPARISON.lines().find(|line| line.starts_with(&row));
        let lines = row.unwrap().trim_end_matches('|').rsplit(" | ").next();
        let lines: Vec<&str> = code(lines.unwrap()).collect();
        assert!(!lines.is_empty(), "{module}");
        for line in lines {
            assert!(service.contains(line), "{module} has no {line}");
        }
    }
}
