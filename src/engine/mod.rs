//! The engine: sockets, timers and tasks over a completion-shaped driver, one per shard.

pub mod buf;
pub mod driver;
pub mod slab;
pub mod timer;
pub mod tx;
