//! The smoke tests of `bench/fleet/run`: what it measures and does not hang on a quiet machine holds
//! under both drivers.

use std::process::Command;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/fleet/run");

/// Runs a part with its goals; its JSON.
fn part(name: &str, driver: &str) -> serde_json::Value {
    let out = std::env::temp_dir().join(format!("fleet-{}-{name}-{driver}", std::process::id()));
    let output = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([PROGRAM, "--quick", "--check", "--only", name])
        .args(["--driver", driver])
        .args(["--ringlink", env!("CARGO_BIN_EXE_ringlink")])
        .arg("--out")
        .arg(&out)
        .output()
        .expect("python3 is installed by scripts/test");
    let (said, wrong) = (&output.stdout, &output.stderr);
    let text = String::from_utf8_lossy(said) + String::from_utf8_lossy(wrong);
    assert!(output.status.success(), "{text}");
    let mut files = std::fs::read_dir(&out).expect("a directory");
    let file = files.next().expect("a file").expect("its name");
    let json = std::fs::read_to_string(file.path()).expect("UTF-8");
    std::fs::remove_dir_all(&out).unwrap();
    let mut data: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    data["parts"][name].take()
}

/// That every goal was measured and met; how many there are.
fn goals_met(part: &serde_json::Value) -> usize {
    let goals = part["goals"].as_array().expect("goals");
    for goal in goals {
        assert!(goal["value"].is_number(), "{goal}");
        assert_eq!(goal["is_met"], true, "{goal}");
    }
    goals.len()
}

macro_rules! drivers {
    ($($driver:ident),+) => {$(
        mod $driver {
            use super::*;

            #[test]
            fn killed_backends_cost_no_request() {
                let kills = part("kills", stringify!($driver));
                assert_eq!(goals_met(&kills), 3);
                assert!(kills["raw"][0]["requests"].as_u64() > Some(1_000), "{kills}");
                assert!(kills["raw"][0]["connects"].as_f64() > Some(5.0), "{kills}");
            }

            #[test]
            fn retries_in_an_outage_are_paid_for() {
                let outage = part("outage", stringify!($driver));
                assert_eq!(goals_met(&outage), 6);
            }

            #[test]
            fn a_client_that_leaves_is_gone_three_proxies_on() {
                let cancel = part("cancel", stringify!($driver));
                assert_eq!(goals_met(&cancel), 3);
                assert_eq!(cancel["raw"]["closes"].as_array().map(Vec::len), Some(10));
            }
        }
    )+};
}

drivers!(io_uring, epoll);
