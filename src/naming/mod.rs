//! The naming language: how a logical name becomes the addresses behind it.
//!
//! A request names its destination by a [`Path`] (`/svc/users`). A [`Dtab`], a list of prefix
//! rewrites, turns that path into a [`NameTree`] of other paths, and those again, until every
//! branch ends at a namer, which knows addresses. [`bind`] runs this to its end; [`Delegation`] is
//! the same machine with its questions exposed, for drivers that have namers to ask.
//!
//! The language is linkerd 1.x's and Finagle's, so that existing tables keep their meaning to the
//! letter. The room is pure: it reads no file, no clock and no network, and a name binds the same
//! way whenever it is bound, which lets the data path cache the result, the admin server explain
//! it and a test replay it.
//!
//! Tables and names come from strangers (the `l5d-dtab` header, a Host header), so every walk over
//! them is bounded: nesting when a table is parsed, depth and total work when a name is delegated.
#![forbid(unsafe_code)]

mod delegate;
mod dtab;
mod error;
pub mod explain;
mod inet;
mod parse;
mod path;
mod pattern;
mod place;
mod tree;
mod utility;

#[cfg(test)]
mod tests;

pub use delegate::{Answer, Bound, Delegation, MAX_DEPTH, Named, Outcome, Step, bind};
pub use dtab::{Dentry, Dtab, Elem, Prefix};
pub use error::{BindError, Fault, ParseError};
pub use inet::{Addr, Inet, Through, Transform};
pub use path::{Path, Segments};
pub use pattern::{Captures, Pattern, Template};
pub use place::Place;
pub use tree::{NameTree, Weight, Weighted};
