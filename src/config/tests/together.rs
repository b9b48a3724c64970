//! Problems of several parts of a file, many problems in one file, and how they are told.

use super::{assert_told, load, router, server, told, top};

#[test]
fn clashes() {
    let pair = |a: &str, b: &str| {
        format!(
            "routers:\n- {{protocol: http, servers: [{{{a}}}]}}\n- {{protocol: http, label: b, servers: [{{{b}}}]}}\n"
        )
    };
    let place = "3:47: routers[1].servers[0].port";
    let first = "routers[0].servers[0].port (2:37)";
    assert_eq!(
        told(&pair("port: 80", "port: 80")),
        [format!("{place}: 127.0.0.1:80 is already taken by {first}")]
    );
    assert_eq!(
        told(&pair("port: 80", "port: 80, ip: 0.0.0.0")),
        [format!(
            "{place}: 0.0.0.0:80 overlaps 127.0.0.1:80, taken by {first}"
        )]
    );
    assert_eq!(
        told(&pair("ip: '::'", "port: 4140, ip: '::1'")),
        [format!(
            "{place}: [::1]:4140 overlaps [::]:4140, taken by routers[0].servers[0] (2:31)"
        )]
    );
    assert_eq!(
        told(&pair("port: 1", "port: 9990")),
        [format!(
            "{place}: 127.0.0.1:9990 is already taken by the admin server by default"
        )]
    );
    assert_eq!(
        told(&format!("{}admin: {{port: 5}}", pair("port: 5", "port: 6"))),
        ["2:37: routers[0].servers[0].port: 127.0.0.1:5 is already taken by admin.port (4:15)"]
    );
    for (a, b) in [
        ("port: 0", "port: 0"),
        ("port: 80", "port: 80, ip: 127.0.0.2"),
        ("port: 80, ip: '0.0.0.0'", "port: 80, ip: '::1'"),
    ] {
        assert_eq!(told(&pair(a, b)), [""; 0], "{a} and {b}");
    }
    // A port that is wrong is not a port that clashes.
    assert_eq!(told(&pair("port: x", "port: y")).len(), 2);
    assert_eq!(
        told(
            "routers:\n- {protocol: http, servers: [{port: 0}]}\n- {protocol: http, servers: [{port: 0}]}"
        ),
        ["3:4: routers[1]: the label `http` is already routers[0]'s"]
    );
}

#[test]
fn all_problems_at_once() {
    let text = "\
# a comment
admin:
  prot: 9990
  ip: here
engine:
  cores: '0-1,1'
  ring: {entries: 3}
routers:
- protocol: http
  label: a
  servers:
  - port: 80
    tls: {}
  - port: 80
  dtab: |
    /svc => /$/inet/127.1/80
    /b => /c
  client:
    requestAttemptTimeoutMs: 5000
  service: {totalTimeoutMs: 1000, retries: {budjet: {}}}
- protocol: http
  label: a
  servers: 4
- protocol: mux
telemetry: []
";
    let expected = [
        "3:3: admin.prot: unknown key `prot`",
        "4:7: admin.ip: `here` is not an IP address",
        "6:10: engine.cores: core 1 is listed twice",
        "7:19: engine.ring.entries: 3 is not within 8 to 16384",
        "13:5: routers[0].servers[0].tls: servers[].tls is not supported yet",
        "14:11: routers[0].servers[1].port: 127.0.0.1:80 is already taken by routers[0].servers[0].port (12:11)",
        "17:5: routers[0].dtab: …",
        "19:30: routers[0].client.requestAttemptTimeoutMs: 5000 is more than the whole request has: 1000",
        "20:45: routers[0].service.retries.budjet: unknown key `budjet`",
        "22:10: routers[1].label: the label `a` is already routers[0]'s",
        "23:12: routers[1].servers: expected a list, found a single value",
        "24:13: routers[2].protocol: protocol `mux` is not supported yet",
        "25:1: telemetry: telemetry is not supported yet",
    ];
    assert_told(text, &expected);
    // The same file with Windows line ends has the same problems.
    assert_told(&text.replace('\n', "\r\n"), &expected);
}

#[test]
fn help() {
    let cases = [
        (
            server("prot: 1"),
            "did you mean `port`? accepted here: port, ip,",
        ),
        (
            router("failureAccrual: {}"),
            "it belongs in `routers[].client`; accepted here: protocol,",
        ),
        (router("clint: {}"), "did you mean `client`?"),
        (router("xyzzy: {}"), "accepted here: protocol,"),
        (router("baseDtab: ''"), "use `dtab`"),
        (
            router("identifier: {kind: headerToken}"),
            "now `io.l5d.header.token`",
        ),
        (
            router("identifier: {kind: io.l5d.methodHost}"),
            "did you mean `io.l5d.methodAndHost`?",
        ),
        (
            router("identifier: {kind: ingres}"),
            "did you mean `io.l5d.ingress`?",
        ),
        (
            router("interpreter: {kind: io.l5d.mesh}"),
            "supported: default",
        ),
        (
            router("client: {kind: io.l5d.static, configs: [], failFast: true}"),
            "it belongs in `routers[].client`; accepted here: kind, configs",
        ),
        (
            router("client: {configs: []}"),
            "it belongs in `routers[].client: io.l5d.static`; accepted here: kind, loadBalancer,",
        ),
        (
            router("service: {responseClassifier: {kind: io.l5d.retryableRead5XX}}"),
            "now `io.l5d.http.retryableRead5XX`",
        ),
        (
            router("client: {requeueBudget: {percentCanRetry: 1e-3}}"),
            "digits, and a point if it has a fraction: 0.25",
        ),
        (router("label: a\nlabel: b"), "first at 4:3"),
        (top("admin: {port: '1'}"), "remove the quotes"),
        (top("engine: {cores: '4'}"), "4 or [4]"),
    ];
    for (text, expected) in cases {
        let problems = load(&text).unwrap_err();
        let help = problems.iter().next().and_then(|p| p.help.clone());
        let help = help.unwrap_or_default();
        assert!(help.starts_with(expected), "{text}{help}");
    }
}

#[test]
fn problems_are_printed_one_a_line() {
    let problems = load(&top("admin: {ip: x, port: '1'}")).unwrap_err();
    assert_eq!(
        problems.in_file("a.yaml").to_string(),
        "a.yaml:2:13: admin.ip: `x` is not an IP address (names are not resolved here)\n\
         a.yaml:2:22: admin.port: expected a whole number, found the text `1` (remove the quotes)"
    );
    assert!(problems.to_string().starts_with("2:13: admin.ip: "));
    assert_eq!(problems.len(), 2);
    assert!(!problems.is_empty());
}
