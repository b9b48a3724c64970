use super::*;

fn head(lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    assert!(head.set_authority(b"web.example:8080"));
    for (name, value) in lines {
        assert!(head.fields.push(name.as_bytes(), value.as_bytes()));
    }
    head
}

fn hop(peer: &str) -> Hop {
    Hop {
        peer: peer.parse().ok(),
        local: "10.0.0.9:4140".parse().ok(),
    }
}

/// Lines as they stand, without the constant ones.
fn shown(head: &RequestHead) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let lines = head.fields.iter();
    lines
        .map(|(_, name, value)| format!("{}: {}", text(name), text(value)))
        .collect()
}

fn config(trusted: &str) -> XForwarded {
    let text = format!(
        "routers: [{{protocol: http, servers: [{{port: 0, xForwarded: {{trusted: [{trusted}]}}}}]}}]"
    );
    let config = crate::config::load(&text).unwrap();
    config.routers[0].servers[0].x_forwarded.clone().unwrap()
}

const CONSTANT: [&str; 3] = [
    "x-forwarded-proto: http",
    "x-forwarded-host: web.example:8080",
    "x-forwarded-port: 4140",
];

#[test]
fn strangers_begin_anew() {
    let mut head = head(&[
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "bank"),
        ("X-Forwarded-Port", "443"),
        ("X-Real-Ip", "6.6.6.6"),
        ("accept", "*/*"),
    ]);
    let mut scratch = b"kept".to_vec();
    let client = x_forwarded(&config(""), &hop("1.2.3.4:5"), &mut head, &mut scratch);
    assert_eq!(client, "1.2.3.4".parse().ok());
    let begin = [
        "accept: */*",
        "x-forwarded-for: 1.2.3.4",
        "x-real-ip: 1.2.3.4",
    ];
    assert_eq!(shown(&head), [&begin[..], &CONSTANT[..]].concat());
    assert_eq!(scratch, b"kept");
}

#[test]
fn a_client_that_is_gone_says_nothing() {
    let mut head = head(&[("X-Forwarded-For", "6.6.6.6")]);
    let nobody = Hop {
        peer: None,
        local: None,
    };
    assert_eq!(
        x_forwarded(&config("0.0.0.0/0"), &nobody, &mut head, &mut Vec::new()),
        None
    );
    assert_eq!(shown(&head), [""; 0]);
}

#[test]
fn the_trusted_are_believed() {
    let config = config("10.0.0.0/8, 'fd00::/8'");
    for (lines, found, for_) in [
        (
            &[("x-forwarded-for", "1.1.1.1")][..],
            "1.1.1.1",
            "1.1.1.1, 10.0.0.1",
        ),
        // What a stranger wrote in front of his own address is not looked at.
        (
            &[("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.9.9.9,fd00::1")],
            "1.1.1.1",
            "6.6.6.6, 1.1.1.1, 10.9.9.9,fd00::1, 10.0.0.1",
        ),
        (
            &[
                ("x-forwarded-for", "1.1.1.1:80"),
                ("x-forwarded-for", "[fd00::2]:5"),
            ],
            "1.1.1.1",
            "1.1.1.1:80, [fd00::2]:5, 10.0.0.1",
        ),
        // One that cannot be read ends it, as all being trusted does.
        (
            &[("x-forwarded-for", "1.1.1.1, ?, 10.2.2.2")],
            "10.2.2.2",
            "1.1.1.1, ?, 10.2.2.2, 10.0.0.1",
        ),
        (
            &[("x-forwarded-for", "10.3.3.3")],
            "10.3.3.3",
            "10.3.3.3, 10.0.0.1",
        ),
        (&[("x-real-ip", "2001:db8::1")], "2001:db8::1", "10.0.0.1"),
        (&[("x-real-ip", "?")], "10.0.0.1", "10.0.0.1"),
        (&[], "10.0.0.1", "10.0.0.1"),
    ] {
        let mut head = head(lines);
        let client = x_forwarded(&config, &hop("10.0.0.1:5"), &mut head, &mut Vec::new());
        assert_eq!(client, found.parse().ok(), "{lines:?}");
        let field = |name| head.fields.get(name).map(String::from_utf8_lossy);
        assert_eq!(field(Name::XForwardedFor).as_deref(), Some(for_));
        assert_eq!(field(Name::XRealIp).as_deref(), Some(found));
    }
}

