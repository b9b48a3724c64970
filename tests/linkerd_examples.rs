//! linkerd 1.x's own example configurations: those that need nothing that is not there yet load and
//! route, the others are refused by the names of what they need.
//!
//! The examples are not part of this repository. The tests read them from the directory that
//! `LINKERD_EXAMPLES` names, or from beside the checkout, and pass without them.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::backend::ok;
use support::proxy::{Proxy, binary};
use support::{Backend, Client, PATIENCE, free_port};

/// Each file, and what it needs that is not supported yet; none of the rest is in its way.
#[rustfmt::skip]
const FILES: &[(&str, &[&str])] = &[
    ("access-logs.yaml", &["telemetry", "routers[].httpAccessLog", "routers[].httpAccessLog"]),
    ("admin-tls.yaml", &["admin.tls", "telemetry"]),
    ("admin.yaml", &["admin.workerThreads", "admin.security", "telemetry", "interpreter `io.l5d.namerd`"]),
    ("client-options.yaml", &["client.socketOptions.keepAlive", "client.socketOptions.reusePort", "client.socketOptions.readTimeoutMs", "client.socketOptions.writeTimeoutMs", "client.configs[].tls"]),
    ("consul-interpreter.yaml", &["namer `io.l5d.consul`", "interpreter `io.l5d.consul.interpreter`"]),
    ("consul.yaml", &["namer `io.l5d.consul`"]),
    ("curator.yaml", &["namer `io.l5d.curator`"]),
    ("disable-tls.yaml", &["client.configs[].tls", "client.configs[].tls"]),
    ("fs.yaml", &["interpreter `io.l5d.fs`"]),
    ("h2.yaml", &["protocol `h2`"]),
    ("h2spec.yaml", &["protocol `h2`"]),
    ("http.yaml", &["routers[].httpAccessLog", "routers[].httpAccessLogRollPolicy", "routers[].httpAccessLogAppend", "routers[].httpAccessLogRotateCount", "routers[].streamAfterContentLengthKB", "routers[].compressionLevel"]),
    ("influxdb.yaml", &["telemetry"]),
    ("k8s-servicemesh.yaml", &["namer `io.l5d.k8s`", "routers[].originator", "transformer `io.l5d.k8s.daemonset`", "transformer `io.l5d.k8s.localnode`"]),
    ("k8s.yaml", &["namer `io.l5d.k8s`", "namer `io.l5d.k8s.external`"]),
    ("loadbalancer.yaml", &[]),
    ("marathon-leader.yaml", &["namer `io.l5d.marathon`"]),
    ("marathon.yaml", &["namer `io.l5d.marathon`"]),
    ("mutualTls.yaml", &["client.tls", "servers[].tls"]),
    ("namerd-http.yaml", &["interpreter `io.l5d.namerd.http`"]),
    ("namerd-mesh.yaml", &["interpreter `io.l5d.mesh`"]),
    ("namerd-tls.yaml", &["interpreter `io.l5d.namerd`", "interpreter `io.l5d.namerd.http`", "interpreter `io.l5d.namerd.http`", "interpreter `io.l5d.mesh`"]),
    ("namerd.yaml", &["interpreter `io.l5d.namerd`", "interpreter `io.l5d.namerd.http`", "interpreter `io.l5d.mesh`"]),
    ("prometheus.yaml", &["telemetry"]),
    ("proxy.yaml", &["client.configs[].tls"]),
    ("recent-requests.yaml", &["telemetry"]),
    ("retries.yaml", &[]),
    ("rewriting.yaml", &[]),
    ("serversets.yaml", &["namer `io.l5d.serversets`", "routers[].announcers", "client.configs[].tls", "servers[].announce"]),
    ("service-options.yaml", &[]),
    ("servicemesh.yaml", &[]),
    ("socket-options.yaml", &["servers[].socketOptions.reuseAddr", "servers[].socketOptions.reusePort", "servers[].socketOptions.readTimeoutMs", "servers[].socketOptions.writeTimeoutMs", "servers[].socketOptions.keepAlive"]),
    ("static_namer.yaml", &[]),
    ("statsd.yaml", &["telemetry"]),
    ("thrift.yaml", &["protocol `thrift`"]),
    ("thriftmux.yaml", &["protocol `thriftmux`"]),
    ("tls.yaml", &["client.configs[].tls", "servers[].tls"]),
    ("tracelog.yaml", &["telemetry"]),
    ("zipkin.yaml", &["telemetry"]),
];

