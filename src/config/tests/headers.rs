//! Everything about headers: what loads and what it then means, what is refused and where.

use super::super::resolved::{
    ForMode, Forwarded, Identifier, Labeler, LocationRule, Part, Propagator, Rules,
};
use super::{check, ok, router, server};
use crate::http::Name;

fn rules(text: &str) -> Rules {
    ok(&router(text)).routers[0].rules.clone()
}

#[test]
fn servers() {
    let of = |text: &str| ok(&server(text)).routers[0].servers[0].clone();
    let plain = of("label: a");
    assert_eq!(plain.max_call_depth, 1000);
    assert_eq!((plain.forwarded, plain.x_forwarded), (None, None));
    assert!(plain.timestamp.is_none());
    assert_eq!(of("maxCallDepth: 10").max_call_depth, 10);
    let timestamp = of("timestampHeader: X-Request-Start").timestamp.unwrap();
    assert_eq!(timestamp.text, "X-Request-Start");
    for off in ["xForwarded: false", "xForwarded:", "xForwarded: ~"] {
        assert_eq!(of(off).x_forwarded, None, "{off}");
    }
    let all = of("xForwarded: true").x_forwarded.unwrap();
    assert_eq!(all.for_, ForMode::Append);
    assert!(all.proto && all.host && all.port && all.real_ip && all.trusted.is_empty());
    assert_eq!(of("xForwarded: {}").x_forwarded, Some(all));
    let some =
        of("xForwarded: {for: off, proto: false, port: false, trusted: [10.0.0.0/8, '::1']}");
    let some = some.x_forwarded.unwrap();
    assert_eq!(some.for_, ForMode::Off);
    assert!(!some.proto && some.host && !some.port && some.real_ip);
    assert_eq!(some.trusted.len(), 2);
}

#[test]
fn labelers() {
    let of = |text: &str| {
        let config = ok(&server(&format!("addForwardedHeader: {text}")));
        config.routers[0].servers[0].forwarded.clone().unwrap()
    };
    let random = Labeler::RequestRandom;
    let default = Forwarded {
        by: random.clone(),
        for_: random.clone(),
    };
    assert_eq!(of("{}"), default);
    for (text, labeler) in [
        ("{kind: ip}", Labeler::Ip),
        ("{kind: 'ip:port'}", Labeler::IpPort),
        ("{kind: connectionRandom}", Labeler::ConnectionRandom),
        ("{kind: requestRandom}", random.clone()),
        ("{kind: router}", Labeler::Router("http".to_owned())),
        ("{kind: static, label: a}", Labeler::Static("a".to_owned())),
    ] {
        let by = of(&format!("{{by: {text}}}"));
        assert_eq!((&by.by, &by.for_), (&labeler, &random), "{text}");
        let for_ = of(&format!("{{for: {text}}}"));
        assert_eq!((&for_.by, &for_.for_), (&random, &labeler), "{text}");
    }
}

