//! How ringlink's balancing and resilience do when things go wrong, beside simpler ways: a
//! simulation in virtual time, the same on every machine, of the very code that the proxy runs.
//!
//! ```text
//! cargo bench --bench resilience                  all scenarios; prints tables and claims
//!     -- NAME…                                    these scenarios
//!     -- --quick                                  shorter runs
//!     -- --test                                   shorter runs, fails if a claim is broken
//!     -- --write-performance                      charts into bench/charts, tables into PERFORMANCE.md
//! ```
//!
//! tests/fleets.rs runs the same, with the claims.

mod suite;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use suite::report::{Report, Scale};
use suite::scenarios::ALL;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_set = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = is_set("--quick") || is_set("--test");
    let scale = if quick { Scale::Quick } else { Scale::Full };
    let names: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let mut reports = Vec::new();
    for (name, run) in ALL {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            let report = run(scale);
            print!("{}", report.markdown("bench/charts"));
            reports.push(report);
        }
    }
    if is_set("--write-performance")
        && let Err(error) = write(&reports)
    {
        eprintln!("not written: {error}");
        return ExitCode::FAILURE;
    }
    let claims = reports.iter().flat_map(|report| &report.claims);
    let broken = claims.filter(|claim| !claim.holds).count();
    if broken > 0 {
        eprintln!("{broken} claims are broken");
    }
    if broken > 0 && is_set("--test") {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Charts and tables, the latter between the marks that PERFORMANCE.md has for each scenario.
fn write(reports: &[Report]) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("PERFORMANCE.md");
    let mut text = fs::read_to_string(&page)?;
    for report in reports {
        for (name, chart) in &report.charts {
            let file = root.join(format!("bench/charts/resilience-{name}.svg"));
            fs::write(file, chart.svg())?;
        }
        let open = format!("<!-- resilience:{} -->\n", report.name);
        let close = format!("<!-- /resilience:{} -->", report.name);
        let (Some(start), Some(end)) = (text.find(&open), text.find(&close)) else {
            return Err(io::Error::other(format!("no marks for {}", report.name)));
        };
        text.replace_range(start + open.len()..end, &report.markdown("bench/charts"));
    }
    fs::write(page, text)
}
