//! `ringlink demo --check`: every promise of the demo, tried through real sockets.

use super::Places;
use super::client::{Response, exchange, exchange_raw, get, request};

/// Requests for the weighted split.
const DRAWS: usize = 300;
/// How many of them version 2 may get: 30 expected, σ ≈ 5.2, so six of them either way.
const FEW: std::ops::RangeInclusive<usize> = 5..=61;

type Step = (&'static str, fn(&Places) -> Result<(), String>);

const STEPS: &[Step] = &[
    ("web → word → gen, each through ringlink", chain),
    ("a name by its own Host", by_name),
    ("nine to one between two versions", split),
    ("a name that does not exist: 502 with l5d-err", unknown),
    ("a request that is none: 400", malformed),
    ("a request without a name: 400", unnamed),
    ("two requests on one connection", kept_alive),
    ("a backend that quits: only its share fails", lost_backend),
    ("admin: ping, configuration, metrics", admin),
];

/// Tries everything, then asks ringlink to end, whatever came out.
pub fn run(places: Places) -> Result<(), String> {
    let tried = STEPS.iter().try_for_each(|(name, step)| {
        step(&places).map_err(|why| format!("{name}: {why}"))?;
        println!("ok   {name}");
        Ok(())
    });
    let stop = request("POST", "admin", "/admin/shutdown");
    match exchange(places.admin, stop.as_bytes()) {
        Ok(response) if response.status == 200 => tried,
        other => {
            // Without an end there is nothing to wait for.
            let why = tried.err().unwrap_or_default();
            eprintln!("ringlink: {why}\nringlink: /admin/shutdown failed: {other:?}");
            std::process::exit(1);
        }
    }
}

fn ask(places: &Places, host: &str) -> Result<Response, String> {
    get(places.proxy, host).map_err(|error| format!("{host}: {error}"))
}

fn send(places: &Places, text: &str) -> Result<Response, String> {
    exchange(places.proxy, text.as_bytes()).map_err(|error| error.to_string())
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn chain(places: &Places) -> Result<(), String> {
    let answer = ask(places, "web")?;
    let good = answer.status == 200 && answer.body.starts_with("hello, world");
    expect(good, || format!("{answer:?}"))
}

fn by_name(places: &Places) -> Result<(), String> {
    let answer = ask(places, "gen-v2")?;
    expect(answer.body.contains("v2"), || format!("{answer:?}"))
}

fn split(places: &Places) -> Result<(), String> {
    let mut second = 0;
    for _ in 0..DRAWS {
        let answer = ask(places, "gen")?;
        expect(answer.status == 200, || format!("{answer:?}"))?;
        second += usize::from(answer.body.contains("v2"));
    }
    expect(FEW.contains(&second), || {
        format!("version 2 got {second} of {DRAWS}")
    })
}

fn unknown(places: &Places) -> Result<(), String> {
    let answer = ask(places, "nobody")?;
    expect(answer.status == 502, || format!("{answer:?}"))?;
    expect(answer.field("l5d-err").is_some(), || {
        format!("no l5d-err: {answer:?}")
    })
}

fn malformed(places: &Places) -> Result<(), String> {
    let answer = send(
        places,
        "GET / HTTP/1.1\r\nHost: web\r\nContent-Length: x\r\n\r\n",
    )?;
    expect(answer.status == 400, || format!("{answer:?}"))
}

fn unnamed(places: &Places) -> Result<(), String> {
    let answer = send(places, "GET / HTTP/1.0\r\n\r\n")?;
    expect(answer.status == 400, || format!("{answer:?}"))?;
    let reason = answer.field("l5d-err");
    expect(reason == Some("unidentified"), || format!("{answer:?}"))
}

fn kept_alive(places: &Places) -> Result<(), String> {
    let first = "GET / HTTP/1.1\r\nHost: gen-v1\r\n\r\n";
    let both = format!("{first}{}", request("GET", "gen-v1", "/"));
    let answers = exchange_raw(places.proxy, both.as_bytes()).map_err(|error| error.to_string())?;
    let answers = String::from_utf8_lossy(&answers);
    let count = answers.matches("HTTP/1.1 200").count();
    expect(count == 2, || format!("{count} answers: {answers}"))
}

fn lost_backend(places: &Places) -> Result<(), String> {
    let quit = request("POST", "gen-v2", "/quit");
    exchange(places.gen_v2, quit.as_bytes()).map_err(|error| error.to_string())?;
    // Its listener closes in its own time.
    for _ in 0..200 {
        if ask(places, "gen-v2")?.status == 502 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut failed = 0;
    for _ in 0..100 {
        let answer = ask(places, "gen")?;
        let refused = answer.status == 502 && answer.field("l5d-err").is_some();
        expect(answer.status == 200 || refused, || format!("{answer:?}"))?;
        failed += usize::from(refused);
    }
    expect(failed < 40, || format!("{failed} of 100 failed"))
}

fn admin(places: &Places) -> Result<(), String> {
    let read = |path: &str| {
        let text = request("GET", "admin", path);
        exchange(places.admin, text.as_bytes()).map_err(|error| format!("{path}: {error}"))
    };
    expect(read("/admin/ping")?.body == "pong", || "no pong".to_owned())?;
    let config = read("/config.json")?.body;
    expect(config.contains("gen-v1"), || config)?;
    let tree = read("/delegator.json?path=/svc/gen")?.body;
    expect(tree.contains("\"type\":\"union\""), || tree)?;
    let metrics = read("/metrics")?.body;
    let value = |name: &str| -> Result<u64, String> {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| format!("{name} is not in the metrics"))
    };
    let requests = value("ringlink_requests_total{rt=\"demo\"}")?;
    expect(requests >= DRAWS as u64, || format!("{requests} requests"))?;
    let unidentified = value("ringlink_refusals_total{rt=\"demo\",reason=\"unidentified\"}")?;
    expect(unidentified == 1, || {
        format!("{unidentified} unidentified requests")
    })?;
    let reuses = value("ringlink_upstream_reuses_total{rt=\"demo\"}")?;
    expect(reuses > 0, || {
        "no backend's connection was used twice".to_owned()
    })?;
    let silent = value("ringlink_shards_silent")?;
    expect(silent == 0, || format!("{silent} shards are silent"))
}