#[test]
fn servers_refuse() {
    check(
        server,
        &[
            (
                "maxCallDepth: 0",
                &["5:19: routers[0].servers[0].maxCallDepth: 0 is not within 1 to 1000000"],
            ),
            (
                "timestampHeader: a b",
                &["5:22: routers[0].servers[0].timestampHeader: `a b` is not the name of a header"],
            ),
            (
                "timestampHeader: Connection",
                &[
                    "5:22: routers[0].servers[0].timestampHeader: `Connection` is written by ringlink itself",
                ],
            ),
            (
                "timestampHeader: host",
                &[
                    "5:22: routers[0].servers[0].timestampHeader: `host` is written by ringlink itself",
                ],
            ),
            (
                "addForwardedHeader: true",
                &[
                    "5:25: routers[0].servers[0].addForwardedHeader: expected a map, found a single value",
                ],
            ),
            (
                "addForwardedHeader: {buy: {}}",
                &["5:26: routers[0].servers[0].addForwardedHeader.buy: unknown key `buy`"],
            ),
            (
                "addForwardedHeader: {by: {kind: ipport}}",
                &[
                    "5:37: routers[0].servers[0].addForwardedHeader.by.kind: unknown labeler `ipport`",
                ],
            ),
            (
                "addForwardedHeader: {by: {kind: static}}",
                &["5:31: routers[0].servers[0].addForwardedHeader.by: `label` is missing"],
            ),
            (
                "addForwardedHeader: {for: {kind: static, label: 'a;b'}}",
                &[
                    "5:53: routers[0].servers[0].addForwardedHeader.for.label: `a;b` cannot stand in Forwarded",
                ],
            ),
            (
                "addForwardedHeader: {for: {kind: ip, label: a}}",
                &["5:42: routers[0].servers[0].addForwardedHeader.for.label: unknown key `label`"],
            ),
            (
                "xForwarded: yes",
                &["5:17: routers[0].servers[0].xForwarded: expected true or false, found `yes`"],
            ),
            (
                "xForwarded: {for: never, proto: 1}",
                &[
                    "5:23: routers[0].servers[0].xForwarded.for: `never` is none of append, replace and off",
                    "5:37: routers[0].servers[0].xForwarded.proto: expected true or false, found `1`",
                ],
            ),
            (
                "xForwarded: {trusted: [10.0.0.1/8, here, 1.1.1.1/33, 1.1.1.1/, '::ffff:1.1.1.1']}",
                &[
                    "5:28: routers[0].servers[0].xForwarded.trusted[0]: `10.0.0.1/8` is neither an address nor a network",
                    "5:40: routers[0].servers[0].xForwarded.trusted[1]: `here` is neither an address nor a network",
                    "5:46: routers[0].servers[0].xForwarded.trusted[2]: `1.1.1.1/33` is neither an address nor a network",
                    "5:58: routers[0].servers[0].xForwarded.trusted[3]: `1.1.1.1/` is neither an address nor a network",
                    "5:68: routers[0].servers[0].xForwarded.trusted[4]: `::ffff:1.1.1.1` is neither an address nor a network",
                ],
            ),
        ],
    );
    let label = |label: &str| {
        let server = "{port: 0, addForwardedHeader: {by: {kind: router}}}";
        format!("routers: [{{protocol: http, label: {label}, servers: [{server}]}}]")
    };
    ok(&label("a.b_c-1"));
    super::assert_told(
        &label("a b"),
        &["1:86: routers[0].servers[0].addForwardedHeader.by: `a b` cannot stand in Forwarded"],
    );
}

#[test]
fn propagators() {
    let of = |text: &str| ok(&router(text)).routers[0].propagator;
    assert_eq!(of("label: a"), Propagator::Linkerd);
    assert_eq!(
        of("tracePropagator: {kind: io.l5d.default}"),
        Propagator::Linkerd
    );
    assert_eq!(of("tracePropagator: {kind: zipkin}"), Propagator::Zipkin);
    check(
        router,
        &[
            (
                "tracePropagator: zipkin",
                &["4:20: routers[0].tracePropagator: expected a map, found a single value"],
            ),
            (
                "tracePropagator: {kind: jaeger}",
                &["4:27: routers[0].tracePropagator.kind: unknown trace propagator `jaeger`"],
            ),
        ],
    );
}

#[test]
fn rules_of_headers() {
    assert!(rules("label: a").request.is_empty());
    let rules = rules(
        "requestHeaders: {set: {Host: 'in.$host:80', X-A: ''}, add: {X-B: [1, $$x], via: y}, remove: [X-C, Cookie]}\n\
         responseHeaders: {remove: x-d, set: {x-e: 'a $client_ip, $path$query-$request_id'}}",
    );
    let request = &rules.request;
    let set: Vec<_> = request
        .set
        .iter()
        .map(|(name, f)| (name.id, &f.text))
        .collect();
    assert_eq!(
        set,
        [
            (Name::Host, &"in.$host:80".to_owned()),
            (Name::Other, &String::new())
        ]
    );
    let add: Vec<_> = request
        .add
        .iter()
        .map(|(name, f)| (name.text.as_str(), &f.parts[..]))
        .collect();
    let text = |text: &str| vec![Part::Text(text.to_owned())];
    assert_eq!(
        add,
        [
            ("X-B", &text("1")[..]),
            ("X-B", &text("$x")),
            ("via", &text("y"))
        ]
    );
    let removed: Vec<_> = request.remove.iter().map(|name| name.id).collect();
    assert_eq!(removed, [Name::Other, Name::Cookie]);
    let (name, format) = &rules.response.set[0];
    assert_eq!(name.text, "x-e");
    let plain = |text: &str| Part::Text(text.to_owned());
    assert_eq!(
        format.parts,
        [
            plain("a "),
            Part::ClientIp,
            plain(", "),
            Part::Path,
            Part::Query,
            plain("-"),
            Part::RequestId
        ]
    );
    assert!(rules.client_ip);
}

#[test]
fn who_needs_the_client() {
    for (text, needs) in [
        ("requestHeaders: {set: {a: $host}}", false),
        ("requestHeaders: {set: {a: $$client_ip}}", false),
        ("requestHeaders: {add: {a: x-$client_ip}}", true),
        ("rewriteLocation: {/a: '/$client_ip'}", true),
    ] {
        assert_eq!(rules(text).client_ip, needs, "{text}");
    }
}

