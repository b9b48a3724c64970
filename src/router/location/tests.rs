use proptest::prelude::*;

use super::*;
use crate::http::h1::{HeadReader, Limits};

/// What becomes of a Location when `/api` was replaced by `by`, or nothing, and the host by `inner`.
fn led_back(by: Option<&str>, url: &str) -> String {
    let mut head = RequestHead::new();
    let text = b"GET /api/x?q HTTP/1.1\r\nHost: www.example\r\n\r\n";
    let read = HeadReader::new().request(text, &Limits::default(), &mut head);
    assert!(read.is_ok() && head.set_authority(b"inner:8080"));
    if let Some(by) = by {
        assert!(head.replace_start(4, by.as_bytes(), &mut Vec::new()));
    }
    rewritten(&LocationRule::Auto, &head, "location", url)
}

fn rewritten(rule: &LocationRule, head: &RequestHead, name: &str, url: &str) -> String {
    let mut fields = Fields::new();
    assert!(fields.push(name.as_bytes(), url.as_bytes()));
    let put = |format: &Format, out: &mut Vec<u8>| out.extend_from_slice(format.text.as_bytes());
    rewrite(rule, head, &mut fields, put, &mut Vec::new());
    String::from_utf8_lossy(fields.get_named(name.as_bytes()).unwrap()).into_owned()
}

#[test]
fn what_was_changed_is_changed_back() {
    for (by, url, expected) in [
        (Some(""), "/login", "/api/login"),
        (Some(""), "/", "/api/"),
        (Some(""), "/?a=b#c", "/api/?a=b#c"),
        (Some(""), "http://inner:8080/a", "http://www.example/api/a"),
        (
            Some(""),
            "HTTPS://INNER:8080/a",
            "HTTPS://www.example/api/a",
        ),
        (Some(""), "http://inner:8080", "http://www.example/api"),
        (Some(""), "http://inner:8080?a", "http://www.example/api?a"),
        (Some("/v2"), "http://inner:8080", "http://www.example"),
        (Some("/v2"), "/v2", "/api"),
        (Some("/v2"), "/v2?a", "/api?a"),
        (Some("/v2"), "/v2/a/b", "/api/a/b"),
        (
            Some("/v2"),
            "http://inner:8080/v2/a",
            "http://www.example/api/a",
        ),
        (Some("/v2"), "http://inner:8080/v3", "http://www.example/v3"),
        (None, "http://inner:8080/a", "http://www.example/a"),
    ] {
        assert_eq!(led_back(by, url), expected, "{by:?}");
    }
}

#[test]
fn other_places_stay() {
    for by in [None, Some(""), Some("/v2")] {
        for url in [
            "http://inner/a",
            "http://inner:80801/",
            "http://other:8080/v2",
            "//inner:8080/v2",
            "//other",
            "login",
            "../v2/a",
            "",
            "ftp://inner:8080/v2",
            "?a",
            "#b",
        ] {
            assert_eq!(led_back(by, url), url, "{by:?}");
        }
    }
    assert_eq!(led_back(Some("/v2"), "/v22/a"), "/v22/a");
    assert_eq!(led_back(Some("/v2"), "/"), "/");
    assert_eq!(led_back(None, "/a"), "/a");
}

fn prefixes(pairs: &[(&str, &str)]) -> LocationRule {
    let map: Vec<_> = pairs.iter().map(|(a, b)| format!("'{a}': '{b}'")).collect();
    let text = format!(
        "routers: [{{protocol: http, servers: [{{port: 0}}], rewriteLocation: {{{}}}}}]",
        map.join(", ")
    );
    let config = crate::config::load(&text).unwrap();
    config.routers[0].rules.location.clone().unwrap()
}

#[test]
fn the_longest_prefix_is_replaced() {
    let rule = prefixes(&[
        ("/", "/all/"),
        ("http://a.inner", "https://a.example"),
        ("http://a.inner/b/", "/b-of-a/"),
    ]);
    let head = RequestHead::new();
    for (url, expected) in [
        ("/x", "/all/x"),
        ("http://a.inner", "https://a.example"),
        ("http://a.inner/", "https://a.example/"),
        ("http://a.inner?q", "https://a.example?q"),
        ("http://a.inner/b/c", "/b-of-a/c"),
        ("http://a.inner/b", "https://a.example/b"),
        ("http://a.inner.evil/", "http://a.inner.evil/"),
        ("http://a.inner:80/", "http://a.inner:80/"),
        ("x", "x"),
    ] {
        assert_eq!(rewritten(&rule, &head, "location", url), expected);
        assert_eq!(rewritten(&rule, &head, "x-location", url), url);
        assert_eq!(rewritten(&LocationRule::Off, &head, "location", url), url);
    }
}

#[test]
fn refreshes_are_locations() {
    let rule = prefixes(&[("/x", "/y")]);
    let head = RequestHead::new();
    for (value, expected) in [
        ("5; url=/x/a", "5; url=/y/a"),
        ("0;URL = '/x'", "0;URL = '/y'"),
        ("0, url=\"/x?a\" b", "0, url=\"/y?a\" b"),
        ("0;url=\"/x", "0;url=\"/y"),
        ("5", "5"),
        ("5; /x", "5; /x"),
        ("5; url /x", "5; url /x"),
        ("5; ur", "5; ur"),
        ("5; url=", "5; url="),
        ("/x", "/x"),
    ] {
        assert_eq!(rewritten(&rule, &head, "Refresh", value), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_location(
        url in "(http://)?(inner:8080)?[/?#v2;, \t\"']{0,8}[ -~]{0,8}",
        refresh in "[0-9]?[;, ]{0,3}(url)?[= ]{0,2}[\"'/v2 ]{0,6}",
    ) {
        for by in [None, Some(""), Some("/v2")] {
            led_back(by, &url);
        }
        let (rule, head) = (LocationRule::Auto, RequestHead::new());
        let value = rewritten(&rule, &head, "refresh", &refresh);
        // Without a change to undo, nothing changes.
        prop_assert_eq!(value, refresh);
    }
}
