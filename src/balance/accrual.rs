//! Room in an endpoint for failure accrual.
//!
//! The policies that decide when an endpoint is dead live elsewhere; what they count must be shared
//! by all shards, as the endpoint is, or eight shards would each need five failures to see what one
//! has seen. So the words are here and their meaning is there: this file adds nothing up. What a
//! policy concludes it says by [`Endpoint::busy_until`](super::Endpoint::busy_until) and its like;
//! the balancers read only that.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

/// The words of a failure accrual policy for one endpoint. All start at 0 or false. They are on the
/// line that every request to the endpoint writes, so that to count costs no further miss.
#[derive(Debug, Default)]
pub struct AccrualCell {
    /// Failures in a row, up to now.
    pub failures_in_row: AtomicU32,
    /// How often the endpoint was declared dead in a row: where in its backoff series it is.
    pub backoff_step: AtomicU32,
    /// Requests judged since `since_ns`.
    pub requests: AtomicU32,
    /// Whether the one request that may probe a dead endpoint is under way.
    pub probing: AtomicBool,
    /// Moving average of success, 0 to 1: the bits of an `f64`.
    pub success: AtomicU64,
    /// When `success` was last updated, ns.
    pub stamp_ns: AtomicU64,
    /// When the policy began to count, ns.
    pub since_ns: AtomicU64,
}