fn examples() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/linkerd1-examples");
    let dir =
        std::env::var_os("LINKERD_EXAMPLES").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if dir.join("linkerd/examples").is_dir() {
        return Some(dir);
    }
    println!("no examples in {}: nothing is tested", dir.display());
    None
}

#[test]
fn every_file_loads_or_says_what_it_needs() {
    let Some(dir) = examples() else { return };
    let mut known: Vec<_> = FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
    let there = fs::read_dir(dir.join("linkerd/examples")).expect("the directory");
    let there = there.map(|entry| entry.expect("an entry").file_name());
    let there = there.map(|name| name.to_string_lossy().into_owned());
    let mut there: Vec<_> = there.filter(|name| name.ends_with(".yaml")).collect();
    known.sort();
    there.sort();
    assert_eq!(known, there);
    for (file, needs) in FILES {
        let checked = Command::new(binary())
            .args(["check", &format!("linkerd/examples/{file}")])
            .current_dir(&dir)
            .output()
            .expect("ringlink runs");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.success(), needs.is_empty(), "{file}: {said}");
        let problems: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("linkerd/"))
            .collect();
        assert_eq!(problems.len(), needs.len(), "{file}: {said}");
        for (problem, need) in problems.iter().zip(*needs) {
            let expected = format!(": {need} is not supported yet");
            assert!(
                problem.contains(&expected),
                "{file}: {problem} and not {need}"
            );
        }
    }
}

/// Starts an example with its ports replaced, and its files of addresses led to a backend.
fn start(file: &str, ports: &[(u16, u16)], backend: &Backend) -> Option<Proxy> {
    start_with(file, ports, |_| backend)
}

