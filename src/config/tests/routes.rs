//! Route tables: what loads, what is refused and where.

use super::super::resolved::{Action, Identifier, Part};
use super::{assert_told, ok};

/// A file with this one route, from line 5, column 12.
fn one(route: &str) -> String {
    format!(
        "routers:\n- protocol: http\n  servers: [{{port: 0}}]\n  identifier: {{kind: routes, routes: [\n    {route}]}}\n"
    )
}

const AT: &str = "routers[0].identifier.routes[0]";

#[test]
fn wrong_routes_are_told_with_their_place() {
    for (route, position, key, message) in [
        (
            "{}",
            "5:5",
            "",
            "a route has one of `name`, `redirect` and `respond`",
        ),
        (
            "{name: /a, respond: {}}",
            "5:6",
            "",
            "a route has one of `name`, `redirect` and `respond`",
        ),
        (
            "{path: /a, exact: /b, name: /c}",
            "5:23",
            ".exact",
            "a route has one of `path`, `exact` and `regex`",
        ),
        (
            "{path: a, name: /c}",
            "5:12",
            ".path",
            "`a` is not the path of a URI",
        ),
        (
            "{exact: '/a?b', name: /c}",
            "5:13",
            ".exact",
            "`/a?b` is not the path of a URI",
        ),
        (
            "{regex: 'a(', name: /c}",
            "5:13",
            ".regex",
            "not a regular expression: unclosed group",
        ),
        (
            "{regex: '(a{1000}){1000}', name: /c}",
            "5:13",
            ".regex",
            "the regular expression is too large: use fewer repetitions",
        ),
        (
            "{host: 'a:80', name: /c}",
            "5:12",
            ".host",
            "`a:80` is not a host",
        ),
        (
            "{host: [a, 'a.*'], name: /c}",
            "5:16",
            ".host[1]",
            "`a.*` is not a host",
        ),
        (
            "{host: '[::g]', name: /c}",
            "5:12",
            ".host",
            "`[::g]` is not a host",
        ),
        (
            "{regex: '\\p{Greek}', name: /c}",
            "5:13",
            ".regex",
            "not a regular expression: …",
        ),
        ("{host: [], name: /c}", "5:12", ".host", "the list is empty"),
        (
            "{methods: get, name: /c}",
            "5:15",
            ".methods",
            "`get` is not a method",
        ),
        (
            "{headers: {Host: a}, name: /c}",
            "5:16",
            ".headers",
            "no condition can be put on `Host`",
        ),
        (
            "{headers: {X: a, x: b}, name: /c}",
            "5:22",
            ".headers",
            "duplicate header `x`",
        ),
        (
            "{query: {'a=b': c}, name: /c}",
            "5:14",
            ".query",
            "`a=b` can never be in a query",
        ),
        (
            "{regex: a, rewritePrefix: /b, name: /c}",
            "5:31",
            ".rewritePrefix",
            "there is no prefix to replace",
        ),
        (
            "{path: /a, rewritePrefix: /b, respond: {}}",
            "5:31",
            ".rewritePrefix",
            "only a request that goes to a `name` is rewritten",
        ),
        ("{redirect: {}}", "5:16", ".redirect", "`to` is missing"),
        (
            "{redirect: {to: '/a', status: 304}}",
            "5:35",
            ".redirect.status",
            "304 redirects nowhere",
        ),
        (
            "{redirect: {to: 'https://a/$uri'}}",
            "5:21",
            ".redirect.to",
            "unknown variable `$uri`",
        ),
        (
            "{redirect: {to: \"https://a/\\r\\nx: y\"}}",
            "5:21",
            ".redirect.to",
            "`https://a/\\r\\nx: y` is not a URL",
        ),
        (
            "{respond: {status: 204, body: a}}",
            "5:35",
            ".respond.body",
            "a response with status 204 has no body",
        ),
        (
            "{respond: {contentType: \"a/b\\nc: d\"}}",
            "5:29",
            ".respond.contentType",
            "`a/b\\nc: d` is not a media type",
        ),
        (
            "{respond: {}, methods: CONNECT}",
            "5:6",
            "",
            "a tunnel cannot be redirected or answered: CONNECT needs a `name`",
        ),
        ("{nam: /a, respond: {}}", "5:6", ".nam", "unknown key `nam`"),
    ] {
        assert_told(&one(route), &[&format!("{position}: {AT}{key}: {message}")]);
    }
}

#[test]
fn a_client_cannot_choose_the_host_of_a_redirect() {
    for to in [
        "//a",
        "$path",
        "/$path",
        "https://$path",
        "http:///a",
        "a",
        "/\\a",
    ] {
        let place = format!("5:21: {AT}.redirect.to");
        let message = "the client's path would decide which host it leads to";
        assert_told(
            &one(&format!("{{redirect: {{to: '{to}'}}}}")),
            &[&format!("{place}: {message}")],
        );
    }
    for to in [
        "https://a$path$query",
        "https://$host/x",
        "/new$path",
        "/",
        "http://a",
    ] {
        ok(&one(&format!("{{redirect: {{to: '{to}'}}}}")));
    }
}

#[test]
fn tables_load_and_load_again() {
    let text = one(
        "{host: [A.example, '*.B.example'], path: /a/, methods: GET, headers: {X-Y: '*', z: '1'},
         query: {q: v}, name: /n, rewritePrefix: /}, {regex: '^/[a-z]+$', name: /},
        {exact: /old, redirect: {to: 'https://$host:8443/x$path$query', status: 308}},
        {respond: {status: 503, body: 'later', contentType: text/html}}, {path: /, respond: {}}",
    );
    let config = ok(&text);
    let json = config.to_json();
    assert_eq!(ok(&json.to_string()).to_json(), json);
    let routes = &json["routers"][0]["identifier"][0]["routes"];
    assert_eq!(routes[0]["host"][1], "*.b.example");
    assert_eq!(routes[0]["path"], "/a");
    assert_eq!(routes[0]["rewritePrefix"], "/");
    let [Identifier::Routes { routes }] = &config.routers[0].identifiers[..] else {
        panic!("{config:?}");
    };
    let Action::Redirect { to, status: 308 } = &routes[2].action else {
        panic!("{:?}", routes[2]);
    };
    let text = |text: &str| Part::Text(text.to_owned());
    let parts = [
        text("https://"),
        Part::Host,
        text(":8443/x"),
        Part::Path,
        Part::Query,
    ];
    assert_eq!(to.parts, parts);
}
