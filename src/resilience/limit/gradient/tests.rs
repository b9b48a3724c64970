//! The gradient: step by step, and against services that queue.

use proptest::prelude::*;

use super::super::super::tests::dice;
use super::*;

const SECOND: u64 = 1_000_000_000;
const WINDOW: u64 = SECOND / 10;

fn sample(mean_ms: f64, most_in_flight: u32) -> WindowSample {
    WindowSample {
        mean_ns: mean_ms * 1e6,
        most_in_flight,
    }
}

/// A service of this capacity and latency, and clients that send at most so many at once.
struct Service {
    capacity: f64,
    base_ms: f64,
    offered: u32,
}

/// Runs windows; the lowest limit that held in them.
fn run(gradient: &mut Gradient, service: &Service, now: &mut u64, seconds: u64) -> u32 {
    let config = LimitConfig::default();
    let (mut random, mut lowest) = (dice(*now), u32::MAX);
    for _ in 0..seconds * 10 {
        *now += WINDOW;
        lowest = lowest.min(gradient.current());
        let in_flight = service.offered.min(gradient.current());
        let slower = (f64::from(in_flight) / service.capacity).max(1.0);
        let sample = sample(service.base_ms * slower, in_flight);
        gradient.step(&config, sample, *now, random());
    }
    lowest
}

#[test]
fn one_step_is_the_formula() {
    // Mean (ms) with a baseline of 10 ms, at a limit of 100; the limit after.
    let table = [
        // Up to 1.5 times the baseline: 100 + 0.2 · 10.
        (5.0, 102.0),
        (10.0, 102.0),
        (15.0, 102.0),
        // Gradient 0.75: 100 + 0.2 · (75 + 10 − 100).
        (20.0, 97.0),
        // 0.5, and no less.
        (30.0, 92.0),
        (3_000.0, 92.0),
    ];
    for (mean_ms, expected) in table {
        let mut gradient = Gradient {
            limit: 100.0,
            baseline_ns: 10e6,
            due_ns: u64::MAX,
            probe: None,
        };
        gradient.step(&LimitConfig::default(), sample(mean_ms, 100), 0, 0);
        assert!(
            (gradient.limit - expected).abs() < 1e-9,
            "{mean_ms}: {}",
            gradient.limit
        );
    }
}

#[test]
fn little_load_teaches_the_baseline_and_not_the_limit() {
    let mut gradient = Gradient::new(&LimitConfig::default());
    let config = LimitConfig::default();
    gradient.step(&config, sample(10.0, 9), 0, 0);
    assert_eq!((gradient.current(), gradient.baseline_ns), (20, 10e6));
    gradient.step(&config, sample(20.0, 9), 0, 0);
    assert_eq!((gradient.current(), gradient.baseline_ns), (20, 12e6));
    assert_eq!(gradient.due_ns, 60 * SECOND);
    gradient.step(&config, sample(12.0, 9), SECOND, u64::MAX);
    assert!(
        (SECOND * 69..=SECOND * 70).contains(&gradient.due_ns),
        "within 15 %"
    );
}

#[test]
fn a_service_with_room_is_never_probed() {
    let service = Service {
        capacity: 100.0,
        base_ms: 10.0,
        offered: 9,
    };
    let (mut gradient, mut now) = (Gradient::new(&LimitConfig::default()), 0);
    assert_eq!(run(&mut gradient, &service, &mut now, 300), 20);
}

#[test]
fn a_baseline_learnt_under_load_is_found_out_by_one_probe() {
    let service = Service {
        capacity: 50.0,
        base_ms: 10.0,
        offered: u32::MAX,
    };
    let mut gradient = Gradient {
        limit: 800.0,
        baseline_ns: 160e6,
        due_ns: SECOND,
        probe: None,
    };
    let mut now = 0;
    // Halved from 800 until 25 is no faster than 50.
    let lowest = run(&mut gradient, &service, &mut now, 5);
    assert!((10..=50).contains(&lowest), "{lowest}");
    assert!((gradient.baseline_ns - 10e6).abs() < 1e5);
    run(&mut gradient, &service, &mut now, 20);
    assert!(
        gradient.current().abs_diff(84) < 3,
        "{}",
        gradient.current()
    );
}

