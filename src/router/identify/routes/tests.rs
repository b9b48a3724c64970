use proptest::prelude::*;

use super::*;
use crate::config::resolved::{Action, Identifier, Wanted};
use crate::http::h1::{HeadReader, Limits};

fn head(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    HeadReader::new()
        .request(text.as_bytes(), &Limits::default(), &mut head)
        .expect("a valid request");
    head
}

fn loaded(routes: &str) -> Arc<[Route]> {
    let text = format!(
        "routers: [{{protocol: http, servers: [{{port: 0}}], identifier: {{kind: routes, routes: [{routes}]}}}}]"
    );
    let config = crate::config::load(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    match &config.routers[0].identifiers[..] {
        [Identifier::Routes { routes }] => Arc::clone(routes),
        other => panic!("{other:?}"),
    }
}

/// What each of these requests finds: the name of the route.
#[track_caller]
fn finds(routes: &str, cases: &[(&str, &str)]) {
    let table = Table::new(&loaded(routes));
    for (request, expected) in cases {
        let (line, fields) = request.split_once(" ; ").unwrap_or((request, ""));
        let (method, rest) = line.split_once(' ').expect("a method");
        let (target, host) = rest.split_once(' ').unwrap_or((rest, "a"));
        let fields: String = fields
            .split(',')
            .filter(|f| !f.is_empty())
            .map(|f| format!("{f}\r\n"))
            .collect();
        let head = head(&format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ));
        let found = match table.find(&head).map(|route| &route.action) {
            Some(Action::Name { name, .. }) => name.to_string(),
            Some(_) => "answer".to_owned(),
            None => "none".to_owned(),
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn paths() {
    finds(
        "{path: /api/v2/, name: /v2}, {path: /api, name: /api}, {exact: /x, name: /x}, \
         {regex: '^/v[0-9]+/', name: /re}, {path: /v1, name: /v1}, {path: /, name: /rest}",
        &[
            ("GET /api", "/api"),
            ("GET /api/", "/api"),
            ("GET /api?q", "/api"),
            ("GET /api/v2", "/v2"),
            ("GET /api/v2/x", "/v2"),
            ("GET /api/v22", "/api"),
            ("GET /apix", "/rest"),
            ("GET /API", "/rest"),
            ("GET //api", "/rest"),
            ("GET /x", "/x"),
            ("GET /x/", "/rest"),
            ("GET /v1/a", "/re"),
            ("GET /v1", "/v1"),
            ("GET /v12/a", "/re"),
            ("OPTIONS *", "none"),
        ],
    );
    finds("{name: /all}", &[("OPTIONS *", "/all"), ("GET /", "/all")]);
}

#[test]
fn hosts_and_order() {
    finds(
        "{host: www.example.com, path: /a, name: /www-a}, {host: '*.example.com', name: /sub}, \
         {host: [example.com, other.example], name: /two}, {host: 'www.example.com', name: /late}, \
         {host: '*.b.other.example', name: /deep}, {host: '[::1]', name: /v6}",
        &[
            ("GET /a www.example.com", "/www-a"),
            ("GET /a WWW.Example.com:8080", "/www-a"),
            ("GET /b www.example.com", "/sub"),
            ("GET / a.b.example.com.", "/sub"),
            ("GET / example.com", "/two"),
            ("GET / other.example", "/two"),
            ("GET / x.other.example", "none"),
            ("GET / a.b.other.example", "/deep"),
            ("GET / b.other.example", "none"),
            ("GET / notexample.com", "none"),
            ("GET / .example.com", "none"),
            ("GET / [::1]:80", "/v6"),
        ],
    );
}

#[test]
fn methods_headers_and_parameters() {
    finds(
        "{path: /a, methods: [GET, HEAD], headers: {X-Canary: '1'}, name: /canary}, \
         {path: /a, query: {v: '2', debug: '*'}, name: /debug}, {path: /a, query: {v: '2'}, name: /v2}, \
         {path: /a, headers: {x-any: '*'}, name: /any}, {path: /a, methods: POST, name: /post}, \
         {path: /t, respond: {}}",
        &[
            ("GET /a a ; x-canary: 1", "/canary"),
            ("HEAD /a a ; X-CANARY: 1", "/canary"),
            ("GET /a a ; x-canary: 0,x-canary: 1", "/canary"),
            ("PUT /a a ; x-canary: 1", "none"),
            ("GET /a a ; x-canary: 11", "none"),
            ("GET /a?v=2", "/v2"),
            ("GET /a?x&v=2&y", "/v2"),
            ("GET /a?v=2&debug", "/debug"),
            ("GET /a?debug=0&v=2", "/debug"),
            ("GET /a?v=22", "none"),
            ("GET /a?vv=2", "none"),
            ("GET /a?V=2", "none"),
            ("GET /a a ; x-any: 7", "/any"),
            ("POST /a", "/post"),
            ("GET /t", "answer"),
        ],
    );
    let table = Table::new(&loaded("{respond: {}}, {name: /tunnel}"));
    let connect = head("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    let action = table.find(&connect).map(|route| &route.action);
    assert!(matches!(action, Some(Action::Name { .. })));
}

/// A group's automaton only saves work: more expressions than one group has are found alike.
#[test]
fn many_regular_expressions() {
    let routes: Vec<_> = (0..GROUP * 2 + 5)
        .map(|n| format!("{{regex: '^/r{n}/[a-z]+$', name: /n{n}}}"))
        .collect();
    finds(
        &routes.join(", "),
        &[
            ("GET /r0/a", "/n0"),
            ("GET /r63/a", "/n63"),
            ("GET /r64/a", "/n64"),
            ("GET /r132/a", "/n132"),
            ("GET /r133/a", "none"),
            ("GET /r7/7", "none"),
        ],
    );
}

/// The specification: try one after the other.
fn scan<'r>(routes: &'r [Route], head: &RequestHead) -> Option<&'r Route> {
    let host = HostName::of(head.authority());
    let host = host.as_bytes();
    let path = head.path();
    routes.iter().find(|route| {
        let host_fits = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => name.as_bytes() == host,
            HostPattern::Below(name) => host
                .strip_suffix(name.as_bytes())
                .and_then(|rest| rest.strip_suffix(b"."))
                .is_some_and(|sub| !sub.is_empty()),
        };
        let path_fits = match &route.path {
            PathPattern::Any => true,
            PathPattern::Exact(exact) => exact.as_bytes() == path,
            PathPattern::Prefix(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/'),
            PathPattern::Regex(regex) => regex.is_match(path),
        };
        (route.hosts.is_empty() || route.hosts.iter().any(host_fits))
            && path_fits
            && conditions_fit(route, head)
    })
}

fn host() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
}

fn uri_path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{0,2}", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    prop_oneof![
        1 => Just(PathPattern::Any),
        4 => uri_path().prop_map(|p| PathPattern::Prefix(p.trim_end_matches('/').to_owned())),
        2 => uri_path().prop_map(PathPattern::Exact),
        2 => "\\^/[ab][*+]?(/[ab.]\\*)?\\$?".prop_map(|text| {
            PathPattern::Regex(Regex::new(&text).expect("a regular expression"))
        }),
    ]
}

