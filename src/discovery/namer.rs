//! What a registry has to answer to be a namer.
//!
//! Two questions, as in Finagle: what does a path stand for, and which addresses has a name that you
//! have bound. Both are asked once and answered for as long as somebody holds the receiver: a `watch`
//! channel keeps the latest answer only, so a registry that changes its mind faster than it is read
//! costs nothing, and a namer learns from [`watch::Sender::closed`] that nobody listens any more.
//!
//! So a registry with long polls (Consul, Kubernetes) runs one task for each path that is looked at,
//! one with sessions (ZooKeeper, etcd) shares its connection among them, one that is asked again and
//! again (DNS) sleeps in between, and one that knows everything beforehand answers at once.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::resolved::{self, NamerKind};
use crate::naming::{Addr, Bound, NameTree, Named, Path, Place, Transform};

use super::fixed::{Rewrite, Static};
use super::fs::Fs;
use super::transform;

/// What a namer says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is known yet.
    Pending,
    Tree(NameTree<Found>),
    /// It cannot be known; why.
    Failed(String),
}

/// A leaf of a namer's answer. Paths of bound names stand below the namer's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// A path to look up in turn.
    Path(Path),
    /// A name with addresses.
    Bound {
        id: Path,
        /// What of the path was not used.
        residual: Path,
    },
}

/// What a namer says of the addresses of a name that it bound.
#[derive(Clone, Debug, PartialEq)]
pub enum Addrs {
    /// Nothing is known yet.
    Pending,
    Known(Arc<[Place]>),
    /// They cannot be known; why.
    Failed(String),
    /// The name exists no longer.
    Gone,
}

/// A registry that binds names. See the module's head.
pub trait Namer: Send + Sync {
    /// Follows what a path stands for. The path is what comes after the namer's prefix.
    fn look_up(&self, path: &Path) -> watch::Receiver<Answer>;

    /// Follows the addresses of a name that it has bound.
    fn addrs(&self, id: &Path) -> watch::Receiver<Addrs>;

    /// The names that it knows, as far as it can list them.
    fn names(&self) -> Vec<Path> {
        Vec::new()
    }
}

/// A receiver of something that will never change.
pub(super) fn settled<T>(value: T) -> watch::Receiver<T> {
    watch::channel(value).1
}

/// A namer with what the configuration says of it.
#[derive(Clone)]
pub(super) struct Configured {
    /// Names it in bound names; stays the same for as long as the namer does.
    pub number: usize,
    /// What it was made from, if that was a configuration.
    of: Option<resolved::Namer>,
    pub prefix: Path,
    pub namer: Arc<dyn Namer>,
    pub transformers: Vec<(Path, Transform)>,
}

impl Configured {
    /// An answer of this namer, as delegation takes it.
    pub fn named(&self, tree: NameTree<Found>) -> NameTree<Named> {
        tree.map(|found| match found {
            Found::Path(path) => Named::Path(path),
            Found::Bound { id, residual } => {
                let bound = Bound {
                    id: Path::of_segment(b"#").join(&self.prefix).join(&id),
                    addr: Addr::Namer(self.number),
                    residual,
                };
                let transformers = self.transformers.iter();
                Named::Bound(transformers.fold(bound, |bound, (prefix, by)| {
                    transform::through(bound, prefix, *by)
                }))
            }
        })
    }
}

/// The namers of a configuration, by their prefixes.
#[derive(Clone, Default)]
pub struct Namers {
    by_prefix: Vec<Configured>,
    /// The number of the next one.
    next: usize,
}

impl Namers {
    /// The namers of a configuration. Must be called within the slow path's runtime.
    #[must_use]
    pub fn of(configured: &[resolved::Namer]) -> Namers {
        Namers::default().succeeded_by(configured)
    }

    /// The namers of another configuration: one that is configured as before goes on, with all that
    /// it knows and watches. Must be called within the slow path's runtime.
    #[must_use]
    pub fn succeeded_by(&self, configured: &[resolved::Namer]) -> Namers {
        let mut before: Vec<Configured> = self.by_prefix.clone();
        let mut namers = Namers {
            by_prefix: Vec::new(),
            next: self.next,
        };
        for of in configured {
            let same = |one: &Configured| one.of.as_ref().is_some_and(|before| before.is_like(of));
            match before.iter().position(same) {
                Some(at) => namers.by_prefix.push(before.swap_remove(at)),
                None => {
                    let made = make(&of.kind);
                    let transformers = of.transformers.clone();
                    namers.push(Some(of.clone()), of.prefix.clone(), made, transformers);
                }
            }
        }
        namers
    }

    /// Whether both are the same namers, in the same order.
    #[must_use]
    pub fn are(&self, other: &Namers) -> bool {
        let numbers =
            |of: &Namers| -> Vec<usize> { of.by_prefix.iter().map(|namer| namer.number).collect() };
        numbers(self) == numbers(other)
    }

    /// Adds a namer for the paths below `/#` and the prefix.
    pub fn add(&mut self, prefix: Path, namer: Arc<dyn Namer>) {
        self.push(None, prefix, namer, Vec::new());
    }

    fn push(
        &mut self,
        of: Option<resolved::Namer>,
        prefix: Path,
        namer: Arc<dyn Namer>,
        transformers: Vec<(Path, Transform)>,
    ) {
        self.by_prefix.push(Configured {
            number: self.next,
            of,
            prefix,
            namer,
            transformers,
        });
        self.next += 1;
    }

    /// The namers of a path (`/#/…`), in the order in which they are asked: the one added last has
    /// precedence, as in linkerd.
    pub(super) fn fitting(&self, path: &Path) -> impl Iterator<Item = &Configured> {
        let below = path.skip(1);
        let in_order = self.by_prefix.iter().rev();
        in_order.filter(move |namer| below.starts_with(&namer.prefix))
    }

    /// What a path (`/#/…`) stands for at this moment; `None` if nobody can tell.
    #[must_use]
    pub fn now(&self, path: &Path) -> Option<NameTree<Named>> {
        let mut last = None;
        for of in self.fitting(path) {
            let below = path.skip(of.prefix.len() + 1);
            let answer = of.namer.look_up(&below).borrow().clone();
            match answer {
                Answer::Tree(NameTree::Neg) => last = Some(NameTree::Neg),
                Answer::Tree(tree) => return Some(of.named(tree)),
                Answer::Pending | Answer::Failed(_) => return None,
            }
        }
        last
    }

    /// The names that namers can list, whole.
    #[must_use]
    pub fn names(&self) -> Vec<Path> {
        let below = |of: &Configured| {
            let above = Path::of_segment(b"#").join(&of.prefix);
            let names = of.namer.names().into_iter();
            names.map(|name| above.join(&name)).collect::<Vec<_>>()
        };
        self.by_prefix.iter().flat_map(below).collect()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Configured> {
        self.by_prefix.iter().find(|namer| namer.number == number)
    }
}

fn make(kind: &NamerKind) -> Arc<dyn Namer> {
    match kind.clone() {
        NamerKind::Fs { root } => Arc::new(Fs::new(root)),
        NamerKind::Static { names } => Arc::new(Static::new(&names)),
        NamerKind::Rewrite { pattern, name } => Arc::new(Rewrite { pattern, name }),
    }
}
