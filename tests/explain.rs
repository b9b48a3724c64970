//! `ringlink explain`, as it is run.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::proxy::{binary, temp_file};

const CONFIG: &str = "
routers:
- protocol: http
  label: web
  servers: [{port: 0}]
  identifier:
  - kind: routes
    routes:
    - {path: /health, respond: {body: ok}}
    - {path: /old, redirect: {to: 'https://new.example$path$query', status: 301}}
    - {path: /api, name: /api, rewritePrefix: /}
  - kind: header.token
  dtab: |
    /host => /$/inet/127.0.0.1/8080;
    /svc => /host;
    /svc/gone => ~;
- protocol: http
  label: other
  dstPrefix: /o
  servers: [{port: 0}]
";

/// Exit code, standard output, standard error.
fn explain(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(binary())
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut input = child.stdin.take().expect("a pipe");
    // A command that reads no input may be gone before it is written.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("its end");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("a code");
    (code, text(&output.stdout), text(&output.stderr))
}

fn by_config(arguments: &[&str]) -> (i32, String, String) {
    let all = [&["--config", "-", "--router", "web"], arguments].concat();
    explain(&all, CONFIG)
}

#[test]
fn a_name_by_a_table() {
    let (code, out, err) = explain(
        &["--dtab", "/svc => /host; /host => /$/inet/127.1/80", "/svc"],
        "",
    );
    let expected = "\
/svc
  -> /host   by /svc => /host
    -> /$/inet/127.1/80   by /host => /$/inet/127.1/80
      = bound: 127.1:80
result: /$/inet/127.1/80
";
    assert_eq!((code, out.as_str(), err.as_str()), (0, expected, ""));
}

#[test]
fn a_name_that_leads_nowhere() {
    for (dtab, result) in [
        ("", "~ (does not exist)"),
        ("/a => !", "! (fails)"),
        ("/a => $", "$ (has no replicas)"),
        (
            "/a => /#/io.l5d.fs/a",
            "error: no namer is configured for /#/io.l5d.fs/a",
        ),
    ] {
        let (code, out, _) = explain(&["--dtab", dtab, "/a"], "");
        assert_eq!(code, 1, "{out}");
        assert!(out.ends_with(&format!("result: {result}\n")), "{out}");
    }
}

#[test]
fn json_for_programs() {
    let (code, out, _) = explain(&["--json", "--dtab", "/a => /$/inet/1.2.3.4/5", "/a"], "");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["type"]), (0, &"delegate".into()));
    assert_eq!(json["delegate"]["bound"]["id"], "/$/inet/1.2.3.4/5");
}

#[test]
fn a_configuration_from_a_file_or_standard_input() {
    let file = temp_file("explain", CONFIG);
    let arguments = [
        "--config",
        &file.to_string_lossy(),
        "--router",
        "web",
        "/svc/a",
    ];
    let (code, from_file, _) = explain(&arguments, "");
    assert_eq!(code, 0, "{from_file}");
    assert_eq!(by_config(&["/svc/a"]).1, from_file);
    std::fs::remove_file(file).unwrap();
    // What is given beside it overrides it.
    let (code, out, _) = by_config(&["--dtab", "/svc/a => !", "/svc/a"]);
    assert_eq!((code, out.contains("by /svc/a => !")), (1, true), "{out}");
}

#[test]
fn requests() {
    let host = ["--header", "Host: web"];
    let ask = |request: &str| by_config(&[&["--request", request], &host[..]].concat());
    let (code, out, _) = ask("GET /x HTTP/1.1");
    assert_eq!(code, 0, "{out}");
    let head = "io.l5d.routes: no route fits\nio.l5d.header.token: /svc/web\n/svc/web\n";
    assert!(out.starts_with(head), "{out}");
    let (code, out, _) = ask("GET /api/7?x");
    assert_eq!(code, 0, "{out}");
    let head = "io.l5d.routes (routes[2]): /svc/api\n  /api/7?x is rewritten to /7?x\n/svc/api\n";
    assert!(out.starts_with(head), "{out}");
    let (code, out, _) = ask("GET /health");
    let line = "io.l5d.routes (routes[0]): answered with 200 and 2 bytes\n";
    assert_eq!((code, out.as_str()), (0, line));
    let (code, out, _) = ask("GET /old/x?y");
    let line = "io.l5d.routes (routes[1]): redirected with 301 to https://new.example/old/x?y\n";
    assert_eq!((code, out.as_str()), (0, line));
    let (code, out, _) = by_config(&["--request", "GET / HTTP/1.0"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.ends_with("absent\nresult: 400 unidentified\n"), "{out}");
}

#[test]
fn what_namers_say() {
    let config = "
namers:
- {kind: static, prefix: /fixed, names: {/web: [10.0.0.1 80]}}
- {kind: rewrite, prefix: /api, pattern: '/{x}.api', name: '/#/fixed/{x}'}
routers:
- protocol: http
  servers: [{port: 0}]
  dtab: /svc => /#/api
";
    let ask = |arguments: &[&str]| explain(&[&["--config", "-"], arguments].concat(), config);
    let (code, out, err) = ask(&["/svc/web.api/x"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("/#/fixed/web"), "{out}");
    let (code, out, _) = ask(&["/svc/other.api"]);
    assert_eq!(code, 1, "{out}");
    let (code, out, _) = ask(&["/svc/web"]);
    assert_eq!(code, 1, "{out}");
}

#[test]
fn a_request_with_a_table() {
    let request = ["--request", "GET /", "--header", "Host: web"];
    let with = |dtab| by_config(&[&request[..], &["--header", dtab]].concat());
    let (code, out, _) = with("l5d-dtab: /svc/web => /$/inet/10.9.9.9/99");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("/$/inet/10.9.9.9/99"), "{out}");
    let (code, _, err) = with("l5d-dtab: /svc/web");
    assert_eq!(code, 2);
    assert!(err.contains("the request's dtab is none: line 1"), "{err}");
}

#[test]
fn what_cannot_be_explained() {
    for (arguments, told) in [
        (
            &["--dtab", "/a =>", "/a"][..],
            "--dtab is not a dtab: line 1",
        ),
        (&["--dtab", "", "a"], "a is not a name"),
        (&["/a"], "--dtab"),
        (&["--dtab", ""], "<NAME>"),
        (
            &["--config", "-", "/a"],
            "--router says which of: web, other",
        ),
        (
            &["--config", "-", "--router", "x", "/a"],
            "no router has the label x; there are: web, other",
        ),
        (&["--config", "/does/not/exist", "/a"], "cannot read"),
        (
            &["--dtab", "", "--request", "GET / HTTP/1.1"],
            "a server would refuse the request with 400",
        ),
        (
            &[
                "--dtab",
                "",
                "--request",
                "GET / HTTP/1.1",
                "--header",
                "Host",
            ],
            "write 'Name: value'",
        ),
    ] {
        let (code, out, err) = explain(arguments, CONFIG);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?} {err}");
        assert!(err.contains(told), "{err}");
    }
}
