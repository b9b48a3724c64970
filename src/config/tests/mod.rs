//! What loads, what does not and where, what is documented, and that nothing panics.

mod accepted;
mod clients;
mod documented;
mod headers;
mod limits;
mod mutated;
mod policies;
mod refused;
mod routes;
mod services;
mod syntax;
mod together;

use super::{Config, load};

/// `LINE:COL: place: message` of every problem, without the help.
fn told(text: &str) -> Vec<String> {
    let Err(problems) = load(text) else {
        return Vec::new();
    };
    let line = |p: &super::Problem| match p.place.as_str() {
        "" => format!("{}:{}: {}", p.line, p.column, p.message),
        place => format!("{}:{}: {place}: {}", p.line, p.column, p.message),
    };
    problems.iter().map(line).collect()
}

#[track_caller]
fn ok(text: &str) -> Config {
    load(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// A whole file with more at its top, from line 2.
fn top(more: &str) -> String {
    format!("routers: [{{protocol: http, servers: [{{port: 0}}]}}]\n{more}\n")
}

/// A whole file with more in its router, from line 4, column 3.
fn router(more: &str) -> String {
    let more = more.replace('\n', "\n  ");
    format!("routers:\n- protocol: http\n  servers: [{{port: 0}}]\n  {more}\n")
}

/// A whole file with more in its server, from line 5, column 5.
fn server(more: &str) -> String {
    let more = more.replace('\n', "\n    ");
    format!("routers:\n- protocol: http\n  servers:\n  - port: 0\n    {more}\n")
}

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Whether these are the problems; an expectation that ends in `…` says how one begins, where
/// another room words the message.
fn same(got: &[String], expected: &[&str]) -> bool {
    let one = |(got, expected): (&String, &&str)| match expected.strip_suffix('…') {
        Some(start) => got.starts_with(start),
        None => got == expected,
    };
    got.len() == expected.len() && got.iter().zip(expected).all(one)
}

#[track_caller]
fn assert_told(text: &str, expected: &[&str]) {
    let got = told(text);
    assert!(
        same(&got, expected),
        "{text}\ngot      {got:#?}\nexpected {expected:#?}"
    );
}

#[track_caller]
fn check(build: fn(&str) -> String, cases: &[(&str, &[&str])]) {
    for (more, expected) in cases {
        assert_told(&build(more), expected);
    }
}
