//! The shape of the sources: floors, purity, length, words, licences.
//!
//! These rules are the design's; a program checks them so that reviews need not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms and their floors: a room imports only from floors below its own.
const FLOORS: &[(&str, u32)] = &[
    ("naming", 1),
    ("balance", 1),
    ("resilience", 1),
    ("http", 1),
    ("engine", 1),
    ("tls", 2),
    ("telemetry", 2),
    ("config", 2),
    ("router", 3),
    ("discovery", 4),
    ("namerd", 4),
    ("control", 5),
    ("admin", 5),
    ("cli", 6),
    ("demo", 6),
];

/// Imports within a floor: the admin server shows what control runs, a command starts the demo, and
/// an endpoint's health is what failure accrual makes of it.
const BESIDE: &[(&str, &str)] = &[
    ("admin", "control"),
    ("cli", "demo"),
    ("balance", "resilience"),
];

/// Rooms without I/O, clocks, threads or dice: what they need of these is an argument.
const PURE: &[&str] = &["naming", "balance", "resilience", "http"];

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "Mutex::new",
    "RwLock::new",
    "thread::sleep",
    "thread_rng",
    "rand::",
    "RandomState::new",
    "tokio",
    "libc::",
    "println!",
];

/// On the request path nothing blocks, and time is the shard's.
const UNSHARDED: &[&str] = &[
    "std::time::Instant",
    "Instant::now",
    "SystemTime::now",
    "Mutex::new",
    "RwLock::new",
    "thread::sleep",
    "std::fs",
    "tokio::",
];

const LONGEST_FILE: usize = 600;

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers, without comments and without tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = if self.is_test() { "" } else { &self.text };
        let lines = lines
            .lines()
            .take_while(|line| !line.starts_with("mod tests"));
        lines
            .enumerate()
            .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("")))
    }

    fn is_test(&self) -> bool {
        self.path.components().skip(1).any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part == "tests" || part == "tests.rs"
        })
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ends: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, ends, found);
        } else if path.to_string_lossy().ends_with(ends) {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    files_below(&root().join(folder), ".rs", &mut paths);
    paths.sort();
    let sources = paths.into_iter().map(|full| {
        let path = full.strip_prefix(root()).expect("below").to_path_buf();
        let parts: Vec<_> = path
            .components()
            .map(|p| p.as_os_str().to_string_lossy())
            .collect();
        let room = parts
            .get(1)
            .map_or(String::new(), |room| room.trim_end_matches(".rs").into());
        Source {
            text: fs::read_to_string(&full).expect("UTF-8"),
            path,
            room,
        }
    });
    sources.collect()
}

fn floor(room: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

fn assert_none(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// The rooms that a line names: `crate::room` and each of `crate::{one::X, other::Y}`.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let word = |text: &str| -> String {
            let text = text.trim_start();
            text.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split(", ").map(word)),
            None => found.push(word(rest)),
        }
    }
    found
}

