//! Metrics of limits, on requests at once and on how often they come: of servers, which a generation knows, and of names, which
//! discovery does. What they count is read where it is counted: the shards are not asked.

use std::fmt;

use super::Writer;
use crate::control::generation::{Generation, RouterAt};
use crate::discovery::Report;

type Labels = [(&'static str, String); 2];

/// What is limited at present.
#[derive(Debug)]
pub(super) struct Limited {
    /// Requests at once; the values are in the order of [`GAUGES`].
    at_once: Vec<(Labels, [u32; 3])>,
    /// Keys that tables of rate limits forgot before their time.
    evictions: Vec<(Labels, u64)>,
}

const GAUGES: [(&str, &str); 3] = [
    (
        "concurrency_limit",
        "Requests that may be served at once at present, where that is limited",
    ),
    (
        "concurrency_in_flight",
        "Requests that are served, where that is limited",
    ),
    (
        "concurrency_pending",
        "Requests that wait for a place, where these are limited",
    ),
];

/// Looks at what is limited at present.
pub(super) fn limited(generation: &Generation, report: Option<&Report>) -> Limited {
    let mut limited = Limited {
        at_once: Vec::new(),
        evictions: Vec::new(),
    };
    for router in &generation.routers {
        for (at, config) in router.servers.iter().zip(&router.config.servers) {
            let (limits, bounds) = (&config.limits, &at.bounds);
            let label = config.label.clone();
            let label = label.unwrap_or_else(|| at.addr.to_string());
            let labels = labels(router, "server", label);
            if let Some(rates) = &bounds.rates {
                limited.evictions.push((labels.clone(), rates.evictions()));
            }
            if limits.are_on_places() {
                let limit = bounds.places(limits).max_concurrent;
                let (active, pending) = (bounds.admission.active(), bounds.admission.pending());
                limited.at_once.push((labels, [limit, active, pending]));
            }
        }
    }
    let Some(report) = report else {
        return limited;
    };
    for name in &report.limited {
        if let Some(router) = generation.router(name.router) {
            let labels = labels(router, "service", name.name.to_string());
            let values = [name.limit, name.active, name.pending];
            limited.at_once.push((labels, values));
        }
    }
    for (number, evictions) in &report.rate_evictions {
        if let Some(router) = generation.router(*number) {
            let labels = labels(router, "service", "all".to_owned());
            limited.evictions.push((labels, *evictions));
        }
    }
    limited
}

fn labels(router: &RouterAt, key: &'static str, value: String) -> Labels {
    [("rt", router.config.label.clone()), (key, value)]
}

/// Writes what there is to tell.
pub(super) fn write(writer: &mut Writer<'_>, limited: &Limited) -> fmt::Result {
    for (index, (name, help)) in GAUGES.into_iter().enumerate() {
        let values = limited.at_once.iter();
        let values = values.map(|(labels, values)| (labels.clone(), u64::from(values[index])));
        writer.gauges(name, help, values)?;
    }
    let help = "Keys that a table of a rate limit forgot before their time: raise its maxKeys";
    let evictions = limited.evictions.iter().cloned();
    writer.counters("rate_limit_evictions", help, evictions)
}