fn route() -> impl Strategy<Value = Route> {
    let host = prop_oneof![
        host().prop_map(HostPattern::Exact),
        host().prop_map(HostPattern::Below)
    ];
    let methods = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec!["GET".to_owned()]),
        1 => Just(vec!["POST".to_owned(), "PUT".to_owned()]),
    ];
    let header = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![("x".to_owned(), Wanted::Value("1".to_owned()))]),
    ];
    let hosts = prop::collection::vec(host, 0..3);
    (hosts, pattern(), methods, header).prop_map(|(hosts, path, methods, headers)| Route {
        hosts,
        path,
        methods,
        headers,
        query: Vec::new(),
        action: Action::Name {
            name: crate::naming::Path::empty(),
            rewrite: None,
        },
        rules: Default::default(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        routes in prop::collection::vec(route(), 0..40),
        requests in prop::collection::vec((host(), uri_path(), "GET|POST|PUT", "[12]"), 1..30),
    ) {
        let routes: Arc<[Route]> = routes.into();
        let table = Table::new(&routes);
        for (host, path, method, x) in requests {
            let head = head(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX: {x}\r\n\r\n"));
            let (found, wanted) = (table.find(&head), scan(&routes, &head));
            let same = match (found, wanted) {
                (Some(found), Some(wanted)) => std::ptr::eq(found, wanted),
                (None, None) => true,
                _ => false,
            };
            prop_assert!(same, "{method} {host} {path}: {found:?}, not {wanted:?}");
        }
    }
}
