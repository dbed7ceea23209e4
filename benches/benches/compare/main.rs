//! `cargo bench -p benches [-- FILTER]`: all contests whose name contains the filter, and the table.

mod background;
mod group;
mod lazy;
mod pool;
mod race;
mod request;
mod serve;
mod web;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
        .unwrap_or_default();
    let contests = [
        group::contests(),
        pool::contests(),
        race::contests(),
        background::contests(),
        lazy::contests(),
        request::contests(),
        serve::contests(),
        web::contests(),
    ];
    let outcomes: Vec<_> = contests
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.contains(&filter))
        .flat_map(|(_, contest)| contest().run())
        .collect();
    if !outcomes.is_empty() {
        benches::print(&outcomes);
    }
    pool::print_round_trips(&filter);
}
