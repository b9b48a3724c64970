//! The simulation's own test: each bug that is planted on purpose must make some seed fail, soon.
//! `SIM_BUG=<name>` plants those only whose name has this in it.

use ringlink::engine::planted::{Bug, plant};

use crate::{number, on_thread, run};

/// Seeds that may pass before a bug must have been caught.
const MOST: u64 = 12_000;

/// The first seed that catches a bug, and how.
fn caught(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (0..number("SIM_PLANTED").unwrap_or(MOST)).find_map(|seed| {
        let violations = run(seed, false).report.violations;
        Some((seed, violations.into_iter().next()?))
    });
    plant(None);
    found
}

#[test]
fn planted_bugs_are_caught() {
    let only = std::env::var("SIM_BUG").unwrap_or_default();
    for bug in Bug::ALL {
        if !format!("{bug:?}").contains(&only) {
            continue;
        }
        let found = on_thread(move || caught(bug));
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was planted and no seed caught it");
    }
}
