//! Metrics of discovery: what is known, and what is only kept for want of something better.

use std::fmt;

use crate::discovery::Report;

use super::Writer;

/// A metric: its name, its meaning, and where its value is.
type Of = (&'static str, &'static str, fn(&Report) -> f64);

const GAUGES: &[Of] = &[
    (
        "ringlink_discovery_names",
        "Names that shards remember, each once",
        |r| r.names as f64,
    ),
    (
        "ringlink_discovery_bound_names",
        "Of these, names whose binding is known",
        |r| r.bound as f64,
    ),
    (
        "ringlink_discovery_answers",
        "Answers of namers that names depend on",
        |r| r.answers as f64,
    ),
    (
        "ringlink_discovery_sets",
        "Bound names whose replicas are followed",
        |r| r.sets as f64,
    ),
    ("ringlink_discovery_replicas", "Their replicas", |r| {
        r.replicas as f64
    }),
    (
        "ringlink_discovery_unhealthy_replicas",
        "Of these, those that are not well by their health check",
        |r| r.unhealthy as f64,
    ),
    (
        "ringlink_discovery_stale_sets",
        "Sets that are kept because later answers failed or were empty",
        |r| r.failing.len() as f64,
    ),
    (
        "ringlink_discovery_stale_seconds",
        "Time since the last good answer about the worst of these",
        |r| r.stale().as_secs_f64(),
    ),
];

/// Writes what there is to tell; nothing if the slow path did not answer.
pub(super) fn write(writer: &mut Writer<'_>, report: Option<&Report>) -> fmt::Result {
    let Some(report) = report else { return Ok(()) };
    for (name, help, of) in GAUGES {
        writer.gauge(name, help, of(report))?;
    }
    Ok(())
}
