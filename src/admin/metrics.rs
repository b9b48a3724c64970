//! Metrics as Prometheus reads them (OpenMetrics text).
//!
//! The shards count in plain cells, so there is nothing live to register: each scrape builds one
//! collector from the shards' snapshots and encodes it. Metrics of routers are summed over the
//! shards (a label `rt`, as linkerd calls it); what describes the engine is told per shard, since
//! an uneven shard is what one looks for there.

mod discovery;
mod limits;
mod mirror;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::control::Running;
use crate::control::reload::Reloads;
use crate::control::shard::ShardSnapshot;
use crate::discovery::Report;
use crate::telemetry::RouterSnapshot;
use crate::telemetry::mirror::MirrorSnapshot;

use super::histogram::{Buckets, fold};
use super::process::Process;

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that one scrape tells.
#[derive(Debug)]
struct Scrape {
    driver: &'static str,
    shard_count: usize,
    uptime: Duration,
    loads: Vec<usize>,
    generation: u64,
    reloads: Reloads,
    routers: Vec<RouterMetrics>,
    shards: Vec<ShardMetrics>,
    limited: limits::Limited,
    discovery: Option<Report>,
    process: Process,
}

#[derive(Debug)]
struct RouterMetrics {
    label: String,
    /// [`ROUTER_COUNTERS`] and [`ROUTER_GAUGES`], in their order.
    counters: Vec<u64>,
    gauges: Vec<u64>,
    statuses: BTreeMap<u16, u64>,
    refusals: BTreeMap<&'static str, u64>,
    latency: Buckets,
    mirror: MirrorSnapshot,
}

#[derive(Debug)]
struct ShardMetrics {
    shard: String,
    /// [`SHARD_COUNTERS`] and [`SHARD_GAUGES`], in their order.
    counters: Vec<u64>,
    gauges: Vec<f64>,
}

/// A metric: its name, its meaning, and where its value is.
type Of<S, V> = (&'static str, &'static str, fn(&S) -> V);

const ROUTER_COUNTERS: &[Of<RouterSnapshot, u64>] = &[
    (
        "requests",
        "Requests whose head was read, refused ones included",
        |r| r.requests,
    ),
    ("connections_accepted", "Client connections accepted", |r| {
        r.accepted
    }),
    (
        "connections_handed_over",
        "Client connections given to a less loaded shard",
        |r| r.handed_over,
    ),
    ("upstream_connects", "Connections made to backends", |r| {
        r.connects
    }),
    (
        "upstream_connect_failures",
        "Connections to backends that could not be made",
        |r| r.connect_failures,
    ),
    (
        "upstream_reuses",
        "Requests sent on a pooled connection",
        |r| r.reuses,
    ),
    ("retries", "Attempts after the first", |r| r.retries),
    (
        "requeues",
        "Of these, those of a request that was never delivered",
        |r| r.requeues,
    ),
    (
        "hedges",
        "Requests sent a second time because the response was late",
        |r| r.hedges,
    ),
    (
        "hedges_won",
        "Of these, those that were answered by the second attempt",
        |r| r.hedges_won,
    ),
    (
        "upstream_stale",
        "Of these, those whose pooled connection had been closed",
        |r| r.stale,
    ),
    (
        "client_gone",
        "Requests whose client left before the end of the response",
        |r| r.client_gone,
    ),
    ("truncated", "Responses cut short", |r| r.truncated),
];

const ROUTER_GAUGES: &[Of<RouterSnapshot, u64>] = &[
    ("connections", "Client connections open", |r| {
        r.active_connections
    }),
    ("requests_active", "Requests in flight", |r| {
        r.active_requests
    }),
    (
        "upstream_idle_connections",
        "Idle pooled connections to backends",
        |r| r.idle_connections,
    ),
    (
        "upstream_waiters",
        "Requests that wait for room at a backend",
        |r| r.waiters,
    ),
    (
        "binding_cache_entries",
        "Names in the binding caches, each shard's counted",
        |r| r.bound_names,
    ),
];

