//! Metrics of limits on requests at once: of servers, which a generation knows, and of names, which
//! discovery does. What they count is read where it is counted: the shards are not asked.

use std::fmt;

use super::Writer;
use crate::control::generation::Generation;
use crate::discovery::Report;

/// A limit and what it counts.
#[derive(Debug)]
pub(super) struct Limited {
    labels: [(&'static str, String); 2],
    /// In the order of [`GAUGES`].
    values: [u32; 3],
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

/// What is limited at present.
pub(super) fn limited(generation: &Generation, report: Option<&Report>) -> Vec<Limited> {
    let servers = generation.routers.iter().flat_map(|router| {
        let servers = router.servers.iter().zip(&router.config.servers);
        servers.filter_map(|(at, config)| {
            let limits = &config.limits;
            let label = || config.label.clone().unwrap_or_else(|| at.addr.to_string());
            limits.are_on_places().then(|| Limited {
                labels: [("rt", router.config.label.clone()), ("server", label())],
                values: [
                    at.bounds.places(limits).max_concurrent,
                    at.bounds.admission.active(),
                    at.bounds.admission.pending(),
                ],
            })
        })
    });
    let names = report.into_iter().flat_map(|report| &report.limited);
    let names = names.filter_map(|name| {
        let router = generation.router(name.router)?;
        Some(Limited {
            labels: [
                ("rt", router.config.label.clone()),
                ("service", name.name.to_string()),
            ],
            values: [name.limit, name.active, name.pending],
        })
    });
    servers.chain(names).collect()
}

/// Writes what there is to tell.
pub(super) fn write(writer: &mut Writer<'_>, limited: &[Limited]) -> fmt::Result {
    for (index, (name, help)) in GAUGES.into_iter().enumerate() {
        let values = limited.iter();
        let values = values.map(|one| (one.labels.clone(), u64::from(one.values[index])));
        writer.gauges(name, help, values)?;
    }
    Ok(())
}
