//! `nexios-jobs` beside its rivals, in one run: `cargo bench -p benches --bench jobs --features jobs [-- sqlite] [postgres] [/folder ...]`.
//!
//! The stores are made in each of the folders; without any in `/dev/shm`, where a commit costs nothing: what is compared is
//! the work, not the disk. A rate is the median of [`ROUNDS`] that are taken in turns. Needs Postgres, whose server it starts.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures and says so"
)]

mod child;
mod postgres;
mod rows;
mod server;
mod sqlite;
mod store;
mod work;

use std::path::PathBuf;

use rows::Rows;

/// How often each side has its turn.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let Some(url) = child::asked() {
        return runtime.block_on(child::work(&url));
    }
    let args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let (folders, engines): (Vec<_>, Vec<_>) = args.partition(|arg| arg.contains('/'));
    let takes = |engine: &str| engines.is_empty() || engines.iter().any(|name| name == engine);
    let mut folders: Vec<_> = folders.into_iter().map(PathBuf::from).collect();
    if folders.is_empty() {
        folders.push(PathBuf::from("/dev/shm"));
    }
    for folder in folders {
        let mut rows = Rows::begin(&folder);
        runtime.block_on(async {
            if takes("sqlite") {
                sqlite::measure(&folder, &mut rows).await?;
            }
            if takes("postgres") {
                postgres::measure(&folder, &mut rows).await?;
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}