#[test]
fn rules_refuse() {
    let own = "is written by ringlink itself";
    for name in [
        "Connection",
        "keep-alive",
        "TE",
        "Transfer-Encoding",
        "Content-Length",
        "Upgrade",
        "expect",
    ] {
        for (key, column) in [("requestHeaders", 26), ("responseHeaders", 27)] {
            super::assert_told(
                &router(&format!("{key}: {{set: {{{name}: a}}}}")),
                &[&format!("4:{column}: routers[0].{key}.set: `{name}` {own}")],
            );
        }
    }
    for name in ["l5d-ctx-deadline", "L5d-Dst-Service", "l5d-reqid", "Host"] {
        super::assert_told(
            &router(&format!("requestHeaders: {{remove: {name}}}")),
            &[&format!(
                "4:28: routers[0].requestHeaders.remove: `{name}` {own}"
            )],
        );
    }
    rules(
        "responseHeaders: {remove: [l5d-ctx-a, l5d-reqid]}\nrequestHeaders: {remove: x-b3-traceid}",
    );
    super::assert_told(
        &router("tracePropagator: {kind: zipkin}\nrequestHeaders: {remove: [b3, X-B3-Sampled]}"),
        &[
            &format!("5:29: routers[0].requestHeaders.remove[0]: `b3` {own}"),
            &format!("5:33: routers[0].requestHeaders.remove[1]: `X-B3-Sampled` {own}"),
        ],
    );
    check(
        router,
        &[
            (
                "requestHeaders: {sett: {}}",
                &["4:20: routers[0].requestHeaders.sett: unknown key `sett`"],
            ),
            (
                "requestHeaders: {set: [a]}",
                &["4:25: routers[0].requestHeaders.set: expected a map, found a list"],
            ),
            (
                "requestHeaders: {set: {a: 1, A: 2}}",
                &["4:32: routers[0].requestHeaders.set: it is there twice"],
            ),
            (
                "requestHeaders: {add: {a: 1, A: 2}}",
                &["4:32: routers[0].requestHeaders.add: duplicate header `A`"],
            ),
            (
                "requestHeaders: {remove: [a, A, 'b c'], set: {a: x}}",
                &[
                    "4:32: routers[0].requestHeaders.remove[1]: it is there twice",
                    "4:35: routers[0].requestHeaders.remove[2]: `b c` is not the name of a header",
                    "4:49: routers[0].requestHeaders.set: it is both removed and set",
                ],
            ),
            (
                "requestHeaders: {set: {a: \"b\\r\\nc: d\", e: ' f', g: [h], i: $uri, j: $}}",
                &[
                    "4:29: routers[0].requestHeaders.set.a: `b\\r\\nc: d` cannot stand in a header",
                    "4:45: routers[0].requestHeaders.set.e: white space around a value does not arrive",
                    "4:54: routers[0].requestHeaders.set.g: expected the value of a header, found a list",
                    "4:62: routers[0].requestHeaders.set.i: unknown variable `$uri`",
                    "4:71: routers[0].requestHeaders.set.j: unknown variable `$`",
                ],
            ),
            (
                "requestHeaders: {add: {a: []}, remove: []}",
                &[
                    "4:29: routers[0].requestHeaders.add.a: the list is empty",
                    "4:42: routers[0].requestHeaders.remove: the list is empty",
                ],
            ),
            (
                "requestHeaders: {set: {Host: a/b}}",
                &["4:32: routers[0].requestHeaders.set.Host: `a/b` is not a host"],
            ),
            (
                "requestHeaders: {set: {host: $path}}",
                &["4:32: routers[0].requestHeaders.set.host: unknown variable `$path`"],
            ),
            (
                "responseHeaders: {set: {Host: a}}",
                &["4:27: routers[0].responseHeaders.set: `Host` is written by ringlink itself"],
            ),
        ],
    );
    let long = "x".repeat(8193);
    super::assert_told(
        &router(&format!("requestHeaders: {{set: {{a: {long}}}}}")),
        &["4:29: routers[0].requestHeaders.set.a: the value has more than 8192 bytes"],
    );
}

