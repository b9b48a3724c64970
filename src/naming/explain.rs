//! Delegation made visible: every step from a name to its ends, as a tree to show.
//!
//! Binding forgets how it came to its result, and takes the first alternative that exists; a person
//! who asks why a name leads where it does needs the others, too. So this is a second walk over the
//! same lookups, which keeps everything and decides nothing; what the name is bound to is still
//! said by [`Delegation`], run beside it, so that the explanation cannot disagree with the proxy.
//!
//! It is recursive where delegation is a machine, because what it makes is a tree: nesting has the
//! bound that delegation has for its frames, and the number of nodes that of its work. A branch
//! that is cut ends in the error that says so.

mod show;

use super::delegate::{
    Answer, Bound, Delegation, MAX_DEPTH, MAX_FRAMES, MAX_WORK, Named, Outcome, Step,
};
use super::dtab::{Dentry, Dtab};
use super::error::BindError;
use super::path::Path;
use super::tree::{NameTree, Weight};
use super::utility::{self, Utility};

/// Why a name leads where it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Every way from the name.
    pub tree: Node,
    /// What the name is bound to; an unanswered namer is an error.
    pub outcome: Outcome,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name that is looked up here.
    pub path: Path,
    /// The entry that led here, unless it was a namer.
    pub dentry: Option<Dentry>,
    /// What it stands for.
    pub what: What,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Another name, or nothing of the three kinds.
    Delegate(Box<Node>),
    /// The first of these that exists.
    Alt(Vec<Node>),
    /// All of these, by weight.
    Union(Vec<(Weight, Node)>),
    /// The end of the way.
    Leaf(Bound),
    /// Whatever a namer answers that was not asked.
    Asks,
    Neg,
    Fail,
    Empty,
    /// The way leads to an error.
    Exception(BindError),
}

/// Explains a name by a table. `answers` says what a path stands for that a namer has to be asked
/// about (`/#/…`), as far as it knows.
pub fn explain(
    dtab: &Dtab,
    name: &Path,
    mut answers: impl FnMut(&Path) -> Option<NameTree<Named>>,
) -> Explanation {
    let outcome = outcome(dtab, name, &mut answers);
    let mut walk = Walk {
        dtab,
        name,
        answers,
        work: 0,
    };
    let tree = walk.look_up(name.clone(), None, 0, 0);
    Explanation { tree, outcome }
}

fn outcome(
    dtab: &Dtab,
    name: &Path,
    answers: &mut impl FnMut(&Path) -> Option<NameTree<Named>>,
) -> Outcome {
    let mut delegation = Delegation::new(dtab, name);
    loop {
        match delegation.step() {
            Step::Ask(path) => delegation.answer(match answers(&path) {
                Some(tree) => Answer::Tree(tree),
                None => Answer::Failed(BindError::NotConfigured { path }),
            }),
            Step::Done(outcome) => return outcome,
        }
    }
}

struct Walk<'w, A> {
    dtab: &'w Dtab,
    name: &'w Path,
    answers: A,
    work: usize,
}

impl<A: FnMut(&Path) -> Option<NameTree<Named>>> Walk<'_, A> {
    /// One lookup, after `depth` others, `nesting` nodes below the first.
    fn look_up(&mut self, path: Path, dentry: Option<Dentry>, depth: u32, nesting: usize) -> Node {
        self.work += 1;
        let what = if self.is_spent() || nesting >= MAX_FRAMES {
            self.too_wide()
        } else if depth >= MAX_DEPTH {
            What::Exception(BindError::TooDeep { path: path.clone() })
        } else {
            self.found(&path, depth, nesting)
        };
        Node { path, dentry, what }
    }

    fn found(&mut self, path: &Path, depth: u32, nesting: usize) -> What {
        let entries = self.dtab.entries().iter().rev();
        let about = entries.filter_map(|entry| Some((entry, entry.apply(path)?)));
        let mut about: Vec<_> = about.collect();
        match (about.pop(), about.len()) {
            (None, _) => self.named(path, depth, nesting),
            (Some((entry, tree)), 0) => {
                let tree = tree.map(Named::Path);
                self.what(tree, path, Some(entry), depth, nesting)
            }
            (Some(last), _) => {
                about.push(last);
                let mut nodes = Vec::new();
                for (entry, tree) in about {
                    let tree = tree.map(Named::Path);
                    nodes.push(self.node(tree, path, Some(entry), depth, nesting + 1));
                    if self.is_spent() {
                        break;
                    }
                }
                What::Alt(nodes)
            }
        }
    }

    /// What namers say of a path that no entry is about.
    fn named(&mut self, path: &Path, depth: u32, nesting: usize) -> What {
        let asks = match path.first() {
            Some(b"#") => path.get(1).is_some(),
            Some(b"$") => match utility::lookup(path) {
                Ok(Utility::Tree(tree)) => return self.what(tree, path, None, depth, nesting),
                Ok(Utility::Ask) => true,
                Err(error) => return What::Exception(error),
            },
            _ => false,
        };
        if !asks {
            return What::Neg;
        }
        match (self.answers)(path) {
            Some(tree) => self.what(tree, path, None, depth, nesting),
            None => What::Asks,
        }
    }

    /// What a path stands for if this tree was found for it.
    fn what(
        &mut self,
        tree: NameTree<Named>,
        of: &Path,
        by: Option<&Dentry>,
        depth: u32,
        nesting: usize,
    ) -> What {
        match tree {
            NameTree::Leaf(Named::Bound(bound)) => What::Leaf(bound),
            NameTree::Alt(_) | NameTree::Union(_) => self.node(tree, of, by, depth, nesting).what,
            NameTree::Neg | NameTree::Fail | NameTree::Empty if by.is_none() => {
                self.node(tree, of, by, depth, nesting).what
            }
            _ => What::Delegate(Box::new(self.node(tree, of, by, depth, nesting + 1))),
        }
    }

    /// A part of the tree that was found for a path, as a step of its own.
    fn node(
        &mut self,
        tree: NameTree<Named>,
        of: &Path,
        by: Option<&Dentry>,
        depth: u32,
        nesting: usize,
    ) -> Node {
        let what = match tree {
            NameTree::Leaf(Named::Path(path)) => {
                return self.look_up(path, by.cloned(), depth + 1, nesting);
            }
            _ if nesting >= MAX_FRAMES => self.too_wide(),
            NameTree::Leaf(Named::Bound(bound)) => What::Leaf(bound),
            NameTree::Neg => What::Neg,
            NameTree::Fail => What::Fail,
            NameTree::Empty => What::Empty,
            NameTree::Alt(trees) => {
                let mut nodes = Vec::new();
                for tree in trees {
                    nodes.push(self.node(tree, of, by, depth, nesting + 1));
                    if self.is_spent() {
                        break;
                    }
                }
                What::Alt(nodes)
            }
            NameTree::Union(branches) => {
                let mut nodes = Vec::new();
                for branch in branches {
                    let node = self.node(branch.tree, of, by, depth, nesting + 1);
                    nodes.push((branch.weight, node));
                    if self.is_spent() {
                        break;
                    }
                }
                What::Union(nodes)
            }
        };
        Node {
            path: of.clone(),
            dentry: by.cloned(),
            what,
        }
    }

    fn is_spent(&self) -> bool {
        self.work > MAX_WORK
    }

    fn too_wide(&self) -> What {
        What::Exception(BindError::TooWide {
            path: self.name.clone(),
        })
    }
}
