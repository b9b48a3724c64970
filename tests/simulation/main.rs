//! Deterministic simulation of whole proxies: real shards, routers and pools over the simulated
//! network, against scripted clients and backends, from one seed.
//!
//! What must hold, in every world: each request ends once, and nothing that looks like a complete
//! response is anything else than its own; no byte of one exchange shows up in another; buffers,
//! operations, descriptors and counts are all given back; after the faults stop everything in
//! flight comes to its end, and whoever asks properly then is served; the engine keeps the rules of
//! its drivers; nothing panics. And by the policies that the seed draws ([`policy`], [`rules`]): what
//! arrives was paid for, nothing is sent once its time is over, nothing is repeated that may not be,
//! no replica has more than there is room for.
//!
//! `SIM_SEEDS` says how many seeds (default 8,000) and `SIM_FIRST` where they begin;
//! `SIM_SEED=<n> cargo test --test simulation -- --nocapture` replays one and tells its story.

mod backend;
mod chance;
mod client;
mod ledger;
mod listener;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod policy;
mod rules;
mod wire;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plan::Plan;
use world::{REACHED, Report, World};

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps panics' messages instead of printing them: a failing seed tells its own.
fn collect_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("world") {
                PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            } else {
                print(info);
            }
        }));
    });
}

struct Run {
    report: Report,
    story: Vec<String>,
    trace: Vec<String>,
}

/// Runs one seed on a thread whose panics are collected.
fn run(seed: u64, verbose: bool) -> Run {
    PANICS.with_borrow_mut(Vec::clear);
    let mut world = World::new(Plan::new(seed), verbose);
    let (net, ledger) = (world.net.clone(), Rc::clone(&world.ledger));
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let mut report = match played {
        Ok(report) => report,
        Err(_) => {
            // A world that broke is left as it is: its destructors would only break again.
            std::mem::forget(world);
            Report {
                hash: 0,
                tally: [0; 4],
                reached: [0; REACHED.len()],
                violations: ledger.violations(),
            }
        }
    };
    let panics = PANICS.with_borrow_mut(std::mem::take);
    report
        .violations
        .extend(panics.into_iter().map(|text| format!("panic: {text}")));
    Run {
        report,
        story: ledger.story.take(),
        trace: net.trace().iter().map(ToString::to_string).collect(),
    }
}

fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    collect_panics();
    let thread = std::thread::Builder::new().name("world".to_owned());
    let thread = thread.spawn(work).expect("a thread");
    thread.join().expect("worlds catch their panics")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// Everything there is to say about a failing seed.
fn tell(seed: u64) -> String {
    let run = run(seed, true);
    let tail =
        |lines: &[String], most: usize| lines[lines.len().saturating_sub(most)..].join("\n  ");
    format!(
        "seed {seed} fails:\n  {}\nits plan: {:?}\nits story:\n  {}\nthe end of its trace:\n  {}\n\
         replay: SIM_SEED={seed} cargo test --test simulation -- --nocapture\n",
        run.report.violations.join("\n  "),
        Plan::new(seed),
        tail(&run.story, 200),
        tail(&run.trace, number("SIM_TRACE").unwrap_or(60) as usize),
    )
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Some(seed) = number("SIM_SEED") {
        let (text, failed) = on_thread(move || {
            let failed = !run(seed, false).report.violations.is_empty();
            (tell(seed), failed)
        });
        println!("{text}");
        assert!(!failed, "seed {seed} fails");
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let count = number("SIM_SEEDS").unwrap_or(8000);
    let next = AtomicU64::new(first);
    let failing: Mutex<Vec<(u64, Vec<String>)>> = Mutex::new(Vec::new());
    let tally: [AtomicU64; 4] = Default::default();
    let reached: [AtomicU64; REACHED.len()] = Default::default();
    let started = Instant::now();
    collect_panics();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let thread = std::thread::Builder::new().name("world".to_owned());
            let work = || loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return;
                }
                let report = run(seed, false).report;
                for (sum, one) in tally.iter().zip(report.tally) {
                    sum.fetch_add(one, Ordering::Relaxed);
                }
                for (sum, one) in reached.iter().zip(report.reached) {
                    sum.fetch_add(one, Ordering::Relaxed);
                }
                if !report.violations.is_empty() {
                    failing
                        .lock()
                        .expect("no panics here")
                        .push((seed, report.violations));
                }
            };
            thread.spawn_scoped(scope, work).expect("a thread");
        }
    });
    println!(
        "{count} seeds in {:.1} s; answered, refused, cut, left: {tally:?}",
        started.elapsed().as_secs_f64()
    );
    let reached = reached.map(AtomicU64::into_inner);
    println!("{:?}", REACHED.iter().zip(reached).collect::<Vec<_>>());
    let mut failing = failing.into_inner().expect("no panics here");
    failing.sort();
    if let Some((seed, _)) = failing.first().cloned() {
        println!("{}", on_thread(move || tell(seed)));
        for (seed, violations) in &failing {
            println!("seed {seed}: {}", violations[0]);
        }
        panic!("{} of {count} seeds fail", failing.len());
    }
    for (what, count) in REACHED.iter().zip(reached).filter(|_| count >= 2000) {
        assert!(count > 0, "no seed of many had {what}");
    }
}

#[test]
fn the_same_seed_goes_the_same_way() {
    on_thread(|| {
        for seed in 0..100 {
            let hashes = [run(seed, false).report.hash, run(seed, true).report.hash];
            assert_eq!(hashes[0], hashes[1], "seed {seed}");
        }
    });
}
