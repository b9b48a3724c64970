//! The tables of limits, which servers and services have in common, and of faults.

use super::{Block, Kinds};

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

pub const FIFO: Block = Block {
    title: "queue: fifo",
    keys: &["kind"],
    not_yet: &[],
    gone: &[],
};

pub const CODEL: Block = Block {
    title: "queue: codel",
    keys: &["kind", "targetMs", "intervalMs"],
    not_yet: &[],
    gone: &[],
};

pub const QUEUES: Kinds = Kinds {
    key: "kind",
    what: "queue",
    supported: &[("fifo", &FIFO), ("codel", &CODEL)],
    not_yet: &[],
    gone: &[],
};
