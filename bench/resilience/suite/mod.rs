//! The scenarios and the simulation they run in.
#![forbid(unsafe_code)]

mod calls;
mod chart;
mod clock;
mod guard;
mod picker;
mod policy;
pub mod report;
pub mod scenarios;
mod server;
mod serving;
mod stats;
mod world;
