//! ringlink: a linker for the datacenter.
//!
//! An L7 service proxy that binds logical names to replicas at run time and carries every request
//! to the right one, on one io_uring per core. The rooms below stand on floors; a room imports only
//! from floors below it:
//!
//! | floor | rooms |
//! |---|---|
//! | 1 | [`naming`], [`balance`], [`resilience`], [`http`] (pure), [`engine`] (the only one that knows descriptors) |
//! | 2 | [`telemetry`], [`config`] |
//! | 3 | [`router`]: the data path |
//! | 4 | [`discovery`]: what the slow path learns of replicas |
//! | 5 | [`control`], [`admin`]: the slow-path thread |
//! | 6 | [`cli`], [`demo`] |

pub mod admin;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod discovery;
pub mod engine;
pub mod http;
pub mod naming;
pub mod resilience;
pub mod router;
pub mod telemetry;
