//! What is counted, under which name.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use super::label::Labels;

/// Seconds of what requests are made of: the buckets that the conventions give to HTTP servers.
const SPANS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Seconds in a queue, where a tenth of a millisecond is told from a quarter.
const WAITS: [f64; 13] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];
/// Children of a group.
const SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
pub(super) type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
pub(super) type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The numbers that what is observed adds to. Clones are the same.
#[derive(Clone)]
pub(super) struct Families {
    pub(super) task_duration: Histograms<4>,
    pub(super) task_active: Gauges<2>,
    pub(super) task_queue: Histograms<1>,
    pub(super) task_leaked: Counters<2>,
    pub(super) group_duration: Histograms<2>,
    pub(super) group_size: Histograms<1>,
    pub(super) pool_wait: Histograms<1>,
    pub(super) pool_use: Histograms<1>,
    pub(super) pool_rejections: Counters<2>,
    pub(super) race_duration: Histograms<3>,
    pub(super) race_wins: Counters<2>,
    pub(super) race_hedges: Counters<2>,
    pub(super) background_duration: Histograms<3>,
    pub(super) background_attempts: Counters<2>,
    pub(super) lazy_init: Histograms<3>,
    pub(super) request_cancellations: Counters<2>,
    pub(super) request_cleanup: Histograms<2>,
    pub(super) unmeasured: Counter,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            task_duration: spans(),
            task_active: Family::default(),
            task_queue: waits(),
            task_leaked: Family::default(),
            group_duration: spans(),
            group_size: Family::new_with_constructor(|| Histogram::new(SIZES)),
            pool_wait: waits(),
            pool_use: spans(),
            pool_rejections: Family::default(),
            race_duration: spans(),
            race_wins: Family::default(),
            race_hedges: Family::default(),
            background_duration: spans(),
            background_attempts: Family::default(),
            lazy_init: spans(),
            request_cancellations: Family::default(),
            request_cleanup: spans(),
            unmeasured: Counter::default(),
        }
    }
}

fn spans<const N: usize>() -> Histograms<N> {
    Family::new_with_constructor(|| Histogram::new(SPANS))
}

fn waits<const N: usize>() -> Histograms<N> {
    Family::new_with_constructor(|| Histogram::new(WAITS))
}

impl Families {
    /// Names follow the conventions of OpenTelemetry, as Prometheus spells them.
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut all = Register(registry.sub_registry_with_prefix("nexios"));
        let this = self.clone();
        all.seconds(
            "task_duration",
            "From the making of a task to its end",
            this.task_duration,
        );
        all.number("task_active", "Tasks that live", this.task_active);
        all.seconds(
            "task_queue_duration",
            "From the making of a task to its first poll",
            this.task_queue,
        );
        all.number(
            "task_leaked",
            "Tasks that outlived their owner",
            this.task_leaked,
        );
        all.seconds(
            "group_duration",
            "From the first use of a group to its end",
            this.group_duration,
        );
        all.number("group_size", "Children of a group", this.group_size);
        all.seconds(
            "pool_wait_duration",
            "From the submission of a job to its start",
            this.pool_wait,
        );
        all.seconds(
            "pool_use_duration",
            "From the start of a job to its end",
            this.pool_use,
        );
        all.number(
            "pool_rejections",
            "Jobs that never got a thread",
            this.pool_rejections,
        );
        all.seconds(
            "race_duration",
            "From the making of a race or hedge to its end",
            this.race_duration,
        );
        all.number(
            "race_wins",
            "Races and hedges that a candidate has won",
            this.race_wins,
        );
        all.number(
            "race_hedges",
            "Attempts of hedges after the first of their call",
            this.race_hedges,
        );
        all.seconds(
            "background_duration",
            "Background tasks with all attempts",
            this.background_duration,
        );
        all.number(
            "background_attempts",
            "Attempts of background tasks",
            this.background_attempts,
        );
        all.seconds(
            "lazy_init_duration",
            "Computations of lazy values",
            this.lazy_init,
        );
        all.number(
            "request_cancellations",
            "Requests that were cancelled",
            this.request_cancellations,
        );
        all.seconds(
            "request_cleanup_duration",
            "From a cancellation to the end",
            this.request_cleanup,
        );
        all.number(
            "metrics_unmeasured",
            "Work that is not measured: too much lived",
            this.unmeasured,
        );
    }
}

struct Register<'a>(&'a mut Registry);

impl Register<'_> {
    fn seconds(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register_with_unit(name, help, Unit::Seconds, metric);
    }

    fn number(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }
}
