//! Whole delegations: alternatives, unions, recursion and its limits.

use super::{bound, check_bound, dtab, path};
use crate::naming::{Addr, BindError, Fault, Inet, NameTree, bind};

#[test]
fn names_bind_by_recursion() {
    check_bound(&[
        ("", "/svc/a", "~"),
        ("/svc=>/$/inet/127.1/80", "/svc", "/$/inet/127.1/80"),
        (
            "/svc=>/$/inet/127.1/80",
            "/svc/a/b",
            "/$/inet/127.1/80+/a/b",
        ),
        (
            "/svc=>/host;/host=>/$/inet/127.1/80",
            "/svc",
            "/$/inet/127.1/80",
        ),
        ("/a=>/b;/b=>/c;/c=>/$/inet/h/1", "/a/x", "/$/inet/h/1+/x"),
        (
            "/svc/*=>/$/inet/127.1/80",
            "/svc/a/b",
            "/$/inet/127.1/80+/b",
        ),
        ("/svc/*=>/$/inet/127.1/80", "/svc", "~"),
        ("/svc=>/$/inet", "/svc/h/80", "/$/inet/h/80"),
        ("/a=>/b", "/a", "~"),
        ("/a=>/", "/a", "~"),
        ("", "/", "~"),
        ("", "/$/inet/h/1", "/$/inet/h/1"),
        (
            "/h=>/$/inet;/svc/a=>/h/a.com/1;/svc/b=>/h/b.com/2",
            "/svc/b",
            "/$/inet/b.com/2",
        ),
    ]);
}

#[test]
fn later_entries_win_and_earlier_ones_catch() {
    check_bound(&[
        ("/a=>/$/inet/h/1;/a=>/$/inet/h/2", "/a", "/$/inet/h/2"),
        ("/a=>/$/inet/h/1;/a=>~", "/a", "/$/inet/h/1"),
        ("/a=>/$/inet/h/1;/a=>/nowhere", "/a", "/$/inet/h/1"),
        ("/a=>/$/inet/h/1;/a=>!", "/a", "!"),
        ("/a=>/$/inet/h/1;/a=>$", "/a", "$"),
        (
            "/svc=>/$/inet/h/1;/svc/a=>/$/inet/h/2",
            "/svc/b",
            "/$/inet/h/1+/b",
        ),
        (
            "/svc=>/$/inet/h/1;/svc/a=>/$/inet/h/2",
            "/svc/a",
            "/$/inet/h/2",
        ),
        (
            "/svc/a=>/$/inet/h/2;/svc=>/$/inet/h/1",
            "/svc/a",
            "/$/inet/h/1+/a",
        ),
        (
            "/svc/*=>/$/inet/h/1;/svc/a=>/nowhere",
            "/svc/a",
            "/$/inet/h/1",
        ),
        (
            "/svc/a=>/$/inet/h/1;/svc/*=>/$/inet/h/2",
            "/svc/a",
            "/$/inet/h/2",
        ),
    ]);
}

#[test]
fn alternatives() {
    check_bound(&[
        ("/a=>~ | /$/inet/h/1", "/a", "/$/inet/h/1"),
        (
            "/a=>/x | /y | /$/inet/h/1 | /$/inet/h/2",
            "/a",
            "/$/inet/h/1",
        ),
        ("/a=>! | /$/inet/h/1", "/a", "!"),
        ("/a=>$ | /$/inet/h/1", "/a", "$"),
        ("/a=>/$/nil | /$/inet/h/1", "/a", "$"),
        ("/a=>/$/fail | /$/inet/h/1", "/a", "!"),
        ("/a=>~ | ~", "/a", "~"),
        ("/a=>~ | !", "/a", "!"),
        ("/a=>/b | /$/inet/h/1;/b=>/c | ~;/c=>~", "/a", "/$/inet/h/1"),
        ("/a=>/b | /$/inet/h/1;/b=>/c;/c=>!", "/a", "!"),
        (
            "/a=>(~ | (~ | /$/inet/h/1)) | /$/inet/h/2",
            "/a",
            "/$/inet/h/1",
        ),
        ("/a=>/x & /y | /$/inet/h/1", "/a", "/$/inet/h/1"),
        ("/a=>(! & !) | /$/inet/h/1", "/a", "/$/inet/h/1"),
        ("/a=>$ & ~ | /$/inet/h/1", "/a", "$"),
        // An earlier alternative that exists wins, whatever errors wait behind it.
        ("/a=>/$/inet/h/1 | /$/unknown", "/a", "/$/inet/h/1"),
        (
            "/a=>/$/unknown | /$/inet/h/1",
            "/a",
            "error: /$/unknown: unknown utility namer",
        ),
    ]);
}