const SHARD_COUNTERS: &[Of<ShardSnapshot, u64>] = &[
    (
        "shard_enters",
        "Times the kernel was entered for a turn",
        |s| s.counters.driver.enters,
    ),
    (
        "shard_completions",
        "Completions taken from the kernel",
        |s| s.counters.driver.completions,
    ),
    ("shard_submissions", "Operations asked of the kernel", |s| {
        s.counters.driver.submissions
    }),
    (
        "shard_no_buffers",
        "Times the receive buffers ran out (ENOBUFS)",
        |s| s.counters.driver.no_buffers,
    ),
    ("shard_panics", "Tasks that panicked", |s| s.counters.panics),
    (
        "shard_stalls",
        "Turns in which tasks held the shard too long",
        |s| s.counters.stalls,
    ),
];

const SHARD_GAUGES: &[Of<ShardSnapshot, f64>] = &[
    (
        "shard_completions_per_enter",
        "Completions per entry into the kernel, since the start",
        per_enter,
    ),
    ("shard_buffers_free", "Receive buffers that are free", |s| {
        s.counters.buffers_free as f64
    }),
    ("shard_buffers", "Receive buffers", |s| {
        s.counters.buffers as f64
    }),
    ("shard_tasks", "Tasks alive", |s| s.counters.tasks as f64),
    (
        "shard_ops_in_flight",
        "Operations that wait for their completion",
        |s| s.ops_in_flight as f64,
    ),
];

fn per_enter(shard: &ShardSnapshot) -> f64 {
    let driver = &shard.counters.driver;
    driver.completions as f64 / driver.enters.max(1) as f64
}

/// The text of one scrape.
pub fn text(
    running: &Running,
    snapshots: Vec<ShardSnapshot>,
    discovery: Option<Report>,
    uptime: Duration,
) -> Result<String, fmt::Error> {
    let generation = running.generation();
    let routers = generation.routers.iter();
    let scrape = Scrape {
        driver: running.driver(),
        shard_count: running.shard_count(),
        uptime,
        loads: running.loads(),
        generation: generation.number,
        reloads: running.reloads(),
        routers: routers
            .filter_map(|router| sum(&snapshots, router.number, &router.config.label))
            .collect(),
        shards: snapshots.iter().map(shard).collect(),
        limited: limits::limited(&generation, discovery.as_ref()),
        discovery,
        process: Process::read(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What one router did on all shards that answered; `None` if none did.
fn sum(snapshots: &[ShardSnapshot], number: usize, label: &str) -> Option<RouterMetrics> {
    let mut of_shards = snapshots
        .iter()
        .filter_map(|shard| shard.routers.get(&number));
    let mut sum = of_shards.next()?.clone();
    of_shards.for_each(|other| sum.merge(other));
    Some(RouterMetrics {
        label: label.to_owned(),
        counters: ROUTER_COUNTERS.iter().map(|(_, _, of)| of(&sum)).collect(),
        gauges: ROUTER_GAUGES.iter().map(|(_, _, of)| of(&sum)).collect(),
        latency: fold(&sum.latency),
        statuses: sum.statuses,
        refusals: sum.refusals,
        mirror: sum.mirror,
    })
}

fn shard(snapshot: &ShardSnapshot) -> ShardMetrics {
    ShardMetrics {
        shard: snapshot.shard.to_string(),
        counters: SHARD_COUNTERS
            .iter()
            .map(|(_, _, of)| of(snapshot))
            .collect(),
        gauges: SHARD_GAUGES.iter().map(|(_, _, of)| of(snapshot)).collect(),
    }
}

/// Writes families: one metric with its values by labels.
struct Writer<'e> {
    encoder: DescriptorEncoder<'e>,
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;

impl Writer<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let name = format!("ringlink_{name}");
        let encoder = &mut self.encoder;
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family
                .encode_family(&labels)?
                .encode_counter(&value, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let name = format!("ringlink_{name}");
        let encoder = &mut self.encoder;
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, impl Borrow<Buckets>)>,
    ) -> fmt::Result {
        let name = format!("ringlink_{name}");
        let encoder = &mut self.encoder;
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Histogram)?;
        for (labels, value) in values {
            let Buckets {
                sum,
                count,
                buckets,
            } = value.borrow();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
        }
        Ok(())
    }

    /// A gauge without labels, under its whole name.
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    /// Metrics of the process, under the names of the official clients.
    fn process(&mut self, process: &Process) -> fmt::Result {
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                process.resident_bytes,
            ),
            ("process_open_fds", "Open descriptors", process.open_fds),
            ("process_max_fds", "Most descriptors", process.max_fds),
            ("process_threads", "Threads", process.threads),
        ] {
            if let Some(value) = value {
                self.gauge(name, help, value)?;
            }
        }
        if let Some(seconds) = process.cpu_seconds {
            let help = "User and system time";
            self.encoder
                .encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?
                .encode_counter(&seconds, None::<&Exemplar<NoLabelSet, f64>>)?;
        }
        Ok(())
    }
}

