//! The names below `/$/`.

use super::{check_bound, dtab, path};
use crate::naming::utility::{Utility, lookup};
use crate::naming::{BindError, Fault, Inet, NameTree, Named, Path, bind};

#[test]
fn addresses() {
    let cases = [
        ("/$/inet/h/80", "/$/inet/h/80", "h:80", "/"),
        ("/$/inet/h/80/x/y", "/$/inet/h/80", "h:80", "/x/y"),
        (
            "/$/inet/127.0.0.1/65535",
            "/$/inet/127.0.0.1/65535",
            "127.0.0.1:65535",
            "/",
        ),
        ("/$/inet/::1/80", "/$/inet/::1/80", "[::1]:80", "/"),
        ("/$/inet/8080", "/$/inet/8080", "127.0.0.1:8080", "/"),
        ("/$/inet/80/81", "/$/inet/80/81", "80:81", "/"),
        ("/$/fixedinet/h/80/x", "/$/fixedinet/h/80", "h:80", "/x"),
        (
            "/$/io.buoyant.rinet/80/h",
            "/$/io.buoyant.rinet/80/h",
            "h:80",
            "/",
        ),
        (
            "/$/io.buoyant.rinet/80/h/x",
            "/$/io.buoyant.rinet/80/h",
            "h:80",
            "/x",
        ),
    ];
    for (name, id, addr, residual) in cases {
        let tree = bind(&dtab(""), &path(name)).unwrap_or_else(|e| panic!("{e}"));
        let NameTree::Leaf(bound) = tree else {
            panic!("{name}: {tree:?}")
        };
        let found = (bound.id, bound.addr.to_string(), bound.residual);
        assert_eq!(found, (path(id), addr.to_owned(), path(residual)), "{name}");
    }
}

#[test]
fn addresses_that_are_none() {
    let port = "the port is not a number from 1 to 65535";
    let cases = [
        ("/$/inet", "neither host nor port in the address"),
        ("/$/inet/h", port),
        ("/$/inet/h/http", port),
        ("/$/inet/h/0", port),
        ("/$/inet/h/65536", port),
        ("/$/inet/h/-1", port),
        (r"/$/inet/h/\x2b80", port),
        ("/$/inet/8080/x", port),
        ("/$/io.buoyant.rinet/h/80", port),
        (r"/$/inet/\xff/80", "the host is not text"),
        (r"/$/inet/a\x00b/80", "the host is not text"),
        (r"/$/inet/a\x20b/80", "the host is not text"),
    ];
    for (name, expected) in cases {
        let error = bind(&dtab(""), &path(name)).expect_err(name);
        assert_eq!(error.to_string(), format!("{}: {expected}", path(name)));
    }
    check_bound(&[
        ("", "/$/io.buoyant.rinet/80", "~"),
        ("", "/$/io.buoyant.rinet", "~"),
    ]);
}

#[test]
fn a_bad_address_is_the_fault_of_whose_segment_it_is() {
    let cases = [
        ("/svc=>/$/inet", "/svc/h/http", Fault::Client),
        ("/svc=>/$/inet/h", "/svc/http", Fault::Client),
        ("/svc=>/$/inet/h/http", "/svc/80", Fault::Proxy),
        ("/svc=>/$/inet/h/http", "/svc", Fault::Proxy),
        ("/svc=>/$/inet", "/svc", Fault::Proxy),
        ("/svc=>/$/nope", "/svc/a", Fault::Proxy),
    ];
    for (table, name, fault) in cases {
        let error = bind(&dtab(table), &path(name)).expect_err(name);
        assert_eq!(error.fault(), fault, "{name} by {table}: {error}");
    }
    let error = bind(&dtab(""), &path("/$/nope/a")).unwrap_err();
    assert_eq!(
        error,
        BindError::UnknownNamer {
            path: path("/$/nope/a")
        }
    );
}

#[test]
fn nowhere() {
    check_bound(&[
        ("", "/$/nil", "$"),
        ("", "/$/nil/x/y", "$"),
        ("", "/$/fail", "!"),
        ("", "/$/fail/x", "!"),
        ("/svc=>/$/nil", "/svc/x", "$"),
    ]);
}

/// Cases of (utility namer and arguments, path that it makes of them); `~` is none.
fn check_rewrites(cases: &[(&str, &str)]) {
    for (name, expected) in cases {
        assert_eq!(
            rewritten(&path(&format!("/$/io.buoyant.{name}"))),
            *expected,
            "{name}"
        );
    }
}

/// One step of a utility namer.
fn rewritten(name: &Path) -> String {
    match lookup(name) {
        Ok(Utility::Tree(NameTree::Leaf(Named::Path(path)))) => path.to_string(),
        Ok(Utility::Tree(NameTree::Neg)) => "~".to_owned(),
        _ => "?".to_owned(),
    }
}

