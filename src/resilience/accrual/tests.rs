//! Failure accrual: what the policies kill, and that whatever died comes back.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;

use super::super::draw::happens;
use super::super::gate::PROBE_FOR_NS;
use super::super::tests::{SHARDS, dice, race};
use super::*;

const SECOND: u64 = NS_PER_SEC;
const MS: u64 = 1_000_000;

fn accrual(policy: AccrualPolicy) -> Accrual {
    Accrual::new(&AccrualConfig {
        policy,
        backoff: Backoff::Constant { ms: 5_000 },
    })
}

fn rate(success_rate: f64, requests: u32) -> AccrualPolicy {
    AccrualPolicy::SuccessRate {
        success_rate,
        requests,
    }
}

fn windowed(success_rate: f64, window_secs: u32) -> AccrualPolicy {
    AccrualPolicy::SuccessRateWindowed {
        success_rate,
        window_secs,
    }
}

/// Sends results (`+` success, `-` failure), a time apart; the index of the one that ejected.
fn run(accrual: &Accrual, cell: &AccrualCell, results: &str, every_ns: u64) -> Option<usize> {
    let mut now = SECOND;
    for (index, result) in results.chars().enumerate() {
        now += every_ns;
        if result == '+' {
            accrual.on_success(cell, now, false);
        } else if accrual.on_failure(cell, now, 0, false).is_some() {
            return Some(index);
        }
    }
    None
}

#[test]
fn what_is_sent_despite_it_all_revives_by_success_only() {
    let accrual = accrual(AccrualPolicy::ConsecutiveFailures { failures: 1 });
    let cell = AccrualCell::default();
    assert!(accrual.on_failure(&cell, SECOND, 0, false).is_some());
    // Sent before it died, or sent to a dead one and failed: neither tells anything.
    assert!(!accrual.on_success(&cell, SECOND, false));
    assert_eq!(accrual.on_failure(&cell, SECOND, 0, false), None);
    assert_eq!(cell.state(SECOND), State::Dead);
    assert!(accrual.on_success_despite(&cell, SECOND));
    assert_eq!(cell.state(SECOND), State::Alive);
    assert!(!accrual.on_success_despite(&cell, SECOND));
    // The backoff began anew, and a probe that is out does not hinder it.
    let ejected = accrual.on_failure(&cell, 2 * SECOND, 0, false);
    assert_eq!(ejected, Some(Ejected { for_ns: 5 * SECOND }));
    assert!(cell.begin_probe(7 * SECOND));
    assert!(accrual.on_success_despite(&cell, 7 * SECOND));
    // The probe's own end is one more result by then.
    assert!(!accrual.on_success(&cell, 7 * SECOND, true));
    assert_eq!(cell.status(7 * SECOND), Status::Open);
}

#[test]
fn defaults_are_linkerds() {
    let config = AccrualConfig::default();
    let (accrual, cell) = (Accrual::new(&config), AccrualCell::default());
    assert_eq!(run(&accrual, &cell, "-----", 0), Some(4));
    assert_eq!(cell.status(6 * SECOND - 1), Status::Busy);
    assert_eq!(cell.status(6 * SECOND), Status::Open);
    assert_eq!(config.backoff.longest_ns(), 300 * SECOND);
}

#[test]
fn a_cell_is_one_line() {
    assert!(size_of::<AccrualCell>() <= 64);
}

#[test]
fn consecutive_failures() {
    let table = [
        (1, "-", Some(0)),
        (1, "+++-", Some(3)),
        (3, "--+--+--", None),
        (3, "--+---", Some(5)),
        (3, "+++++", None),
    ];
    for (failures, results, expected) in table {
        let accrual = accrual(AccrualPolicy::ConsecutiveFailures { failures });
        let cell = AccrualCell::default();
        assert_eq!(
            run(&accrual, &cell, results, MS),
            expected,
            "{failures} {results}"
        );
    }
}

