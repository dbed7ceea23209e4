//! `cargo bench -p benches [-- FILTER]`: all contests whose name contains the filter, and the table.

mod background;
mod group;
mod web;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let contests = [group::contests(), background::contests(), web::contests()].into_iter().flatten();
    let outcomes: Vec<_> = contests
        .filter(|(name, _)| name.contains(&filter))
        .flat_map(|(_, contest)| contest().run())
        .collect();
    benches::print(&outcomes);
}