#[test]
fn probes_are_short_and_rare() {
    let service = Service {
        capacity: 100.0,
        base_ms: 10.0,
        offered: u32::MAX,
    };
    let (mut gradient, mut now) = (Gradient::new(&LimitConfig::default()), 0);
    run(&mut gradient, &service, &mut now, 30);
    let (mut probing, mut windows) = (0, 0);
    for _ in 0..6_000 {
        windows += 1;
        run_window(&mut gradient, &service, &mut now);
        probing += u32::from(gradient.probe.is_some());
    }
    assert!(
        probing > 0 && probing * 100 < windows,
        "{probing} of {windows}"
    );
}

fn run_window(gradient: &mut Gradient, service: &Service, now: &mut u64) {
    *now += WINDOW;
    let in_flight = service.offered.min(gradient.current());
    let slower = (f64::from(in_flight) / service.capacity).max(1.0);
    let sample = sample(service.base_ms * slower, in_flight);
    gradient.step(&LimitConfig::default(), sample, *now, *now);
}

#[test]
fn follows_a_service_that_changes() {
    let mut service = Service {
        capacity: 100.0,
        base_ms: 10.0,
        offered: u32::MAX,
    };
    let (mut gradient, mut now) = (Gradient::new(&LimitConfig::default()), 0);
    run(&mut gradient, &service, &mut now, 60);
    assert!(gradient.current().abs_diff(163) < 5);
    // Half of its replicas go.
    service.capacity = 50.0;
    run(&mut gradient, &service, &mut now, 10);
    assert!(gradient.current() < 100, "{}", gradient.current());
    // It does three times the work for each: the baseline is wrong for a minute.
    (service.capacity, service.base_ms) = (100.0, 30.0);
    run(&mut gradient, &service, &mut now, 160);
    assert!(
        gradient.current().abs_diff(163) < 10,
        "{}",
        gradient.current()
    );
}

#[test]
fn a_probe_does_not_wait_for_streams_for_ever() {
    let (mut gradient, config) = (
        Gradient::new(&LimitConfig::default()),
        LimitConfig::default(),
    );
    gradient.step(&config, sample(10.0, 20), 0, 0);
    gradient.step(&config, sample(10.0, 20), 0, 0);
    assert_eq!(gradient.current(), 10);
    for _ in 0..MOST_DRAINS {
        assert_eq!(gradient.needed(&config), 10);
        gradient.step(&config, sample(10.0, 20), 0, 0);
    }
    gradient.step(&config, sample(10.0, 20), 0, 0);
    assert_eq!(gradient.current(), 20);
}

#[test]
fn words_keep_everything() {
    let plain = Gradient {
        limit: 12.5,
        baseline_ns: 3.25,
        due_ns: u64::MAX - 1,
        probe: None,
    };
    let probing = Gradient {
        probe: Some(Probe {
            limit: 6.0,
            last_ns: 1.5,
            drains: 7,
        }),
        ..plain
    };
    for gradient in [plain, probing] {
        assert_eq!(Gradient::from_words(gradient.to_words()), gradient);
    }
}

proptest! {
    #[test]
    fn stays_within_its_range_whatever_comes(
        min in 0..50u32,
        max in 0..500u32,
        initial in 0..1_000u32,
        windows in prop::collection::vec((1.0..1e12f64, 0..2_000u32, any::<u64>()), 1..300),
    ) {
        let config = LimitConfig { min, max, initial, ..LimitConfig::default() };
        let mut gradient = Gradient::new(&config);
        let (least, most) = (min.max(1), max.max(min.max(1)));
        let mut now = 0u64;
        for (mean_ns, most_in_flight, bits) in windows {
            now += bits >> 30;
            let before = gradient.limit;
            let sample = WindowSample { mean_ns, most_in_flight };
            gradient.step(&config, sample, now, bits);
            prop_assert!((least..=most).contains(&gradient.current()));
            prop_assert!(gradient.limit >= before * 0.9 - 1e-9);
            prop_assert!(gradient.limit <= before + 0.2 * before.sqrt() + 1e-9);
        }
    }
}
