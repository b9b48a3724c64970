//! What PERFORMANCE.md claims of balancing and resilience, held by short runs of the same
//! simulation: see bench/resilience.

#[path = "../bench/resilience/suite/mod.rs"]
mod suite;

use suite::report::Scale;
use suite::scenarios::ALL;

/// Short runs, unless somebody has the time.
fn scale() -> Scale {
    match std::env::var_os("RESILIENCE_FULL") {
        Some(_) => Scale::Full,
        None => Scale::Quick,
    }
}

/// Runs a scenario and holds it to its claims.
fn claims(name: &str) {
    let (_, run) = ALL.iter().find(|(of, _)| *of == name).expect("a scenario");
    let report = run(scale());
    let text = report.markdown("charts");
    for claim in &report.claims {
        assert!(claim.holds, "{}\n{text}", claim.says);
    }
    assert!(!report.claims.is_empty(), "{name} claims nothing");
    for table in &report.tables {
        let cells = table.head.len();
        assert!(table.rows.iter().all(|row| row.len() == cells), "{text}");
    }
    for (file, chart) in &report.charts {
        assert!(!chart.svg().contains("NaN"), "{file}");
    }
    assert!(text.contains(report.title) && !report.name.is_empty());
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                claims($name);
            }
        )*

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$($name),*];
            assert!(ALL.iter().map(|(name, _)| *name).eq(tested));
        }
    };
}

scenarios! {
    one_slow_replica: "slow-replica",
    pauses_and_hedges: "pauses",
    a_cold_replica: "cold",
    a_fast_failure: "black-hole",
    a_zone_lost: "zone",
    a_full_outage: "outage",
    after_an_outage: "recovery",
    retries_in_a_chain: "chain",
    overload: "overload",
    deadlines_in_a_chain: "deadlines",
    shards_as_one: "shards",
}

#[test]
fn a_seed_is_a_run() {
    let (_, run) = ALL[3];
    let again = || run(Scale::Quick).markdown("charts");
    assert_eq!(again(), again());
}
