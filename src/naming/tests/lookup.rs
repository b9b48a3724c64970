//! One step: prefixes, wildcards, residuals and precedence; paths and trees as values.

use std::collections::{HashMap, HashSet};

use super::{dtab, path, tree};
use crate::naming::{Dtab, NameTree, Path, Weight, Weighted};

#[test]
fn lookups() {
    let cases = [
        // Prefixes match whole segments.
        ("", "/a", "~"),
        ("/a=>/b", "/a", "/b"),
        ("/a=>/b", "/c", "~"),
        ("/a=>/b", "/ab", "~"),
        ("/ab=>/c", "/a/b", "~"),
        ("/a/b=>/c", "/a", "~"),
        ("/a=>/b", "/", "~"),
        ("/=>/b", "/", "/b"),
        ("/A=>/b", "/a", "~"),
        // What is left of the path is appended to every leaf.
        ("/a=>/b", "/a/x/y", "/b/x/y"),
        ("/=>/b", "/a", "/b/a"),
        ("/a=>/", "/a/x", "/x"),
        ("/a=>/", "/a", "/"),
        ("/a=>/b | /c", "/a/x", "/b/x | /c/x"),
        ("/a=>2*/b & /c", "/a/x", "2.00 * /b/x & 1.00 * /c/x"),
        (
            "/a=>~ | ! | $ | (/b & /c|/d)",
            "/a/x",
            "~ | ! | $ | (1.00 * /b/x & 1.00 * /c/x | /d/x)",
        ),
        ("/a=>~", "/a/x", "~"),
        ("/a=>$", "/a/x", "$"),
        // A star is any one segment.
        ("/*=>/b", "/a", "/b"),
        ("/*=>/b", "/a/x", "/b/x"),
        ("/*=>/b", "/", "~"),
        ("/a/*/c=>/d", "/a/b/c/x", "/d/x"),
        ("/a/*/c=>/d", "/a/b/b/c", "~"),
        ("/a/*=>/d", "/a", "~"),
        ("/*/*=>/d", "/a/b/c", "/d/c"),
        (r"/\x2a=>/b", "/a", "~"),
        (r"/\x2a=>/b", r"/\x2a", "/b"),
        // Later entries come first.
        ("/a=>/b;/a=>/c", "/a/x", "/c/x | /b/x"),
        ("/a=>/b;/a/x=>/c", "/a/x", "/c | /b/x"),
        ("/a/x=>/c;/a=>/b", "/a/x", "/b/x | /c"),
        ("/a=>/1;/b=>/2;/a=>/3;/*=>/4", "/a", "/4 | /3 | /1"),
        ("/a=>/b | /c;/a=>/d | /e", "/a", "(/d | /e) | (/b | /c)"),
        ("/a=>~;/a=>!", "/a", "! | ~"),
        // Bytes.
        (r"/a\x2fb=>/c", r"/a\x2fb/x", "/c/x"),
        (r"/a=>/c", r"/a/\x00", r"/c/\x00"),
    ];
    for (table, name, expected) in cases {
        assert_eq!(
            dtab(table).lookup(&path(name)).to_string(),
            expected,
            "{name} by {table}"
        );
    }
}

#[test]
fn concatenation_gives_the_last_table_precedence() {
    let (base, local) = (dtab("/a=>/b;/c=>/d"), dtab("/a=>/x"));
    assert_eq!((&base + &local).to_string(), "/a=>/b;/c=>/d;/a=>/x");
    assert_eq!(
        (base.clone() + local.clone())
            .lookup(&path("/a"))
            .to_string(),
        "/x | /b"
    );
    assert_eq!(&base + &Dtab::empty(), base);
    assert_eq!(&Dtab::empty() + &base, base);
    assert!((Dtab::empty() + Dtab::empty()).is_empty());
    assert_eq!((&base + &local).entries().len(), 3);
    assert_eq!(HashSet::from([base.clone(), base.clone(), local]).len(), 2);
}