#[test]
fn unions() {
    check_bound(&[
        (
            "/a=>/$/inet/h/1 & /$/inet/h/2",
            "/a",
            "1.00 * /$/inet/h/1 & 1.00 * /$/inet/h/2",
        ),
        (
            "/a=>9*/$/inet/h/1 & 1*/$/inet/h/2",
            "/a/x",
            "9.00 * /$/inet/h/1+/x & 1.00 * /$/inet/h/2+/x",
        ),
        ("/a=>9*/$/inet/h/1 & 1*/x", "/a", "/$/inet/h/1"),
        ("/a=>9*~ & 1*/$/inet/h/1", "/a", "/$/inet/h/1"),
        ("/a=>! & /$/inet/h/1", "/a", "/$/inet/h/1"),
        (
            "/a=>$ & 2*/$/inet/h/1",
            "/a",
            "1.00 * $ & 2.00 * /$/inet/h/1",
        ),
        ("/a=>~ & !", "/a", "~"),
        ("/a=>$ & $", "/a", "1.00 * $ & 1.00 * $"),
        ("/a=>! & $", "/a", "$"),
        (
            "/a=>2*/b & 3*/$/inet/h/3;/b=>/$/inet/h/1 & 4*/$/inet/h/2",
            "/a",
            "2.00 * (1.00 * /$/inet/h/1 & 4.00 * /$/inet/h/2) & 3.00 * /$/inet/h/3",
        ),
        (
            "/a=>(~ | /$/inet/h/1) & (/$/inet/h/2 | /$/inet/h/3)",
            "/a",
            "1.00 * /$/inet/h/1 & 1.00 * /$/inet/h/2",
        ),
        ("/a=>/x & (/y & (/z & /$/inet/h/1))", "/a", "/$/inet/h/1"),
        // Errors count only if no branch has a value.
        ("/a=>/$/unknown & /$/inet/h/1", "/a", "/$/inet/h/1"),
        ("/a=>/$/unknown & ~", "/a", "~"),
        (
            "/a=>/$/first & /$/second",
            "/a",
            "error: /$/first: unknown utility namer",
        ),
    ]);
}

#[test]
fn the_table_goes_before_the_namers() {
    check_bound(&[
        ("/$/inet=>/$/nil", "/$/inet/h/1", "$"),
        (
            "/#/io.l5d.fs=>/$/inet/h/1",
            "/#/io.l5d.fs/x",
            "/$/inet/h/1+/x",
        ),
        ("/#=>/$/inet/h", "/#/1/x", "/$/inet/h/1+/x"),
        // An entry that is only Neg leaves the name to the namers, as in linkerd.
        ("/$=>~", "/$/inet/h/1", "/$/inet/h/1"),
        ("/$=>!", "/$/inet/h/1", "!"),
        ("/$/inet=>/x", "/$/inet/h/1", "~"),
    ]);
}

