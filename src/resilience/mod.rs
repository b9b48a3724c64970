//! Resilience: what keeps a failure small. Deadlines, retries and what they may cost, who gets no
//! requests for a while, how many at once, and who waits.
//!
//! The room decides and does nothing. It imports no other room and knows no request: numbers, times
//! and pieces of text go in, decisions come out. Time (`now_ns`) and random bits are arguments; a
//! test that passes the same ones gets the same decisions.
//!
//! Each file is one policy: a configuration of plain data whose defaults are linkerd's, and a state.
//! States that are about a *peer* or a *promise to a peer* (an endpoint's health, a budget, a limit,
//! a rate) are atomics that all shards of the process share, because what they bound is the process.
//! None takes a lock, none allocates once it is made, and each says in its head by how much shards
//! that race may be wrong. States that are about a shard's own queue are plain.
//!
//! | question | file |
//! |---|---|
//! | how long may it take? | [`deadline`], [`grpc_timeout`] |
//! | may it be sent at all? | [`admission`], [`limit`], [`rate`], [`codel`], [`nack_filter`] |
//! | to whom not? | [`accrual`], [`fail_fast`], on [`gate`] |
//! | how did it end? | [`classify`], [`nack`] |
//! | once more? when? | [`budget`], [`backoff`], [`hedge`] |
//! | what if it broke? | [`fault`] |
#![forbid(unsafe_code)]

pub mod accrual;
pub mod admission;
pub mod backoff;
pub mod budget;
pub mod classify;
pub mod codel;
pub mod deadline;
pub mod draw;
mod ema;
pub mod fail_fast;
pub mod fault;
pub mod gate;
pub mod grpc_timeout;
pub mod hedge;
pub mod limit;
pub mod nack;
pub mod nack_filter;
pub mod rate;
#[cfg(test)]
mod tests;
mod volume;
mod window;
