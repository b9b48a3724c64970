//! The tables of everything that is about headers.

use super::{Block, Kinds};

pub const RULES: Block = Block {
    title: "requestHeaders, responseHeaders",
    keys: &["set", "add", "remove"],
    not_yet: &[],
    gone: &[],
};

pub const COOKIES: Block = Block {
    title: "rewriteCookies",
    keys: &["domain", "path"],
    not_yet: &[],
    gone: &[],
};

pub const PROPAGATOR: Block = Block {
    title: "routers[].tracePropagator",
    keys: &["kind"],
    not_yet: &[],
    gone: &[],
};

pub const FORWARDED: Block = Block {
    title: "routers[].servers[].addForwardedHeader",
    keys: &["by", "for"],
    not_yet: &[],
    gone: &[],
};

pub const LABELER: Block = Block {
    title: "labeler",
    keys: &["kind"],
    not_yet: &[],
    gone: &[],
};

pub const LABELER_STATIC: Block = Block {
    title: "labeler: static",
    keys: &["kind", "label"],
    not_yet: &[],
    gone: &[],
};

pub const X_FORWARDED: Block = Block {
    title: "routers[].servers[].xForwarded",
    keys: &["for", "proto", "host", "port", "realIp", "trusted"],
    not_yet: &[],
    gone: &[],
};

pub const PROPAGATORS: Kinds = Kinds {
    key: "kind",
    what: "trace propagator",
    supported: &[
        ("io.l5d.default", &PROPAGATOR),
        ("io.l5d.zipkin", &PROPAGATOR),
    ],
    not_yet: &[],
    gone: &[],
};

pub const LABELERS: Kinds = Kinds {
    key: "kind",
    what: "labeler",
    supported: &[
        ("ip", &LABELER),
        ("ip:port", &LABELER),
        ("connectionRandom", &LABELER),
        ("requestRandom", &LABELER),
        ("router", &LABELER),
        ("static", &LABELER_STATIC),
    ],
    not_yet: &[],
    gone: &[],
};
