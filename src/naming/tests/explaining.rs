//! Explanations: what they show, that they agree with binding, and that they end.

use proptest::prelude::*;
use serde_json::json;

use super::super::explain::{What, explain};
use super::super::{Dtab, NameTree, Named, Outcome, Path, bind};

fn text(dtab: &str, name: &str) -> String {
    let (dtab, name): (Dtab, Path) = (dtab.parse().unwrap(), name.parse().unwrap());
    explain(&dtab, &name, |_| None).to_string()
}

#[test]
fn steps_are_shown_in_order() {
    let dtab =
        "/host => /$/inet/127.1/8080; /svc => /host; /svc/web => /a | (3 * /b & 1 * /none) | ~";
    let shown = text(&format!("{dtab}; /b => /#/io.l5d.fs/b"), "/svc/web");
    let expected = "\
/svc/web
  | /svc/web   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
    | /a   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
      ~ does not exist
    | /svc/web   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
      & 3.00 * /b   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
        -> /#/io.l5d.fs/b   by /b => /#/io.l5d.fs/b
          ? asks namer /io.l5d.fs
      & 1.00 * /none   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
        ~ does not exist
    | /svc/web   by /svc/web => /a | 3.00 * /b & 1.00 * /none | ~
      ~ does not exist
  | /host/web   by /svc => /host
    -> /$/inet/127.1/8080/web   by /host => /$/inet/127.1/8080
      = bound: 127.1:8080, unused: /web
result: /$/inet/127.1/8080
";
    assert_eq!(shown, expected);
}

#[test]
fn every_end_has_its_line() {
    for (dst, line, result) in [
        ("/$/inet/127.1/80", "= bound: 127.1:80", "/$/inet/127.1/80"),
        ("~", "~ does not exist", "~ (does not exist)"),
        ("!", "! fails", "! (fails)"),
        ("$", "$ has no replicas", "$ (has no replicas)"),
        ("/$/nil", "$ has no replicas", "$ (has no replicas)"),
        ("/none", "~ does not exist", "~ (does not exist)"),
        (
            "/$/no/x",
            "error: /$/no/x: unknown utility namer",
            "error: /$/no/x: unknown utility namer",
        ),
        (
            "/#/fs/x",
            "? asks namer /fs",
            "error: no namer is configured for /#/fs/x",
        ),
    ] {
        let shown = text(&format!("/a => {dst}"), "/a");
        let lines: Vec<_> = shown.lines().map(str::trim).collect();
        assert_eq!(lines[lines.len() - 2], line, "{shown}");
        assert_eq!(lines[lines.len() - 1], format!("result: {result}"));
    }
}

#[test]
fn what_is_answered_is_followed() {
    let (dtab, name): (Dtab, Path) = ("/a => /#/fs".parse().unwrap(), "/a/x".parse().unwrap());
    let answer = |path: &Path| {
        assert_eq!(path.to_string(), "/#/fs/x");
        Some(NameTree::Leaf(Named::Path(
            "/$/inet/1.2.3.4/5".parse().unwrap(),
        )))
    };
    let explained = explain(&dtab, &name, answer);
    let shown = explained.to_string();
    assert!(shown.contains("-> /$/inet/1.2.3.4/5\n"), "{shown}");
    assert!(shown.ends_with("result: /$/inet/1.2.3.4/5\n"), "{shown}");
}

#[test]
fn json_is_that_of_linkerds_delegator() {
    let dtab: Dtab = "/h => /$/inet/127.0.0.1/80; /s => 3 * /h & 1 * /no"
        .parse()
        .unwrap();
    let explained = explain(&dtab, &"/s/x".parse().unwrap(), |_| None);
    let by = json!({"prefix": "/s", "dst": "3.00 * /h & 1.00 * /no"});
    let leaf = json!({
        "type": "leaf",
        "path": "/$/inet/127.0.0.1/80/x",
        "dentry": {"prefix": "/h", "dst": "/$/inet/127.0.0.1/80"},
        "bound": {
            "id": "/$/inet/127.0.0.1/80",
            "path": "/x",
            "addr": {"type": "bound", "meta": {}, "addrs": [{"ip": "127.0.0.1", "port": 80, "meta": {}}]},
        },
    });
    let expected = json!({
        "type": "union",
        "path": "/s/x",
        "union": [
            {"weight": 3.0, "tree": {"type": "delegate", "path": "/h/x", "dentry": by, "delegate": leaf}},
            {"weight": 1.0, "tree": {"type": "neg", "path": "/no/x", "dentry": by}},
        ],
    });
    assert_eq!(explained.tree.to_json(), expected);
}

#[test]
fn circles_and_floods_end() {
    let shown = text("/a => /a", "/a");
    assert!(shown.contains("more than 100 rewrites deep"), "{shown}");
    assert!(shown.lines().count() < 110, "{shown}");
    let wide = text("/a => /a/x | /a/y | /a/z", "/a");
    assert!(wide.contains("too many alternatives"));
    assert!(wide.lines().count() < 21_000, "{}", wide.lines().count());
    let deep = format!("/a => {}/a{}", "(".repeat(50), " | ~)".repeat(50));
    let dtab: Dtab = deep.parse().unwrap();
    let explained = explain(&dtab, &"/a".parse().unwrap(), |_| None);
    assert!(matches!(explained.outcome, Outcome::Failed(_)));
    assert!(matches!(explained.tree.what, What::Alt(_)));
    assert!(
        explained
            .tree
            .to_json()
            .to_string()
            .contains("too many alternatives")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// The result is binding's, and a single way without branches ends where binding does.
    #[test]
    fn explanations_agree_with_binding(
        entries in prop::collection::vec(("/[abc]", "/[abc](/[abc])?|~|!|\\$|/\\$/inet/1/[1-9]"), 0..6),
        name in "/[abc](/[abc])?",
    ) {
        let dtab: String = entries.iter().map(|(p, d)| format!("{p} => {d};")).collect();
        let dtab: Dtab = dtab.parse().unwrap();
        let name: Path = name.parse().unwrap();
        let explained = explain(&dtab, &name, |_| None);
        let expected = match bind(&dtab, &name) {
            Ok(tree) => Outcome::Bound(tree),
            Err(error) => Outcome::Failed(error),
        };
        prop_assert_eq!(&explained.outcome, &expected);
        let mut node = &explained.tree;
        while let What::Delegate(next) = &node.what {
            node = next;
        }
        match (&node.what, &expected) {
            (What::Alt(_) | What::Union(_), _) => {}
            (What::Leaf(bound), Outcome::Bound(NameTree::Leaf(same))) => prop_assert_eq!(bound, same),
            (What::Neg, Outcome::Bound(NameTree::Neg))
            | (What::Fail, Outcome::Bound(NameTree::Fail))
            | (What::Empty, Outcome::Bound(NameTree::Empty)) => {}
            (What::Exception(error), Outcome::Failed(same)) => prop_assert_eq!(error, same),
            (what, outcome) => prop_assert!(false, "{what:?} {outcome:?}"),
        }
    }
}
