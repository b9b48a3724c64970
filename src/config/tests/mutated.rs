//! Any text is a configuration or has problems: never a panic, never a position outside.

use proptest::prelude::*;

use super::{file, load};

fn check(text: &str) {
    match load(text) {
        Ok(config) => {
            let again = load(&config.to_json().to_string());
            assert_eq!(again.expect("its JSON loads").to_json(), config.to_json());
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.split(['\n', '\r']).count();
            for problem in &problems {
                assert!((1..=lines + 1).contains(&problem.line), "{problem}");
                assert!(problem.column >= 1, "{problem}");
                assert!(!problem.message.contains('\n'), "{problem}");
            }
            let positions: Vec<_> = problems.iter().map(|p| (p.line, p.column)).collect();
            assert!(positions.is_sorted());
            drop(problems.in_file("x").to_string());
        }
    }
}

/// Bits of the language, for splicing.
const SPLICES: &[&str] = &[
    "\n",
    " ",
    "  ",
    "\t",
    "\r\n",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "|",
    ">",
    "|2-",
    "&a ",
    "*a",
    "!!str ",
    "? ",
    "#",
    "---\n",
    "...\n",
    "%",
    "@",
    "`",
    "~",
    "<<: ",
    "0",
    "-1",
    "é",
    "\u{2028}",
    "\u{0}",
    "\u{feff}",
    "\\",
    "\\x",
    "=> ",
    "port: 1",
    "kind: x\n",
    "routers:\n",
];

/// Of policy, what the shipped files have no use for.
const POLICIES: &str = "
routers:
- protocol: http
  servers: [{port: 0, maxConcurrentRequests: 9, maxPendingRequests: 8, queue: {kind: codel}, adaptiveLimit: {min: 3, max: 9}, rateLimit: {requests: 5, by: {header: a}}}]
  client:
    kind: io.l5d.static
    configs:
    - prefix: /
      loadBalancer: {kind: aperture, lowLoad: 0.5, highLoad: 1.5, panicThresholdPercent: 57}
      hostConnectionPool: {minSize: 1, maxSize: 20, maxWaiters: 30, maxIdle: 40}
      failureAccrual: {kind: successRate, successRate: 0.95, requests: 100, backoff: {kind: constant, ms: 10}}
    - prefix: '/#/*/a-{b}'
      loadBalancer: {kind: ringHash, hashBy: {cookie: sid}, loadFactor: 1.25}
      requeueBudget: {percentCanRetry: 0.125, ttlSecs: 20}
      healthCheck: {path: /up, intervalMs: 700, timeoutMs: 60, failures: 2, successes: 4}
  service:
    totalTimeoutMs: 700
    responseClassifier: {kind: io.l5d.http.retryableRead5XX}
    retries:
      budget: {minRetriesPerSec: 1}
      backoff: {kind: jittered, minMs: 10, maxMs: 100}
      bufferBytes: 10
    maxConcurrentRequests: 7
    mirror: {to: /svc/dark, percent: 12.5, maxConcurrent: 3, maxBodyKB: 8, timeoutMs: 700}
    hedge: {percentile: 99, minDelayMs: 2, maxDelayMs: 50, minSamples: 9}
    maxPendingRequests: 7
    queue: {kind: codel, targetMs: 4, intervalMs: 50}
    adaptiveLimit: {initial: 11, tolerance: 1.25, windowMs: 5, baselineSecs: 6}
    rateLimit: {requests: 10, perSecs: 60, burst: 3, by: path, maxKeys: 9}
    faults: [{match: {path: /a, methods: [GET], headers: {b: '*'}}, abort: {percent: 0.5, status: 503}, delay: {percent: 5, ms: 7}}]
";

#[derive(Debug, Clone)]
enum Edit {
    Splice(usize, usize),
    Remove(usize, usize),
    CopyLine(usize, usize),
    Indent(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0..4000_usize;
    prop_oneof![
        (at.clone(), 0..SPLICES.len()).prop_map(|(a, b)| Edit::Splice(a, b)),
        (at.clone(), 1..12_usize).prop_map(|(a, b)| Edit::Remove(a, b)),
        (at.clone(), 0..200_usize).prop_map(|(a, b)| Edit::CopyLine(a, b)),
        (at, 0..8_usize).prop_map(|(a, b)| Edit::Indent(a, b)),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (length, count) = (chars.len() + 1, lines.len());
    match *edit {
        Edit::Splice(at, which) => {
            let at = at % length;
            chars.splice(at..at, SPLICES[which].chars());
        }
        Edit::Remove(at, n) => {
            let at = at % length;
            chars.drain(at..(at + n).min(length - 1));
        }
        Edit::CopyLine(from, to) => {
            let line = lines[from % count].clone();
            lines.insert(to % (count + 1), line);
            return lines.join("\n");
        }
        Edit::Indent(at, n) => {
            let line = &mut lines[at % count];
            *line = format!("{}{}", " ".repeat(n), line.trim_start());
            return lines.join("\n");
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files(which in 0..5_usize, edits in prop::collection::vec(edit(), 1..6)) {
        let text = match ["http", "edge", "sidecar", "routes"].get(which) {
            Some(name) => file(&format!("configs/{name}.yaml")),
            None => POLICIES.to_owned(),
        };
        check(&edits.iter().fold(text, |text, edit| apply(&text, edit)));
    }

    #[test]
    fn splices_alone(which in prop::collection::vec(0..SPLICES.len(), 0..40)) {
        check(&which.iter().map(|i| SPLICES[*i]).collect::<String>());
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }
}
