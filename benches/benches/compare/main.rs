//! `cargo bench -p benches [-- FILTER]`: all contests whose name contains the filter, and the table.

mod group;
mod lazy;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let outcomes: Vec<_> = group::contests()
        .into_iter()
        .chain(lazy::contests())
        .filter(|(name, _)| name.contains(&filter))
        .flat_map(|(_, contest)| contest().run())
        .collect();
    benches::print(&outcomes);
}