#[test]
fn what_the_trusted_say_of_the_rest_stays() {
    let said = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=1.1.1.1"),
    ];
    let mut head = head(&said);
    let config = XForwarded {
        for_: ForMode::Off,
        real_ip: false,
        ..config("10.0.0.0/8")
    };
    x_forwarded(&config, &hop("10.0.0.1:5"), &mut head, &mut Vec::new());
    assert_eq!(
        shown(&head),
        said.map(|(name, value)| format!("{name}: {value}"))
    );
}

#[test]
fn one_address_instead_of_the_list() {
    let config = XForwarded {
        for_: ForMode::Replace,
        proto: false,
        host: false,
        port: false,
        real_ip: false,
        ..config("10.0.0.0/8")
    };
    let mut head = head(&[("x-forwarded-for", "6.6.6.6, 1.1.1.1")]);
    x_forwarded(&config, &hop("10.0.0.1:5"), &mut head, &mut Vec::new());
    assert_eq!(shown(&head), ["x-forwarded-for: 1.1.1.1"]);
}

fn element(by: Labeler, for_: Labeler, hop: Hop, host: &str) -> String {
    let mut head = RequestHead::new();
    assert!(host.is_empty() || head.set_authority(host.as_bytes()));
    let config = Forwarded { by, for_ };
    let (labels, random) = (|| [62, 63], || 10);
    add_forwarded(&config, &hop, labels, random, &mut head, &mut Vec::new());
    String::from_utf8_lossy(head.fields.get(Name::Forwarded).unwrap()).into_owned()
}

#[test]
fn every_labeler() {
    use Labeler::{ConnectionRandom, Ip, IpPort, RequestRandom, Router, Static};
    let (four, six) = (hop("192.0.2.43:47011"), hop("[2001:db8:cafe::17]:47011"));
    let nobody = Hop {
        peer: None,
        local: "0.0.0.0:80".parse().ok(),
    };
    for (by, for_, hop, host, expected) in [
        (
            Ip,
            Ip,
            four,
            "web",
            "by=10.0.0.9;for=192.0.2.43;host=web;proto=http",
        ),
        (
            Ip,
            Ip,
            six,
            "",
            "by=10.0.0.9;for=\"[2001:db8:cafe::17]\";proto=http",
        ),
        (
            IpPort,
            IpPort,
            four,
            "web:80",
            "by=\"10.0.0.9:4140\";for=\"192.0.2.43:47011\";host=\"web:80\";proto=http",
        ),
        (
            RequestRandom,
            IpPort,
            six,
            "[::1]",
            "by=_A00000;for=\"[2001:db8:cafe::17]:47011\";host=\"[::1]\";proto=http",
        ),
        (
            ConnectionRandom,
            ConnectionRandom,
            nobody,
            "",
            "by=_010000;for=_110000;proto=http",
        ),
        (Ip, IpPort, nobody, "", "by=unknown;for=unknown;proto=http"),
        (
            Router("it".to_owned()),
            Static("_edge".to_owned()),
            four,
            "a",
            "by=_it;for=_edge;host=a;proto=http",
        ),
    ] {
        assert_eq!(element(by, for_, hop, host), expected);
    }
}

#[test]
fn elements_join_those_that_came() {
    let mut head = head(&[("Forwarded", "for=a"), ("x", "y"), ("forwarded", "for=b")]);
    let config = Forwarded {
        by: Labeler::Static("c".to_owned()),
        for_: Labeler::Static("d".to_owned()),
    };
    let (labels, random) = (|| [0, 0], || 0);
    let mut scratch = Vec::new();
    add_forwarded(&config, &hop(""), labels, random, &mut head, &mut scratch);
    let element = "forwarded: for=a, for=b, by=_c;for=_d;host=\"web.example:8080\";proto=http";
    assert_eq!(shown(&head), [element, "x: y"]);
}