#[test]
fn hosts_and_ports() {
    let long = format!("hostportPfx/p/h:{}", "a".repeat(64));
    check_rewrites(&[
        ("hostportPfx/p/h:80/x", "/p/h/80/x"),
        ("hostportPfx/p/h:80", "/p/h/80"),
        ("hostportPfx/p/a.b.com:http-alt/x", "/p/a.b.com/http-alt/x"),
        ("hostportPfx/p/h", "~"),
        ("hostportPfx/p/h:", "~"),
        ("hostportPfx/p/:80", "~"),
        ("hostportPfx/p/h:80:81", "~"),
        ("hostportPfx/p/::1", "~"),
        ("hostportPfx/p/h:HTTP", "~"),
        ("hostportPfx/p/h:-a", "~"),
        ("hostportPfx/p/h:a-", "~"),
        ("hostportPfx/p/h:a", "/p/h/a"),
        (&long, "~"),
        ("hostportPfx/p", "~"),
        ("hostportPfx", "~"),
        ("porthostPfx/p/h:80/x", "/p/80/h/x"),
        ("porthostPfx/p/h", "~"),
    ]);
}

#[test]
fn methods_and_hosts() {
    check_rewrites(&[
        ("http.anyMethod/GET/x", "/x"),
        ("http.anyMethod/GET", "/"),
        ("http.anyMethod/get/x", "~"),
        ("http.anyMethod/M-SEARCH/x", "~"),
        ("http.anyMethod", "~"),
        ("http.anyMethodPfx/p/GET/x", "/p/x"),
        ("http.anyMethodPfx/p/g/x", "~"),
        ("http.anyMethodPfx/p", "~"),
        ("http.anyHost/a.com:80/x", "/x"),
        ("http.anyHost/a_b/x", "/x"),
        ("http.anyHost/::1/x", "/x"),
        (r"http.anyHost/a\x2fb/x", "~"),
        ("http.anyHost/a$b/x", "~"),
        ("http.anyHostPfx/p/a.com/x", "/p/x"),
        ("http.anyHostPfx/p/a%/x", "~"),
    ]);
}

#[test]
fn domains() {
    check_rewrites(&[
        ("http.subdomainOf/b.io/a.b.io/x", "/a/x"),
        ("http.subdomainOf/b.io/a.b.io:80/x", "/a/x"),
        ("http.subdomainOf/b.io/c.a.b.io", "/c.a"),
        ("http.subdomainOf/b.io/b.io/x", "~"),
        ("http.subdomainOf/b.io/.b.io/x", "~"),
        ("http.subdomainOf/b.io/ab.io/x", "~"),
        ("http.subdomainOf/b.io/a.b.io.com/x", "~"),
        ("http.subdomainOf/b.io", "~"),
        ("http.subdomainOfPfx/b.io/p/a.b.io/x", "/p/a/x"),
        ("http.subdomainOfPfx/b.io/p/b.io/x", "~"),
        ("http.domainToPath/www.example.com/x", "/com/example/www/x"),
        ("http.domainToPath/localhost", "/localhost"),
        ("http.domainToPath/a.com:80/x", "/com:80/a/x"),
        ("http.domainToPath/a.com./x", "/com/a/x"),
        ("http.domainToPath/a..com", "~"),
        ("http.domainToPath/.", "~"),
        (r"http.domainToPath/a\x20b", "~"),
        (
            "http.domainToPathPfx/p/www.example.com/x",
            "/p/com/example/www/x",
        ),
        ("http.domainToPathPfx/p", "~"),
    ]);
}

#[test]
fn what_rewriting_namers_make_is_looked_up_again() {
    check_bound(&[
        (
            "/svc=>/$/io.buoyant.hostportPfx/hp;/hp=>/$/inet",
            "/svc/a.com:8080/x",
            "/$/inet/a.com/8080+/x",
        ),
        (
            "/h=>/$/inet/1.2.3.4/1;/http/1.1=>/$/io.buoyant.http.anyMethodPfx/m;\
             /m=>/$/io.buoyant.http.subdomainOfPfx/ex.com/h",
            "/http/1.1/GET/users.ex.com",
            "/$/inet/1.2.3.4/1+/users",
        ),
        (
            "/svc=>/$/io.buoyant.http.domainToPathPfx/d;/d/com/*=>/$/inet/h/1;/d/org=>!",
            "/svc/www.example.com",
            "/$/inet/h/1+/www",
        ),
        (
            "/svc=>/$/io.buoyant.http.anyHost | /$/nil",
            r"/svc/\x20",
            "$",
        ),
    ]);
}

#[test]
fn literals_need_no_dns() {
    let cases = [
        ("127.0.0.1", Some("127.0.0.1")),
        ("127.1", Some("127.0.0.1")),
        ("127.0.1", Some("127.0.0.1")),
        ("10.256", Some("10.0.1.0")),
        ("1.2.65535", Some("1.2.255.255")),
        ("2130706433", Some("127.0.0.1")),
        ("0", Some("0.0.0.0")),
        ("010.0.0.1", Some("10.0.0.1")),
        ("localhost", Some("127.0.0.1")),
        ("LocalHost", Some("127.0.0.1")),
        ("::1", Some("::1")),
        ("fe80::1", Some("fe80::1")),
        ("256.0.0.1", None),
        ("1.2.3.256", None),
        ("1.2.3.4.5", None),
        ("1.2.65536", None),
        ("4294967296", None),
        ("1..2", None),
        ("1.2.", None),
        ("", None),
        ("0x7f.1", None),
        ("+1.2.3.4", None),
        ("a.com", None),
    ];
    for (host, expected) in cases {
        let ip = Inet {
            host: host.to_owned(),
            port: 1,
        }
        .ip();
        assert_eq!(ip.map(|ip| ip.to_string()).as_deref(), expected, "{host}");
    }
}