#[test]
fn locations_and_cookies() {
    assert_eq!(
        rules("rewriteLocation: auto").location,
        Some(LocationRule::Auto)
    );
    assert_eq!(
        rules("rewriteLocation: off").location,
        Some(LocationRule::Off)
    );
    let rules = rules(
        "rewriteLocation: {/a/: /b/, 'http://long.example/': 'https://$host/'}\n\
         rewriteCookies: {domain: {.In.Example: example}, path: {/: /x/, /y: /z}}",
    );
    let Some(LocationRule::Prefixes(pairs)) = &rules.location else {
        panic!("{rules:?}");
    };
    assert_eq!(
        (pairs[0].0.as_str(), pairs[1].1.text.as_str()),
        ("http://long.example/", "/b/")
    );
    let cookies = rules.cookies.unwrap();
    assert_eq!(cookies.domain[0].0, "in.example");
    assert_eq!(
        (cookies.path[0].0.as_str(), cookies.path[1].0.as_str()),
        ("/y", "/")
    );
    check(
        router,
        &[
            (
                "rewriteLocation: on",
                &["4:20: routers[0].rewriteLocation: `on` is neither auto nor off nor a map"],
            ),
            (
                "rewriteLocation: {a: /b, /c/: /d, /e: 'x', /f: \"/g h\"}",
                &[
                    "4:21: routers[0].rewriteLocation: `a` is not how a Location begins",
                    "4:33: routers[0].rewriteLocation./c/: `/c/` and `/d` end differently",
                    "4:41: routers[0].rewriteLocation./e: `x` is not how a Location begins",
                    "4:50: routers[0].rewriteLocation./f: `/g h` is not how a Location begins",
                ],
            ),
            (
                "rewriteCookies: {domains: {}, domain: {a..b: c, d: e/f}, path: {g: /h, /i: /j/, /k: '/l;'}}",
                &[
                    "4:20: routers[0].rewriteCookies.domains: unknown key `domains`",
                    "4:42: routers[0].rewriteCookies.domain: `a..b` is not the domain of a cookie",
                    "4:54: routers[0].rewriteCookies.domain.d: `e/f` is not the domain of a cookie",
                    "4:67: routers[0].rewriteCookies.path: `g` is not the path of a cookie",
                    "4:78: routers[0].rewriteCookies.path./i: `/i` and `/j/` end differently",
                    "4:87: routers[0].rewriteCookies.path./k: `/l;` is not the path of a cookie",
                ],
            ),
        ],
    );
}

#[test]
fn routes_have_rules_of_their_own() {
    let routes = |text: &str| router(&format!("identifier: {{kind: routes, routes: [{text}]}}"));
    let config = ok(&routes(
        "{path: /a, name: /a, rewriteLocation: auto, requestHeaders: {remove: x}}, {respond: {}, responseHeaders: {set: {a: b}}}",
    ));
    let [Identifier::Routes { routes: table }] = &config.routers[0].identifiers[..] else {
        panic!("{config:?}");
    };
    assert_eq!(table[0].rules.location, Some(LocationRule::Auto));
    assert_eq!(table[0].rules.request.remove.len(), 1);
    assert_eq!(table[1].rules.response.set.len(), 1);
    let why = "it is about requests that go to a `name`";
    let at = "routers[0].identifier.routes[0]";
    super::assert_told(
        &routes(
            "{respond: {}, requestHeaders: {remove: x}, rewriteLocation: auto, rewriteCookies: {path: {/a: /b}}}",
        ),
        &[
            &format!("4:70: {at}.requestHeaders: {why}"),
            &format!("4:99: {at}.rewriteLocation: {why}"),
            &format!("4:122: {at}.rewriteCookies: {why}"),
        ],
    );
}

#[test]
fn what_is_printed_loads_again() {
    for text in [
        router(
            "tracePropagator: {kind: zipkin}\n\
             requestHeaders: {set: {Host: a, X: '$$ $path'}, add: {a: 3, b: [1, 2]}, remove: [c, d]}\n\
             responseHeaders: {remove: [server]}\n\
             rewriteLocation: {/b/: /c/, /a: 'https://$host/x'}\n\
             rewriteCookies: {domain: {a: b, .c: d}, path: {/x: /y, /longer: /z}}\n\
             identifier: {kind: routes, routes: [{name: /a, rewriteLocation: off, rewriteCookies: {}}]}",
        ),
        router("rewriteLocation: auto"),
        server(
            "maxCallDepth: 5\ntimestampHeader: X-T\naddForwardedHeader: {by: {kind: static, label: a}, for: {kind: router}}\n\
             xForwarded: {for: replace, host: false, trusted: [10.0.0.0/8, 'fd00::/8', 1.2.3.4]}",
        ),
        server(
            "addForwardedHeader: {by: {kind: 'ip:port'}, for: {kind: ip}}\nxForwarded: {for: off}",
        ),
        server("addForwardedHeader: {by: {kind: connectionRandom}}\nxForwarded: false"),
    ] {
        let json = ok(&text).to_json();
        let again = ok(&json.to_string());
        assert_eq!(again.to_json(), json);
        assert_eq!(
            format!("{:?}", again.routers[0].rules),
            format!("{:?}", ok(&text).routers[0].rules)
        );
    }
}
