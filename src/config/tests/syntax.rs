//! What YAML itself brings: syntax errors, aliases, limits, JSON.

use super::super::yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
use super::{check, ok, told, top};
use crate::naming::Path;

#[test]
fn syntax_errors_have_positions() {
    check(
        str::to_owned,
        &[
            ("", &["1:1: the file is empty"]),
            ("# nothing\n", &["1:1: the file is empty"]),
            ("--- \n", &["1:1: the file is empty"]),
            (
                "routers: *nobody\n",
                &["1:10: not valid YAML: while parsing node, found unknown anchor"],
            ),
            (
                "a: &a [*a]",
                &["1:8: an alias inside the node it stands for"],
            ),
            (
                "routers: !!seq []",
                &["1:10: YAML tags are not understood here: `tag:yaml.org,2002:!seq`"],
            ),
            (
                "a: 1\n---\nb: 2",
                &["2:1: a second YAML document; a configuration is one"],
            ),
        ],
    );
    for text in [
        "a: [1, 2\nb: 3",
        "a: 'open",
        "a:\n\t- b",
        "a: b: c",
        "a: {b: 1",
        "%YAML x\n",
        "a: @b",
    ] {
        let told = told(text);
        assert_eq!(told.len(), 1, "{text}");
        assert!(told[0].contains(": not valid YAML: "), "{}", told[0]);
    }
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(MAX_DEPTH + 1);
    assert_eq!(told(&deep).len(), 1);
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(
        told(&deep)[0].contains("nested deeper"),
        "{:?}",
        told(&deep)
    );
    let blocks: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(told(&blocks)[0].contains("nested deeper"));
    assert!(told(&"#".repeat(MAX_BYTES + 1))[0].contains("larger than 4 MiB"));
    // Aliases that double what is there, forty times.
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for i in 1..40 {
        bomb += &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1);
    }
    assert!(told(&bomb)[0].contains(&format!("more than {MAX_NODES} values")));
    // Aliases that nest.
    let mut nest = "a0: &a0 [x]\n".to_owned();
    for i in 1..100 {
        nest += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(told(&nest)[0].contains("nested deeper"));
}

#[test]
fn many_keys_are_not_many_seconds() {
    let keys: String = (0..20_000).map(|i| format!("key{i}: 1\n")).collect();
    assert_eq!(told(&top(&keys)).len(), 20_000);
}

#[test]
fn json_is_yaml() {
    let config = ok(
        "{\"routers\": [\n{\"protocol\": \"http\",\n\t\"servers\": [{\"port\": 1, \"label\": null}]}]}",
    );
    assert_eq!(config.routers[0].servers[0].port, 1);
    assert_eq!(
        told("{\"routers\": [{\"protocol\": \"http\", \"servers\": [{\"port\": \"1\"}]}]}"),
        ["1:56: routers[0].servers[0].port: expected a whole number, found the text `1`"]
    );
}

#[test]
fn anchors_comments_and_nulls() {
    let config = ok("\
admin:
  # port: 1
engine:
routers:
- {protocol: http, label: ~, servers: &s [{port: 0}], client: &c {connectTimeoutMs: 7}}
- {protocol: http, label: b, servers: *s, client: *c, service: null}
");
    assert_eq!(config.routers[0].label, "http");
    let client = config.routers[1].client.policy(&Path::empty());
    assert_eq!(client.connect_timeout.as_millis(), 7);
    // What is wrong in an aliased map is told where it is written, for each that uses it.
    let told = told(
        "\
routers:
- {protocol: http, servers: [{port: 0}], client: &c {tsl: 7}}
- {protocol: http, label: b, servers: [{port: 0}], client: *c}
",
    );
    assert_eq!(
        told,
        [
            "2:54: routers[0].client.tsl: unknown key `tsl`",
            "2:54: routers[1].client.tsl: unknown key `tsl`"
        ]
    );
}
