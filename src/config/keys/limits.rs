//! The tables of limits, which servers and services have in common, and of faults.

use super::Block;

pub const RATE_LIMIT: Block = Block {
    title: "rateLimit",
    keys: &["requests", "perSecs", "burst", "by", "maxKeys"],
    not_yet: &[],
    gone: &[],
};

pub const RATE_BY: Block = Block {
    title: "rateLimit.by",
    keys: &["header"],
    not_yet: &[],
    gone: &[],
};

pub const FAULT: Block = Block {
    title: "routers[].service.faults[]",
    keys: &["match", "abort", "delay"],
    not_yet: &[],
    gone: &[],
};

pub const FAULT_MATCH: Block = Block {
    title: "routers[].service.faults[].match",
    keys: &["path", "methods", "headers"],
    not_yet: &[],
    gone: &[],
};

pub const ABORT: Block = Block {
    title: "routers[].service.faults[].abort",
    keys: &["percent", "status"],
    not_yet: &[],
    gone: &[],
};

pub const DELAY: Block = Block {
    title: "routers[].service.faults[].delay",
    keys: &["percent", "ms"],
    not_yet: &[],
    gone: &[],
};

pub const ADAPTIVE_LIMIT: Block = Block {
    title: "adaptiveLimit",
    keys: &[
        "min",
        "max",
        "initial",
        "tolerance",
        "windowMs",
        "baselineSecs",
    ],
    not_yet: &[],
    gone: &[],
};