/// Worked out by Finagle's formula: w = e^(-1/n), the first sample is the average, dead if there were
/// at least n requests and the average is lower.
#[test]
fn success_rate() {
    let by_formula = |success_rate: f64, requests: u32, results: &str| {
        let keep = (-1.0 / f64::from(requests)).exp();
        let mut average = None;
        for (index, result) in results.chars().enumerate() {
            let sample = f64::from(u8::from(result == '+'));
            let next = average.map_or(sample, |average| sample * (1.0 - keep) + average * keep);
            average = Some(next);
            if result == '-' && index + 1 >= requests as usize && next < success_rate {
                return Some(index);
            }
        }
        None
    };
    let table = [
        (0.8, 5, "-----", Some(4)),
        (0.8, 5, "----+-", Some(5)),
        // e^(-1/5) = 0.82, e^(-2/5) = 0.67.
        (0.8, 5, "++++++-", None),
        (0.8, 5, "++++++--", Some(7)),
        (0.5, 10, "++++++++++-------", Some(16)),
        (0.5, 10, "++++++++++------", None),
        (0.0, 3, "---------", None),
        (1.0, 1, "+++-", Some(3)),
    ];
    for (success_rate, requests, results, expected) in table {
        let accrual = accrual(rate(success_rate, requests));
        let found = run(&accrual, &AccrualCell::default(), results, MS);
        assert_eq!(found, expected, "{success_rate} {requests} {results}");
        assert_eq!(
            found,
            by_formula(success_rate, requests, results),
            "{results}"
        );
    }
}

#[test]
fn windowed_success_rate() {
    let failures = |n| "-".repeat(n);
    let successes = |n| "+".repeat(n);
    let table = [
        // A full window must have passed since the first result.
        (0.9, 10, failures(10), SECOND, None),
        (0.9, 10, failures(11), SECOND, Some(10)),
        // At least five in the last ten seconds; slices are two seconds.
        (0.9, 10, failures(50), 3 * SECOND, None),
        (0.9, 10, failures(50), 2 * SECOND, Some(5)),
        // After a long good time the average falls by e in ten seconds: to 0.9 in 1.05.
        (0.9, 10, successes(400) + &failures(10), 100 * MS, None),
        (0.9, 10, successes(400) + &failures(11), 100 * MS, Some(410)),
        // Time without requests counts for the next result.
        (0.9, 10, successes(400), 100 * MS, None),
        (0.0, 10, failures(100), SECOND, None),
    ];
    for (success_rate, window, results, every, expected) in table {
        let accrual = accrual(windowed(success_rate, window));
        let found = run(&accrual, &AccrualCell::default(), &results, every);
        assert_eq!(found, expected, "{success_rate} {window} {every} {results}");
    }
}

#[test]
fn none_never_ejects() {
    let accrual = accrual(AccrualPolicy::None);
    let cell = AccrualCell::default();
    assert_eq!(run(&accrual, &cell, &"-".repeat(1_000), SECOND), None);
    assert_eq!(cell.status(0), Status::Open);
}

#[test]
fn only_the_probe_revives_and_only_the_probe_prolongs() {
    let accrual = accrual(AccrualPolicy::ConsecutiveFailures { failures: 1 });
    let cell = AccrualCell::default();
    assert!(accrual.on_failure(&cell, 0, 0, false).is_some());
    // What was sent before comes back.
    assert!(!accrual.on_success(&cell, SECOND, false));
    assert_eq!(accrual.on_failure(&cell, SECOND, 0, false), None);
    assert_eq!(cell.status(SECOND), Status::Busy);
    assert!(cell.begin_probe(5 * SECOND));
    assert_eq!(accrual.on_failure(&cell, 5 * SECOND, 0, false), None);
    assert!(!accrual.on_success(&cell, 5 * SECOND, false));
    assert_eq!(cell.state(5 * SECOND), State::ProbeClosed);
    assert!(accrual.on_failure(&cell, 5 * SECOND, 0, true).is_some());
    assert_eq!(cell.state(10 * SECOND - 1), State::Dead);
    assert!(cell.begin_probe(10 * SECOND));
    assert!(accrual.on_success(&cell, 10 * SECOND, true));
    assert_eq!(cell.state(10 * SECOND), State::Alive);
}