#[test]
fn imports_run_downward() {
    let mut problems = Vec::new();
    for source in sources("src") {
        if source.path.components().count() == 2 {
            continue;
        }
        let Some(own) = floor(&source.room) else {
            problems.push(format!(
                "{}: the room has no floor in tests/tidy.rs",
                source.room
            ));
            continue;
        };
        for (n, line) in source.text.lines().enumerate() {
            let line = line.split("//").next().unwrap_or("");
            if line.contains("crate::{") && !line.contains('}') {
                problems.push(format!("{}: import rooms one a line", source.at(n + 1)));
            }
            for other in imports(line) {
                let Some(its) = floor(&other) else { continue };
                let beside = BESIDE.contains(&(source.room.as_str(), other.as_str()));
                if other != source.room && its >= own && !beside {
                    let room = &source.room;
                    problems.push(format!(
                        "{}: {room} (floor {own}) imports {other} (floor {its})",
                        source.at(n + 1)
                    ));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_room_is_in_the_library() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    for entry in fs::read_dir(root().join("src")).expect("src").flatten() {
        if entry.path().is_dir() {
            let room = entry.file_name().into_string().expect("UTF-8");
            assert!(floor(&room).is_some(), "{room} has no floor");
            assert!(
                lib.contains(&format!("pub mod {room};")),
                "{room} is not in src/lib.rs"
            );
        }
    }
}

#[test]
fn only_the_engine_is_unsafe() {
    let mut problems = Vec::new();
    for source in sources("src") {
        if source.room == "engine" {
            continue;
        }
        for (n, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("").trim_start();
            let named = code.contains("unsafe {")
                || code.contains("unsafe fn")
                || code.contains("unsafe impl")
                || code.contains("allow(unsafe_code)");
            if named {
                problems.push(format!("{}: unsafe", source.at(n + 1)));
            }
        }
        let is_head = source.path.ends_with(format!("{}/mod.rs", source.room));
        if is_head && !source.text.contains("#![forbid(unsafe_code)]") {
            problems.push(format!("{}: no forbid(unsafe_code)", source.at(1)));
        }
    }
    assert_none(&problems);
}

#[test]
fn pure_rooms_are_pure() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let banned = match source.room.as_str() {
            room if PURE.contains(&room) => IMPURE,
            "router" | "telemetry" => UNSHARDED,
            _ => continue,
        };
        for (n, line) in source.code() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}: {word}", source.at(n)));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn files_are_short() {
    let mut problems = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            problems.push(format!(
                "{}: {lines} lines; look for the second idea",
                source.path.display()
            ));
        }
    }
    assert_none(&problems);
}

#[test]
fn modules_say_what_they_are() {
    let mut problems = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let said = source
            .text
            .lines()
            .take(3)
            .any(|line| line.starts_with("//!"));
        // A room that is still empty has nothing to say.
        let empty = source.text.lines().count() < 4;
        if !said && !empty && !source.is_test() {
            problems.push(format!("{}: no `//!` at its head", source.path.display()));
        }
    }
    assert_none(&problems);
}

/// Words that mean that something was left lying about.
#[test]
fn nothing_was_left_behind() {
    // Put together here, so that this file does not have them.
    let words = [
        "TO DO",
        "FIX ME",
        "X XX",
        "HA CK",
        "db g!(",
        "to do!(",
        "unimple mented!(",
    ];
    let words: Vec<String> = words.iter().map(|word| word.replace(' ', "")).collect();
    let mut problems = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        for (n, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{}: {word}", source.at(n + 1)));
            }
            if line.trim_end() != line || line.contains('\t') {
                problems.push(format!("{}: white space", source.at(n + 1)));
            }
        }
    }
    assert_none(&problems);
}

/// The licences that deny.toml allows, read from it: one list for both.
fn allowed_licences() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let start = text.find("allow = [").expect("a list of licences");
    let list = &text[start..];
    let list = &list[..list.find(']').expect("its end")];
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether an expression of licences (SPDX, or the older `A/B`) can be met by what is allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let tidy: String = flat.split_whitespace().collect::<Vec<_>>().join(" ");
    // `AND` of groups, each an `OR`: as far as crates go in practice.
    tidy.split(" AND ").all(|group| {
        group
            .split(" OR ")
            .any(|licence| allowed.iter().any(|allowed| allowed == licence))
    })
}

#[test]
fn licences_are_allowed() {
    let allowed = allowed_licences();
    assert!(is_allowed("MIT/Apache-2.0", &allowed));
    assert!(is_allowed("(MIT OR GPL-3.0) AND Zlib", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {text}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut problems = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence, &allowed) {
            problems.insert(package["name"].to_string(), licence.to_owned());
        }
    }
    assert!(
        problems.is_empty(),
        "not allowed by deny.toml: {problems:#?}"
    );
}
