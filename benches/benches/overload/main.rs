//! `cargo bench -p benches --bench overload`: what reaches its caller in time when more is asked of four threads
//! than they can do. Prints both curves and draws `crates/nexios/docs/overload.svg`. Takes about a minute.

mod chart;
mod experiment;

use std::time::Duration;

use experiment::{Experiment, Runner};

/// The load, as a share of what the threads can do.
const LOADS: [f64; 8] = [0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0];
/// The load of the curve over time.
const OVERLOAD: f64 = 2.0;

/// Goodput as a share of the capacity, at an offered load or at a time in seconds.
pub(crate) type Curve = Vec<(f64, f64)>;

#[allow(
    clippy::print_stdout,
    reason = "printing the curves is what this is for"
)]
fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
        .unwrap_or_default();
    if !"pool/overload".contains(&filter) {
        return;
    }
    let capacity = experiment::capacity();
    println!(
        "{} threads do {capacity:.0} jobs of {:?} a second; a caller gives up after {:?}.\n",
        experiment::THREADS,
        experiment::JOB,
        experiment::PATIENCE
    );

    let over_load: Vec<(Runner, Curve)> = Runner::ALL
        .into_iter()
        .map(|runner| {
            let run = |load| {
                let lasts = Duration::from_secs(2);
                let outcome = Experiment {
                    runner,
                    rate: load * capacity,
                    lasts,
                }
                .run();
                // From the half second on: the way in is in the other curve.
                (
                    load,
                    outcome.goodput(Duration::from_millis(500), lasts) / capacity,
                )
            };
            (runner, LOADS.into_iter().map(run).collect())
        })
        .collect();
    print("offered load", &over_load);

    let over_time: Vec<(Runner, Curve)> = Runner::ALL
        .into_iter()
        .map(|runner| {
            let lasts = Duration::from_secs(4);
            let outcome = Experiment {
                runner,
                rate: OVERLOAD * capacity,
                lasts,
            }
            .run();
            let window = Duration::from_millis(200);
            let share = |from: Duration| outcome.goodput(from, from + window) / capacity;
            let windows = (0..20).map(|number| window * number);
            (
                runner,
                windows
                    .map(|from| ((from + window).as_secs_f64(), share(from)))
                    .collect(),
            )
        })
        .collect();
    println!();
    print("seconds at twice the capacity", &over_time);

    chart::draw(&over_load, &over_time)
        .expect("the chart can be written into the folder of the docs");
}

#[allow(
    clippy::print_stdout,
    reason = "printing the curves is what this is for"
)]
fn print(along: &str, curves: &[(Runner, Curve)]) {
    let names: Vec<_> = curves.iter().map(|(runner, _)| runner.name()).collect();
    println!("| {along} | {} |", names.join(" | "));
    println!("| ---: |{}", " ---: |".repeat(names.len()));
    for (row, (x, _)) in curves[0].1.iter().enumerate() {
        let cells: Vec<_> = curves
            .iter()
            .map(|(_, curve)| format!("{:.0} %", curve[row].1 * 100.0))
            .collect();
        println!("| {x:.2} | {} |", cells.join(" | "));
    }
}
