//! The tables of limits, which servers and services have in common.

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