#[test]
fn what_has_no_namer_is_an_error() {
    check_bound(&[
        (
            "",
            "/#/io.l5d.fs/users",
            "error: no namer is configured for /#/io.l5d.fs/users",
        ),
        (
            "/svc=>/#/x",
            "/svc/a",
            "error: no namer is configured for /#/x/a",
        ),
        (
            "/svc=>/#/x | /$/inet/h/1",
            "/svc",
            "error: no namer is configured for /#/x",
        ),
        (
            "/svc=>/$/inet/h/1;/svc=>/#/x",
            "/svc",
            "error: no namer is configured for /#/x",
        ),
        ("/svc=>/#/x & /$/inet/h/1", "/svc", "/$/inet/h/1"),
        ("", "/#", "~"),
        ("", "/$", "~"),
        ("", "/%/x", "~"),
        ("", "/$/nope/a", "error: /$/nope/a: unknown utility namer"),
        (
            "",
            "/$/com.twitter.serverset/zk:1/a",
            "error: no namer is configured for /$/com.twitter.serverset/zk:1/a",
        ),
        (
            "",
            "/$/io.buoyant.namer.zk.leader/zk:1/a",
            "error: no namer is configured for /$/io.buoyant.namer.zk.leader/zk:1/a",
        ),
    ]);
    let error = bind(&dtab(""), &path("/#/x")).unwrap_err();
    assert_eq!(error, BindError::NotConfigured { path: path("/#/x") });
    assert_eq!(error.fault(), Fault::Proxy);
}

/// `/0=>/1;/1=>/2;…` of which the last is an address: `n` entries, `n` + 1 lookups.
fn chain(n: usize) -> String {
    let link = |i| {
        if i + 1 == n {
            format!("/{i}=>/$/inet/h/1;")
        } else {
            format!("/{i}=>/{};", i + 1)
        }
    };
    (0..n).map(link).collect()
}

#[test]
fn depth_is_limited() {
    assert_eq!(bound(&chain(99), "/0/x"), "/$/inet/h/1+/x");
    let error = bound(&chain(100), "/0");
    let circle = "more than 100 rewrites deep, does the dtab go in a circle?";
    assert_eq!(error, format!("error: /$/inet/h/1: {circle}"));
    for (table, stopped) in [
        ("/a=>/a", "/a"),
        ("/a=>/b;/b=>/a", "/a"),
        ("/*=>/a | /b", "/a"),
    ] {
        assert_eq!(
            bound(table, "/a"),
            format!("error: {stopped}: {circle}"),
            "{table}"
        );
    }
    let growing = bind(&dtab("/=>/$/inet/h/1"), &path("/a")).unwrap_err();
    assert!(matches!(growing, BindError::TooDeep { .. }), "{growing}");
    // As one branch of a union it is no worse than other errors.
    assert_eq!(bound("/a=>/b & /$/inet/h/1;/b=>/b", "/a"), "/$/inet/h/1");
}

#[test]
fn breadth_is_limited() {
    let doubling = |n: usize| -> String {
        (0..n)
            .map(|i| format!("/{i}=>/{0} | /{0};", i + 1))
            .collect()
    };
    assert_eq!(bound(&doubling(5), "/0"), "~");
    assert_eq!(
        bound(&doubling(60), "/0/x"),
        "error: /0/x: too many alternatives to delegate"
    );
    assert_eq!(
        bound("/a=>/a & /a", "/a"),
        "error: /a: too many alternatives to delegate"
    );
    let wide = format!("/a=>{}", vec!["/x"; 20_000].join("|"));
    assert_eq!(
        bound(&wide, "/a"),
        "error: /a: too many alternatives to delegate"
    );
}

#[test]
fn nesting_of_results_is_limited() {
    // 60 unions within each other per lookup.
    let nested = (0..60).fold("/a".to_owned(), |tree, _| format!("(/$/inet/h/1 & {tree})"));
    let error = bind(&dtab(&format!("/a=>{nested}")), &path("/a")).unwrap_err();
    assert!(matches!(error, BindError::TooWide { .. }), "{error}");
}

#[test]
fn bound_names_say_id_address_and_residual() {
    let tree = bind(&dtab("/svc=>/$/inet/example.com/8080"), &path("/svc/a/b")).unwrap();
    let NameTree::Leaf(bound) = tree else {
        panic!("{tree:?}")
    };
    assert_eq!(bound.id, path("/$/inet/example.com/8080"));
    assert_eq!(
        bound.addr,
        Addr::Inet(Inet {
            host: "example.com".to_owned(),
            port: 8080
        })
    );
    assert_eq!(bound.residual, path("/a/b"));
}