#[test]
fn paths_as_values() {
    let abc = path("/a/b/c");
    assert_eq!(abc.len(), 3);
    assert_eq!(abc.first(), Some(&b"a"[..]));
    assert_eq!((abc.get(2), abc.get(3)), (Some(&b"c"[..]), None));
    assert_eq!(path("/a").join(&path("/b/c")), abc);
    assert_eq!(path("/a/b").push(b"c"), abc);
    assert_eq!(abc.push(b""), abc);
    assert_eq!(abc.join(&Path::empty()), abc);
    assert_eq!(Path::empty().join(&abc), abc);
    let parts = [
        (0, "/", "/a/b/c"),
        (1, "/a", "/b/c"),
        (3, "/a/b/c", "/"),
        (9, "/a/b/c", "/"),
    ];
    for (n, head, tail) in parts {
        assert_eq!((abc.take(n), abc.skip(n)), (path(head), path(tail)), "{n}");
    }
    let prefixes = [
        ("/", Some("/a/b/c")),
        ("/a/b", Some("/c")),
        ("/a/b/c", Some("/")),
    ];
    let strangers = [
        ("/b", None),
        ("/a/b/c/d", None),
        ("/a/bc", None),
        (r"/a/\x62\x00", None),
    ];
    for (prefix, rest) in prefixes.into_iter().chain(strangers) {
        assert_eq!(abc.strip_prefix(&path(prefix)), rest.map(path), "{prefix}");
        assert_eq!(abc.starts_with(&path(prefix)), rest.is_some(), "{prefix}");
    }
    assert_ne!(path("/a/b"), path("/ab"));
    assert_eq!(format!("{abc:?}"), "/a/b/c");
}

#[test]
fn maps_of_paths_are_searched_by_encoded_bytes() {
    let map = HashMap::from([(path("/svc/users"), 1)]);
    let mut scratch = Vec::new();
    Path::encode(b"svc", &mut scratch);
    assert_eq!(map.get(scratch.as_slice()), None);
    Path::encode(b"users", &mut scratch);
    assert_eq!(map.get(scratch.as_slice()), Some(&1));
    assert_eq!(path("/svc/users").as_encoded(), scratch);
}

#[test]
fn trees_simplify() {
    let cases = [
        ("/a", "/a"),
        ("/a | ~", "/a"),
        ("~ | /a | ~ | /b", "/a | /b"),
        ("~ | ~", "~"),
        ("/a | ! | /b", "/a | !"),
        ("! | /a", "!"),
        ("/a | $ | /b", "/a | $"),
        ("~ | $", "$"),
        ("/a & ~", "/a"),
        ("/a & !", "/a"),
        ("3*/a & !", "/a"),
        ("! & !", "~"),
        ("$ & ~", "$"),
        ("/a & $", "1.00 * /a & 1.00 * $"),
        ("2*/a & ~ & 3*/b", "2.00 * /a & 3.00 * /b"),
        ("(~ | /a) & (! | /b)", "/a"),
        ("(~ & ~) | /a", "/a"),
        ("(/a | ~) | ((~ | /b) & ~)", "/a | /b"),
    ];
    for (text, expected) in cases {
        let simple = tree(text).simplify();
        assert_eq!(simple.to_string(), expected, "{text}");
        assert_eq!(simple.clone().simplify(), simple, "{text}");
    }
    let none = Weighted {
        weight: Weight::ONE,
        tree: NameTree::<Path>::Alt(vec![]),
    };
    assert_eq!(NameTree::Union(vec![none]).simplify(), NameTree::Neg);
}

#[test]
fn leaves_are_mapped_and_visited_in_order() {
    let tree = tree("/a | 2*/b & (/c | ~) | !");
    let mut seen = Vec::new();
    tree.for_each_leaf(&mut |leaf| seen.push(leaf.to_string()));
    assert_eq!(seen, ["/a", "/b", "/c"]);
    let longer = tree.map(|leaf| leaf.push(b"x"));
    assert_eq!(
        longer.to_string(),
        "/a/x | 2.00 * /b/x & 1.00 * (/c/x | ~) | !"
    );
}

#[test]
fn weights_are_finite_and_not_negative() {
    for weight in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Weight::new(weight), None);
    }
    assert_eq!(Weight::new(-0.0), Weight::new(0.0));
    assert_eq!(Weight::new(1.0), Some(Weight::ONE));
    assert!((Weight::new(2.5).unwrap().get() - 2.5).abs() < f64::EPSILON);
}
