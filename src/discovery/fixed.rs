//! Namers that know everything beforehand: `io.l5d.static`, names and addresses from the
//! configuration, and `io.l5d.rewrite`, which turns paths into others.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::naming::{NameTree, Path, Pattern, Place, Template};

use super::namer::{Addrs, Answer, Found, Namer, settled};

/// `io.l5d.static`.
pub struct Static {
    names: HashMap<Path, Arc<[Place]>>,
}

impl Static {
    #[must_use]
    pub fn new(names: &[(Path, Arc<[Place]>)]) -> Static {
        Static {
            names: names.iter().cloned().collect(),
        }
    }
}

impl Namer for Static {
    /// The longest name that the path begins with; the rest is residual.
    fn look_up(&self, path: &Path) -> watch::Receiver<Answer> {
        let mut ids = (1..=path.len()).rev().map(|len| path.take(len));
        let tree = match ids.find(|id| self.names.contains_key(id)) {
            Some(id) => NameTree::Leaf(Found::Bound {
                residual: path.skip(id.len()),
                id,
            }),
            None => NameTree::Neg,
        };
        settled(Answer::Tree(tree))
    }

    fn addrs(&self, id: &Path) -> watch::Receiver<Addrs> {
        let known = self.names.get(id).cloned();
        settled(known.map_or(Addrs::Gone, Addrs::Known))
    }

    fn names(&self) -> Vec<Path> {
        let mut names: Vec<Path> = self.names.keys().cloned().collect();
        names.sort_by_key(ToString::to_string);
        names
    }
}

/// `io.l5d.rewrite`.
pub struct Rewrite {
    pub pattern: Pattern,
    pub name: Template,
}

impl Namer for Rewrite {
    fn look_up(&self, path: &Path) -> watch::Receiver<Answer> {
        let tree = match self.pattern.matches(path) {
            Some((captures, rest)) => {
                NameTree::Leaf(Found::Path(self.name.fill(&captures).join(&rest)))
            }
            None => NameTree::Neg,
        };
        settled(Answer::Tree(tree))
    }

    /// It binds nothing.
    fn addrs(&self, _: &Path) -> watch::Receiver<Addrs> {
        settled(Addrs::Gone)
    }
}