fn rt(router: &RouterMetrics) -> [(&'static str, &str); 1] {
    [("rt", router.label.as_str())]
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer { encoder };
        self.identity(&mut writer)?;
        self.configuration(&mut writer)?;
        self.routers(&mut writer)?;
        self.shards(&mut writer)?;
        limits::write(&mut writer, &self.limited)?;
        discovery::write(&mut writer, self.discovery.as_ref())?;
        writer.process(&self.process)
    }
}

impl Scrape {
    fn identity(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        writer.gauges("build_info", "This build", [(version, 1u64)])?;
        let driver = [("driver", self.driver)];
        writer.gauges("driver_info", "What carries the I/O", [(driver, 1u64)])?;
        let uptime = self.uptime.as_secs_f64();
        writer.gauge("ringlink_uptime_seconds", "Time since the start", uptime)?;
        let count = self.shard_count as u64;
        writer.gauge("ringlink_shards", "Shards", count)?;
        let silent = count.saturating_sub(self.shards.len() as u64);
        let help = "Shards that did not answer this scrape and are missing from it";
        writer.gauge("ringlink_shards_silent", help, silent)
    }

    fn configuration(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let help = "Number of the configuration in force, one more with each reload";
        writer.gauge("ringlink_config_generation", help, self.generation)?;
        let Reloads {
            applied,
            refused,
            behind,
        } = self.reloads;
        let counts = [("applied", applied), ("refused", refused)];
        let counts = counts.map(|(result, count)| ([("result", result)], count));
        writer.counters("config_reloads", "Reloads by their result", counts)?;
        let help = "1 if the last reload was refused, so that the file says something else";
        writer.gauge("ringlink_config_behind", help, u64::from(behind))
    }

    fn routers(&self, writer: &mut Writer<'_>) -> fmt::Result {
        for (index, (name, help, _)) in ROUTER_COUNTERS.iter().enumerate() {
            let values = self.routers.iter().map(|r| (rt(r), r.counters[index]));
            writer.counters(name, help, values)?;
        }
        for (index, (name, help, _)) in ROUTER_GAUGES.iter().enumerate() {
            let values = self.routers.iter().map(|r| (rt(r), r.gauges[index]));
            writer.gauges(name, help, values)?;
        }
        let statuses = self.routers.iter().flat_map(|router| {
            let of = |(status, count): (&u16, &u64)| (labelled(router, "status", status), *count);
            router.statuses.iter().map(of)
        });
        writer.counters("responses", "Responses by status", statuses)?;
        let refusals = self.routers.iter().flat_map(|router| {
            let of = |(reason, count): (&&str, &u64)| (labelled(router, "reason", reason), *count);
            router.refusals.iter().map(of)
        });
        let help = "Responses made by the proxy itself, by the word in their l5d-err";
        writer.counters("refusals", help, refusals)?;
        let latencies = self.routers.iter().map(|r| (rt(r), &r.latency));
        let help = "From a request's head to its response's last byte";
        writer.histograms("request_latency_seconds", help, latencies)?;
        mirror::write(writer, &self.routers)
    }

    fn shards(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let loads = self.loads.iter().enumerate();
        let loads = loads.map(|(shard, load)| ([("shard", shard.to_string())], *load as u64));
        writer.gauges("shard_connections", "Client connections of a shard", loads)?;
        for (index, (name, help, _)) in SHARD_COUNTERS.iter().enumerate() {
            let values = self
                .shards
                .iter()
                .map(|s| ([("shard", s.shard.as_str())], s.counters[index]));
            writer.counters(name, help, values)?;
        }
        for (index, (name, help, _)) in SHARD_GAUGES.iter().enumerate() {
            let values = self
                .shards
                .iter()
                .map(|s| ([("shard", s.shard.as_str())], s.gauges[index]));
            writer.gauges(name, help, values)?;
        }
        Ok(())
    }
}

fn labelled(
    router: &RouterMetrics,
    label: &'static str,
    value: impl ToString,
) -> [(&'static str, String); 2] {
    [("rt", router.label.clone()), (label, value.to_string())]
}
