//! Metrics of dark traffic: how much of it there is, and how its answers compare with the clients'.

use std::fmt;

use super::{RouterMetrics, Writer, labelled, rt};
use crate::admin::histogram::fold;
use crate::telemetry::mirror::{Latencies, MirrorSnapshot};

/// Counts by a reason, and where they are.
type ByReason = fn(&MirrorSnapshot) -> &std::collections::BTreeMap<&'static str, u64>;

const REASONS: &[(&str, &str, ByReason)] = &[
    (
        "mirror_skipped",
        "Requests that were drawn and not mirrored",
        |mirror| &mirror.skipped,
    ),
    (
        "mirror_failed",
        "Copies that got no whole answer",
        |mirror| &mirror.failed,
    ),
];

pub(super) fn write(writer: &mut Writer<'_>, routers: &[RouterMetrics]) -> fmt::Result {
    let sent = routers.iter().map(|r| (rt(r), r.mirror.sent));
    writer.counters("mirror_sent", "Copies of requests sent", sent)?;
    let active = routers.iter().map(|r| (rt(r), r.mirror.active));
    let help = "Copies in flight, and requests that will be mirrored";
    writer.gauges("mirror_active", help, active)?;
    for (name, help, of) in REASONS {
        let counts = routers.iter().flat_map(|router| {
            let counts = of(&router.mirror).iter();
            counts.map(|(reason, count)| (labelled(router, "reason", reason), *count))
        });
        writer.counters(name, help, counts)?;
    }
    let compared = routers.iter().flat_map(|router| {
        let counts = router.mirror.compared.iter();
        counts.map(|(classes, count)| (classed(router, *classes), *count))
    });
    let help = "Answers to copies, by the classes of their statuses and of the clients'";
    writer.counters("mirror_compared", help, compared)?;
    let latencies = routers.iter().flat_map(|router| {
        let both = router.mirror.latencies.iter();
        both.flat_map(|Latencies { primary, mirror }| {
            [("primary", primary), ("mirror", mirror)]
                .map(|(of, recorded)| (labelled(router, "of", of), fold(recorded)))
        })
    });
    let help = "To the heads of both answers, of requests that were compared";
    writer.histograms("mirror_latency_seconds", help, latencies)
}

fn classed(router: &RouterMetrics, (primary, mirror): (u16, u16)) -> [(&'static str, String); 4] {
    let result = if primary == mirror {
        "same"
    } else {
        "different"
    };
    [
        ("rt", router.label.clone()),
        ("result", result.to_owned()),
        ("primary", format!("{primary}xx")),
        ("mirror", format!("{mirror}xx")),
    ]
}
