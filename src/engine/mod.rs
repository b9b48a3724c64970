//! The engine: sockets, timers and tasks over a completion-shaped driver, one shard per core.
//!
//! What is above sees [`Shard`], [`Socket`], [`Listener`], [`Timer`] and mailboxes; what is below is
//! a [`driver`]: io_uring, epoll or the simulation, chosen at start. This is the only room that
//! knows descriptors and the only one with `unsafe` code.

pub mod buf;
pub mod driver;
mod heap;
mod io;
pub mod mailbox;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod pooled;
pub mod shard;
pub mod slab;
pub mod socket;
pub mod splice;
mod task;
pub mod timer;
pub mod tx;

pub use buf::{Buf, BufPool};
pub use pooled::{FuturePool, PooledFuture};
pub use shard::{Shard, ShardCounters, Timer};
pub use slab::Key;
pub use socket::{Bound, Listener, Socket};
pub use splice::{Splice, SpliceError};
pub use timer::NEVER;
pub use tx::Segment;
