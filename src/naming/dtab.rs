//! Delegation tables: ordered lists of prefix rewrites.
//!
//! Later entries win. That is what lets tables be concatenated from the general to the particular
//! (the store's, the router's, the request's) and each override the one before. A lookup is a scan
//! from the end, in order of precedence; tables are tens of entries and results are cached, so an
//! index by prefix would buy nothing but a second truth about precedence.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::sync::Arc;

use super::error::ParseError;
use super::parse;
use super::path::{Path, Segments, show_segment};
use super::tree::NameTree;

/// One step of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Elem {
    /// Exactly this segment.
    Label(Box<[u8]>),
    /// Any one segment (`*`).
    Any,
}

/// The left side of an entry: what paths it is about. `/` is about all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Prefix(Box<[Elem]>);

impl Prefix {
    /// The prefix of these elements.
    pub fn new(elems: impl IntoIterator<Item = Elem>) -> Prefix {
        Prefix(elems.into_iter().collect())
    }

    /// The elements in order.
    #[must_use]
    pub fn elems(&self) -> &[Elem] {
        &self.0
    }

    /// Whether a path starts with this prefix.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        self.residual(path).is_some()
    }

    /// What of a path follows this prefix, if the path starts with it.
    #[must_use]
    pub fn residual<'a>(&self, path: &'a Path) -> Option<Segments<'a>> {
        let mut segments = path.segments();
        for elem in &self.0 {
            let segment = segments.next()?;
            match elem {
                Elem::Label(label) if **label != *segment => return None,
                Elem::Label(_) | Elem::Any => {}
            }
        }
        Some(segments)
    }
}

/// The prefix that matches literally the segments of a path.
impl From<&Path> for Prefix {
    fn from(path: &Path) -> Prefix {
        Prefix::new(path.segments().map(|segment| Elem::Label(segment.into())))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("/");
        }
        self.0.iter().try_for_each(|elem| {
            out.write_str("/")?;
            match elem {
                Elem::Label(label) => show_segment(label, out),
                Elem::Any => out.write_str("*"),
            }
        })
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Prefix, ParseError> {
        parse::prefix(text)
    }
}

/// An entry: paths below `prefix` stand for what `dst` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dentry {
    /// What paths the entry is about.
    pub prefix: Prefix,
    /// What they become; the rest of the path is appended to every leaf.
    pub dst: NameTree<Path>,
}

impl Dentry {
    /// What a path becomes by this entry, if the entry is about it.
    #[must_use]
    pub fn apply(&self, path: &Path) -> Option<NameTree<Path>> {
        let residual = self.prefix.residual(path)?;
        Some(
            self.dst
                .map_ref(&mut |leaf| leaf.join_segments(residual.clone())),
        )
    }
}

impl fmt::Display for Dentry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}=>{}", self.prefix, self.dst)
    }
}

impl FromStr for Dentry {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Dentry, ParseError> {
        parse::dentry(text)
    }
}

/// A delegation table. Cloning shares it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Dtab {
    entries: Arc<[Dentry]>,
}

impl Dtab {
    /// The table without entries.
    #[must_use]
    pub fn empty() -> Dtab {
        Dtab::default()
    }

    /// The entries in the order in which they are written (the last has precedence).
    #[must_use]
    pub fn entries(&self) -> &[Dentry] {
        &self.entries
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// This table overridden by another: its entries, then the other's.
    #[must_use]
    pub fn concat(&self, overrides: &Dtab) -> Dtab {
        if overrides.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return overrides.clone();
        }
        self.entries
            .iter()
            .chain(&*overrides.entries)
            .cloned()
            .collect()
    }

    /// What a path becomes in one step: `Neg` if no entry is about it, the tree of the one that is,
    /// or the alternatives of all that are, the last first.
    #[must_use]
    pub fn lookup(&self, path: &Path) -> NameTree<Path> {
        let mut trees: Vec<_> = self
            .entries
            .iter()
            .rev()
            .filter_map(|entry| entry.apply(path))
            .collect();
        match trees.len() {
            0 => NameTree::Neg,
            1 => trees.pop().unwrap_or(NameTree::Neg),
            _ => NameTree::Alt(trees),
        }
    }
}

impl FromIterator<Dentry> for Dtab {
    fn from_iter<I: IntoIterator<Item = Dentry>>(entries: I) -> Dtab {
        Dtab {
            entries: entries.into_iter().collect(),
        }
    }
}

impl Add for Dtab {
    type Output = Dtab;

    fn add(self, overrides: Dtab) -> Dtab {
        self.concat(&overrides)
    }
}

impl Add<&Dtab> for &Dtab {
    type Output = Dtab;

    fn add(self, overrides: &Dtab) -> Dtab {
        self.concat(overrides)
    }
}

/// `prefix=>tree;prefix=>tree`, which parses to the same table.
impl fmt::Display for Dtab {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries
            .iter()
            .enumerate()
            .try_for_each(|(i, entry)| write!(out, "{}{entry}", if i == 0 { "" } else { ";" }))
    }
}

impl FromStr for Dtab {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Dtab, ParseError> {
        parse::dtab(text)
    }
}
