//! Numbers that what lives long tells of itself, read when they are asked for.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use nexios::{
    LazyState, LazyStats, PoolStats,
    observe::{self, Living as Thing},
};
use nexios_axum::Phase;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{
    label::{Labels, Value},
    names::Names,
    observer::Measuring,
};
use crate::life::PHASES;

/// Where the service is in its life, as the last who asked for the numbers knew; nothing where nobody did.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases(Arc<Mutex<Option<Phase>>>);

impl Phases {
    pub(super) fn set(&self, phase: Option<Phase>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn get(&self) -> Option<Phase> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Living {
    pools: Names,
    lazies: Names,
    phases: Phases,
    measuring: Arc<Measuring>,
}

impl Living {
    pub(super) fn new(phases: Phases, measuring: Arc<Measuring>) -> Self {
        Self {
            pools: Names::default(),
            lazies: Names::default(),
            phases,
            measuring,
        }
    }
}

impl fmt::Debug for Living {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Living").finish_non_exhaustive()
    }
}

impl Collector for Living {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let living = observe::snapshot();
        pools(&mut encoder, &by_name(&self.pools, living.pools))?;
        lazies(&mut encoder, &by_name(&self.lazies, living.lazies))?;
        let backgrounds = self.measuring.backgrounds().into_iter();
        let backgrounds: Vec<_> = backgrounds
            .map(|(name, count)| (Labels([("nexios_background_name", name)]), count))
            .collect();
        Numbers::new(
            &mut encoder,
            "nexios_background_active",
            "Background tasks that live",
        )
        .gauge(&backgrounds)?;
        let abandoned = living
            .backgrounds
            .iter()
            .map(|registry| registry.stats.abandoned)
            .sum();
        let mut numbers = Numbers::new(
            &mut encoder,
            "nexios_shutdown_abandoned",
            "Work given up at the end",
        );
        numbers.counter(&[(Labels([("kind", "background".into())]), abandoned)])?;
        let Some(now) = self.phases.get() else {
            return Ok(());
        };
        let states = PHASES.map(|phase| {
            (
                Labels([("state", phase.as_str().into())]),
                u32::from(phase == now),
            )
        });
        Numbers::new(
            &mut encoder,
            "nexios_shutdown_state",
            "1 for where the service is in its life",
        )
        .gauge(&states)
    }
}

/// Things of the same name count together.
fn by_name<S>(names: &Names, things: Vec<Thing<S>>) -> Vec<(Value, Vec<S>)> {
    let mut all: BTreeMap<String, (Value, Vec<S>)> = BTreeMap::new();
    for thing in things {
        let name = names.value(&thing.name);
        let entry = all
            .entry(name.to_string())
            .or_insert_with(|| (name, Vec::new()));
        entry.1.push(thing.stats);
    }
    all.into_values().collect()
}

fn pools(encoder: &mut DescriptorEncoder<'_>, pools: &[(Value, Vec<PoolStats>)]) -> fmt::Result {
    let label = |name: &Value| ("nexios_pool_name", name.clone());
    let sum = |pools: &[PoolStats], count: fn(&PoolStats) -> usize| {
        pools.iter().map(count).sum::<usize>()
    };
    let each = |count: fn(&PoolStats) -> usize| {
        pools
            .iter()
            .map(move |(name, pools)| (Labels([label(name)]), sum(pools, count)))
            .collect::<Vec<_>>()
    };
    Numbers::new(encoder, "nexios_pool_limit", "Threads, as configured")
        .gauge(&each(|pool| pool.threads))?;
    let mut usage = Vec::new();
    for (name, pools) in pools {
        // A job that waits for a nested one counts as well, so there can be more than threads.
        for (state, count) in [
            ("used", sum(pools, |pool| pool.running.min(pool.threads))),
            (
                "idle",
                sum(pools, |pool| pool.threads.saturating_sub(pool.running)),
            ),
        ] {
            usage.push((Labels([label(name), ("state", state.into())]), count));
        }
    }
    Numbers::new(
        encoder,
        "nexios_pool_usage",
        "Threads that have a job, and those that have none",
    )
    .gauge(&usage)?;
    Numbers::new(
        encoder,
        "nexios_pool_queue_length",
        "Jobs that wait for a thread",
    )
    .gauge(&each(|pool| pool.queued))
}

fn lazies(encoder: &mut DescriptorEncoder<'_>, lazies: &[(Value, Vec<LazyStats>)]) -> fmt::Result {
    let label = |name: &Value| ("nexios_lazy_name", name.clone());
    let (mut reads, mut states, mut ages) = (Vec::new(), Vec::new(), Vec::new());
    for (name, lazies) in lazies {
        let sum = |count: fn(&LazyStats) -> u64| lazies.iter().map(count).sum::<u64>();
        for (result, count) in [
            ("hit", sum(|lazy| lazy.hits)),
            ("wait", sum(|lazy| lazy.waits)),
            ("miss", sum(|lazy| lazy.misses)),
            ("stale", sum(|lazy| lazy.stale)),
        ] {
            reads.push((Labels([label(name), ("result", result.into())]), count));
        }
        for state in ["empty", "initializing", "ready", "failed"] {
            let count = lazies
                .iter()
                .filter(|lazy| word(lazy.state) == state)
                .count();
            states.push((Labels([label(name), ("state", state.into())]), count));
        }
        if let Some(age) = lazies.iter().filter_map(|lazy| lazy.age).max() {
            ages.push((Labels([label(name)]), age.as_secs_f64()));
        }
    }
    Numbers::new(
        encoder,
        "nexios_lazy_reads",
        "Reads of lazy values, by what they found",
    )
    .counter(&reads)?;
    Numbers::new(encoder, "nexios_lazy_state", "Lazy values in this state").gauge(&states)?;
    Numbers::new(
        encoder,
        "nexios_lazy_age",
        "The age of the oldest value of this name",
    )
    .seconds()
    .gauge(&ages)
}

/// The conventions know no stale value: it is there, and served.
fn word(state: LazyState) -> &'static str {
    match state {
        LazyState::Empty => "empty",
        LazyState::Computing => "initializing",
        LazyState::Failed => "failed",
        _ => "ready",
    }
}

/// One metric with all its series.
struct Numbers<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
}

impl<'a, 'b> Numbers<'a, 'b> {
    fn new(encoder: &'a mut DescriptorEncoder<'b>, name: &'static str, help: &'static str) -> Self {
        Self {
            encoder,
            name,
            help,
            unit: None,
        }
    }

    fn seconds(self) -> Self {
        Self {
            unit: Some(Unit::Seconds),
            ..self
        }
    }

    fn gauge<const N: usize>(
        &mut self,
        series: &[(Labels<N>, impl EncodeGaugeValue)],
    ) -> fmt::Result {
        let Self {
            encoder,
            name,
            help,
            unit,
        } = self;
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    fn counter<const N: usize>(&mut self, series: &[(Labels<N>, u64)]) -> fmt::Result {
        let Self {
            encoder,
            name,
            help,
            unit,
        } = self;
        let mut metric =
            encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in series {
            metric
                .encode_family(labels)?
                .encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }
}
