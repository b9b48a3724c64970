//! What can go wrong with names: a text that is no table, or a name that cannot be delegated.
//!
//! Neither ever depends on the weather: the same text or the same name and table fail again in the
//! same way, so no error here is worth a retry.

use super::path::Path;

/// A text that is not in the language, and where it leaves it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Bytes before the place, from 0.
    pub offset: usize,
    /// Line of the place within the text, from 1.
    pub line: usize,
    /// Column of the place in characters, from 1.
    pub column: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl ParseError {
    /// The error at a byte offset of a text. The offset must lie on a character's boundary.
    pub(super) fn at(text: &str, offset: usize, message: String) -> ParseError {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ParseError {
            offset,
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message,
        }
    }
}

/// Who has to change something before the name can bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request: its own name holds what cannot be bound.
    Client,
    /// The proxy: its tables lead to something that cannot be bound.
    Proxy,
}

/// A name that the table leads to nowhere, as opposed to a name that does not exist (`Neg`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A path below `/#/` (or a utility that asks a registry) that no configured namer answers.
    #[error("no namer is configured for {path}")]
    NotConfigured {
        /// The path that was to be looked up.
        path: Path,
    },
    /// `/$/x`, where `x` is no utility namer.
    #[error("{path}: unknown utility namer")]
    UnknownNamer {
        /// The path that was to be looked up.
        path: Path,
    },
    /// An address path (`/$/inet/…`) that holds no address.
    #[error("{path}: {why}")]
    BadAddress {
        /// The path that was to be looked up.
        path: Path,
        /// What is wrong with it.
        why: &'static str,
        /// The segment at fault, by its index in `path`.
        segment: usize,
        /// Whose segment it is.
        fault: Fault,
    },
    /// Rewriting went on past the depth that is allowed: most likely the table rewrites in a circle.
    #[error(
        "{path}: more than {} rewrites deep, does the dtab go in a circle?",
        super::MAX_DEPTH
    )]
    TooDeep {
        /// The path at which delegation stopped.
        path: Path,
    },
    /// The table branches so widely that delegation was given up.
    #[error("{path}: too many alternatives to delegate")]
    TooWide {
        /// The name that was to be bound.
        path: Path,
    },
    /// A namer that was asked failed.
    #[error("{path}: {message}")]
    Namer {
        /// The path that it was asked for.
        path: Path,
        /// What it said.
        message: String,
    },
}

impl BindError {
    /// Who has to change something. Tables that a request brings along count as the proxy's: once
    /// they are concatenated nobody can tell whose entry it was.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            BindError::BadAddress { fault, .. } => *fault,
            _ => Fault::Proxy,
        }
    }
}
