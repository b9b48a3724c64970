//! Telemetry: what each shard counts, in plain memory of its own.
//!
//! Nothing here is shared between threads: a shard counts in cells, and when the admin server asks,
//! the shard itself takes a snapshot and sends it. So counting costs an addition, and reading costs
//! the reader.
#![forbid(unsafe_code)]

pub mod mirror;
mod router;
pub mod trace;

pub use router::{RouterSnapshot, RouterStats};
pub use trace::Trace;