#[test]
fn a_revived_endpoint_starts_anew() {
    for policy in [
        AccrualPolicy::ConsecutiveFailures { failures: 3 },
        rate(0.9, 3),
        windowed(0.9, 1),
    ] {
        let (accrual, cell) = (accrual(policy), AccrualCell::default());
        let every = SECOND / 8;
        run(&accrual, &cell, "------------", every).unwrap();
        let now = 20 * SECOND;
        assert!(cell.begin_probe(now));
        assert!(accrual.on_success(&cell, now, true));
        assert_eq!(
            accrual.on_failure(&cell, now + every, 0, false),
            None,
            "{policy:?}"
        );
        assert_eq!(
            accrual.on_failure(&cell, now + 2 * every, 0, false),
            None,
            "{policy:?}"
        );
    }
}

#[test]
fn an_ignored_probe_is_given_back_at_once() {
    let accrual = accrual(AccrualPolicy::ConsecutiveFailures { failures: 1 });
    let cell = AccrualCell::default();
    accrual.on_failure(&cell, 0, 0, false).unwrap();
    assert!(cell.begin_probe(5 * SECOND));
    cell.on_ignored(false);
    assert_eq!(cell.state(5 * SECOND), State::ProbeClosed, "not the probe");
    cell.on_ignored(true);
    assert_eq!(cell.state(5 * SECOND), State::ProbeOpen);
}

#[test]
fn shards_count_together_and_eject_once() {
    const ROUNDS: usize = 2_000;
    let accrual = accrual(AccrualPolicy::ConsecutiveFailures {
        failures: SHARDS as u32,
    });
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (AccrualCell::default(), AtomicUsize::new(0)))
        .collect();
    race(ROUNDS, |_, round| {
        let (cell, ejected) = &rounds[round];
        let is_last = accrual.on_failure(cell, 0, 0, false).is_some();
        ejected.fetch_add(usize::from(is_last), Relaxed);
    });
    assert!(rounds.iter().all(|(_, n)| n.load(Relaxed) == 1));
}

#[test]
fn shards_send_one_probe_and_revive_once() {
    const ROUNDS: usize = 2_000;
    let accrual = accrual(AccrualPolicy::ConsecutiveFailures { failures: 1 });
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (AccrualCell::default(), AtomicUsize::new(0)))
        .collect();
    for (cell, _) in &rounds {
        accrual.on_failure(cell, 0, 0, false).unwrap();
    }
    race(ROUNDS, |_, round| {
        let (cell, revivals) = &rounds[round];
        let now = 5 * SECOND;
        if cell.begin_probe(now) {
            let revived = accrual.on_success(cell, now, true);
            revivals.fetch_add(usize::from(revived), Relaxed);
        }
    });
    for (cell, revivals) in &rounds {
        assert_eq!(revivals.load(Relaxed), 1);
        assert_eq!(cell.state(0), State::Alive);
    }
}

fn any_policy() -> impl Strategy<Value = AccrualPolicy> {
    prop_oneof![
        (1..6u32).prop_map(|failures| AccrualPolicy::ConsecutiveFailures { failures }),
        (0.0..1.0f64, 1..20u32).prop_map(|(success_rate, n)| rate(success_rate, n)),
        (0.0..1.0f64, 1..20u32).prop_map(|(success_rate, secs)| windowed(success_rate, secs)),
        Just(AccrualPolicy::None),
    ]
}

proptest! {
    /// Whatever happened, an endpoint is Open again after the longest delay, and one good probe makes
    /// it Alive.
    #[test]
    fn whatever_died_comes_back(policy in any_policy(), seed in any::<u64>()) {
        let backoff = Backoff::EqualJittered { start_ms: 1_000, max_ms: 20_000 };
        let accrual = Accrual::new(&AccrualConfig { policy, backoff });
        let (cell, mut random) = (AccrualCell::default(), dice(seed));
        let mut now = 0;
        for _ in 0..300 {
            now += random() >> 34;
            let is_probe = cell.begin_probe(now);
            // One in four probes is lost without a word.
            match random() % 4 {
                0 => cell.on_ignored(is_probe && happens(random(), 0.5)),
                1 => _ = accrual.on_success(&cell, now, is_probe),
                _ => _ = accrual.on_failure(&cell, now, random(), is_probe),
            }
        }
        now += backoff.longest_ns().max(PROBE_FOR_NS);
        prop_assert_eq!(cell.status(now), Status::Open);
        if cell.begin_probe(now) {
            prop_assert!(accrual.on_success(&cell, now, true));
        }
        prop_assert_eq!(cell.state(now), State::Alive);
    }
}