/// The same, with a backend for each file.
fn start_with<'b>(
    file: &str,
    ports: &[(u16, u16)],
    backend: impl Fn(&str) -> &'b Backend,
) -> Option<Proxy> {
    let dir = examples()?.join("linkerd/examples");
    let mut yaml = fs::read_to_string(dir.join(file)).expect("the example");
    let names = std::env::temp_dir().join(format!("ringlink-{}-{file}", std::process::id()));
    fs::create_dir_all(&names).expect("a directory");
    for entry in fs::read_dir(dir.join("io.l5d.fs")).expect("the files of addresses") {
        let name = entry.expect("an entry").file_name();
        let port = backend(&name.to_string_lossy()).addr.port();
        fs::write(names.join(name), format!("127.1 {port}\n")).expect("written");
    }
    yaml = yaml.replace("linkerd/examples/io.l5d.fs", &names.display().to_string());
    for (from, to) in ports {
        yaml = yaml.replace(&from.to_string(), &to.to_string());
    }
    let addr = ([127, 0, 0, 1], ports[0].1).into();
    let proxy = Proxy::spawn(&format!("admin: {{port: 0}}\n{yaml}"), addr);
    let end = Instant::now() + PATIENCE;
    while !proxy.said().contains("admin: http") {
        assert!(Instant::now() < end, "{}", proxy.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(proxy)
}

fn get(client: &mut Client, target: &str, host: &str) -> (u16, String) {
    let response = client.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (response.status, response.text())
}

#[test]
fn rewriting() {
    let cat = Backend::named("cat");
    let Some(proxy) = start("rewriting.yaml", &[(4140, free_port())], &cat) else {
        return;
    };
    let mut client = proxy.client();
    assert_eq!(
        get(&mut client, "/cat/api/x", "any"),
        (200, "cat".to_owned())
    );
    assert_eq!(get(&mut client, "/cat/web/x", "any").0, 502);
    assert_eq!(get(&mut client, "/cow/api", "any").0, 502);
}

#[test]
fn static_namer() {
    let backend = Backend::named("app");
    let ports = [(4140, free_port()), (8080, backend.addr.port())];
    let Some(proxy) = start("static_namer.yaml", &ports, &backend) else {
        return;
    };
    for host in ["a", "b.example:80"] {
        assert_eq!(get(&mut proxy.client(), "/", host), (200, "app".to_owned()));
    }
}

/// A request passes two routers: the one of the host it comes from, and the one of the host it
/// goes to.
#[test]
fn service_mesh() {
    let cat = Backend::named("cat");
    let ports = [(4140, free_port()), (4141, free_port())];
    let Some(proxy) = start("servicemesh.yaml", &ports, &cat) else {
        return;
    };
    let mut client = proxy.client();
    assert_eq!(get(&mut client, "/", "cat"), (200, "cat".to_owned()));
    assert_eq!(get(&mut client, "/", "cow").0, 502);
    let requests = cat.requests();
    let name = requests[0].field("l5d-dst-client");
    assert_eq!(name, Some("/%/io.l5d.localhost/#/io.l5d.fs/cat"));
    let incoming = Client::connect(([127, 0, 0, 1], ports[1].1).into());
    let mut incoming = incoming;
    assert_eq!(get(&mut incoming, "/", "cat"), (200, "cat".to_owned()));
}

#[test]
fn load_balancer() {
    let cat = Backend::named("cat");
    let Some(proxy) = start("loadbalancer.yaml", &[(4140, free_port())], &cat) else {
        return;
    };
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(get(&mut client, "/", "cat"), (200, "cat".to_owned()));
    }
    assert_eq!(cat.accepts(), 1, "the host's pool keeps the connection");
}

fn slow(ms: u64) -> Backend {
    Backend::answering(move |_| {
        std::thread::sleep(Duration::from_millis(ms));
        ok("late")
    })
}

/// "The timeout for a single request attempt on the dog client. If this timeout is reached, the request
/// attempt will be canceled and the request will be retried if there is still time remaining", which is
/// a second.
#[test]
fn retries() {
    let (dog, cat) = (slow(1500), Backend::named("cat"));
    let of = |name: &str| if name == "dog" { &dog } else { &cat };
    let Some(proxy) = start_with("retries.yaml", &[(4140, free_port())], of) else {
        return;
    };
    let timed = |request: &str| {
        let began = Instant::now();
        (proxy.client().ask(request).status, began.elapsed())
    };
    let mut served = 0;
    for _ in 0..16 {
        let (status, took) = timed("GET / HTTP/1.1\r\nHost: any\r\n\r\n");
        // Whoever meets the dog again and again has no time left.
        assert!(
            status == 200 || took > Duration::from_millis(700),
            "{status} in {took:?}"
        );
        assert!(took < Duration::from_millis(1400), "{took:?}");
        served += usize::from(status == 200);
    }
    assert!(served >= 8, "{served} of 16");
    assert!(proxy.metric(r#"ringlink_retries_total{rt="http"}"#) >= 1.0);
    // Not a GET, HEAD, OPTIONS, PUT or DELETE.
    for _ in 0..6 {
        let before = dog.requests().len() + cat.requests().len();
        let (status, took) = timed("POST / HTTP/1.1\r\nHost: any\r\nContent-Length: 1\r\n\r\nx");
        assert!([200, 504].contains(&status), "{status}");
        assert!(
            took < Duration::from_millis(600),
            "one attempt, not a second: {took:?}"
        );
        assert_eq!(dog.requests().len() + cat.requests().len(), before + 1);
    }
}

/// 500 ms for all services, and 1000 ms for `/svc/foo`.
#[test]
fn service_options() {
    let app = slow(700);
    let ports = [(4140, free_port()), (8080, app.addr.port())];
    let Some(proxy) = start("service-options.yaml", &ports, &app) else {
        return;
    };
    for (host, status) in [("foo", 200), ("any", 504), ("bar", 504)] {
        assert_eq!(get(&mut proxy.client(), "/", host).0, status, "{host}");
    }
}
