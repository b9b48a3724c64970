//! Delegation: from a name to the addresses that it stands for.
//!
//! Looking up a path gives a tree of paths, each of which is looked up again, until all that is
//! left are bound names. Written as a recursive function this would be short, and wrong twice. Its
//! depth on the machine's stack would be decided by tables that arrive in requests; and it could
//! not stop where the answer lies with a registry that has not spoken yet. So delegation is a
//! machine with its own stack of half-done Alts and Unions: [`Delegation::step`] runs it until it
//! is done or needs to be told what a namer says of a path, [`Delegation::answer`] tells it.
//!
//! "Not known yet" ([`Answer::Pending`]) is an answer like others, and the rules say what it means:
//! an Alt waits for the branch (order is kept), a Union goes on without it as long as any other
//! branch has a value. A driver that watches registries therefore runs the machine to its end with
//! what it knows, remembers which paths were asked for, and runs it again when one of the answers
//! changes: a run costs microseconds, and nothing has to be unwound. One that would rather wait for
//! each answer just does not call `answer` until it has one.
//!
//! Two limits bound a run: [`MAX_DEPTH`] rewrites on any branch, which is the language's own, and a
//! budget of paths visited over all branches, since a short table can branch exponentially.

use std::vec::IntoIter;

use super::dtab::Dtab;
use super::error::{BindError, Fault};
use super::inet::Addr;
use super::path::Path;
use super::tree::{NameTree, Weight, Weighted, union_of};
use super::utility::{self, Utility};

/// Lookups on the way from a name to a bound name, at most.
pub const MAX_DEPTH: u32 = 100;

/// Paths that one run visits or queues, at most, over all branches.
pub(super) const MAX_WORK: usize = 10_000;

/// Alts and Unions within each other in one run, at most. Bounds the nesting of results, which
/// others walk recursively.
pub(super) const MAX_FRAMES: usize = 512;

/// A name at the end of delegation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bound {
    /// What it is called (`/$/inet/127.1/8080`): the identity for caches, policies and metrics.
    /// `/$/fixedinet` differs from `/$/inet` by its id only: resolve once or keep resolving.
    pub id: Path,
    /// Where it is.
    pub addr: Addr,
    /// What of the name the namer did not use.
    pub residual: Path,
}

/// A leaf of a namer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// A path to look up in turn.
    Path(Path),
    /// The end of the way.
    Bound(Bound),
}

/// What a driver says of a path that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the path stands for.
    Tree(NameTree<Named>),
    /// Not known yet.
    Pending,
    /// Cannot be known.
    Failed(BindError),
}

/// How a delegation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `Neg`, `Fail`, `Empty`, a leaf, or a Union of such trees: never an Alt.
    Bound(NameTree<Bound>),
    /// An answer that was pending decides.
    Pending,
    /// The name leads to an error.
    Failed(BindError),
}

/// What a delegation needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To be told by [`Delegation::answer`] what this path (`/#/…`) stands for.
    Ask(Path),
    /// Nothing: this is the result.
    Done(Outcome),
}

/// Binds a name by a table and the utility namers alone: whatever has to ask a registry is
/// [`BindError::NotConfigured`].
///
/// # Errors
/// When the table leads to an unknown namer, to an address that is none, or nowhere in
/// [`MAX_DEPTH`] steps, and no other branch of the tree has precedence.
pub fn bind(dtab: &Dtab, path: &Path) -> Result<NameTree<Bound>, BindError> {
    let mut delegation = Delegation::new(dtab, path);
    loop {
        match delegation.step() {
            Step::Ask(path) => {
                delegation.answer(Answer::Failed(BindError::NotConfigured { path }));
            }
            Step::Done(Outcome::Bound(tree)) => return Ok(tree),
            Step::Done(Outcome::Failed(error)) => return Err(error),
            // Nothing above answers `Pending`; a name that nobody knows of does not exist.
            Step::Done(Outcome::Pending) => return Ok(NameTree::Neg),
        }
    }
}

/// A delegation in progress.
#[derive(Debug)]
pub struct Delegation {
    dtab: Dtab,
    name: Path,
    stack: Vec<Frame>,
    state: State,
    work: usize,
}

#[derive(Debug)]
enum State {
    /// To evaluate a tree that so many lookups led to.
    Tree(NameTree<Named>, u32),
    /// Waiting to be told about a path that so many lookups led to.
    Asked(Path, u32),
    /// To hand a value to the node on top of the stack, or out.
    Value(Outcome),
}

/// A node of which one branch is being evaluated.
#[derive(Debug)]
enum Frame {
    Alt {
        rest: IntoIter<NameTree<Named>>,
        depth: u32,
    },
    Union(UnionFrame),
}

#[derive(Debug)]
struct UnionFrame {
    rest: IntoIter<Weighted<Named>>,
    /// Weight of the branch that is being evaluated.
    weight: Weight,
    depth: u32,
    kept: Vec<Weighted<Bound>>,
    /// Whether any branch had a value, be it `Neg`.
    valued: bool,
    pending: bool,
    failed: Option<BindError>,
}

impl Delegation {
    /// The delegation of a name by a table. Nothing is done before the first step.
    #[must_use]
    pub fn new(dtab: &Dtab, name: &Path) -> Delegation {
        Delegation {
            dtab: dtab.clone(),
            name: name.clone(),
            stack: Vec::new(),
            state: State::Tree(NameTree::Leaf(Named::Path(name.clone())), 0),
            work: 0,
        }
    }

    /// Runs on as far as is possible without an answer. Asks again for an answer still missing, and
    /// gives the result again once it is there.
    pub fn step(&mut self) -> Step {
        loop {
            let state = std::mem::replace(&mut self.state, State::Value(Outcome::Pending));
            self.state = match state {
                State::Tree(tree, depth) => self.evaluate(tree, depth),
                State::Asked(path, depth) => {
                    self.state = State::Asked(path.clone(), depth);
                    return Step::Ask(path);
                }
                State::Value(value) => match self.stack.pop() {
                    Some(frame) => self.receive(frame, value),
                    None => {
                        self.state = State::Value(value.clone());
                        return Step::Done(value);
                    }
                },
            };
        }
    }

    /// Says what the path that was asked for stands for. Ignored if none was.
    pub fn answer(&mut self, answer: Answer) {
        if let State::Asked(_, depth) = &self.state {
            self.state = match answer {
                Answer::Tree(tree) => self.descend(tree, *depth),
                Answer::Pending => State::Value(Outcome::Pending),
                Answer::Failed(error) => State::Value(Outcome::Failed(error)),
            };
        }
    }

    fn evaluate(&mut self, tree: NameTree<Named>, depth: u32) -> State {
        let value = match tree {
            NameTree::Leaf(Named::Path(path)) => return self.look_up(path, depth),
            NameTree::Leaf(Named::Bound(bound)) => NameTree::Leaf(bound),
            NameTree::Neg => NameTree::Neg,
            NameTree::Fail => NameTree::Fail,
            NameTree::Empty => NameTree::Empty,
            NameTree::Alt(trees) => {
                return self.enter(Frame::Alt {
                    rest: trees.into_iter(),
                    depth,
                });
            }
            // A union of one is that one, even if it fails.
            NameTree::Union(mut branches) if branches.len() == 1 => {
                let only = branches.pop().map_or(NameTree::Neg, |branch| branch.tree);
                return State::Tree(only, depth);
            }
            NameTree::Union(branches) => {
                return self.enter(Frame::Union(UnionFrame::new(branches, depth)));
            }
        };
        State::Value(Outcome::Bound(value))
    }

    fn enter(&mut self, frame: Frame) -> State {
        if self.stack.len() == MAX_FRAMES {
            return self.too_wide();
        }
        self.advance(frame)
    }

    /// Goes on with a node's next branch, or leaves it with its value.
    fn advance(&mut self, frame: Frame) -> State {
        match frame {
            Frame::Alt { mut rest, depth } => match rest.next() {
                Some(tree) => {
                    self.stack.push(Frame::Alt { rest, depth });
                    State::Tree(tree, depth)
                }
                None => State::Value(Outcome::Bound(NameTree::Neg)),
            },
            Frame::Union(mut union) => match union.rest.next() {
                Some(Weighted { weight, tree }) => {
                    let depth = union.depth;
                    self.stack
                        .push(Frame::Union(UnionFrame { weight, ..union }));
                    State::Tree(tree, depth)
                }
                None => State::Value(union.finish()),
            },
        }
    }

    /// Takes the value of the branch that a node was waiting for.
    fn receive(&mut self, mut frame: Frame, value: Outcome) -> State {
        match &mut frame {
            Frame::Alt { .. } if value != Outcome::Bound(NameTree::Neg) => {
                return State::Value(value);
            }
            Frame::Alt { .. } => {}
            Frame::Union(union) => union.receive(value),
        }
        self.advance(frame)
    }

    /// One lookup: the table has the first word, the namers have what it does not know.
    fn look_up(&mut self, path: Path, depth: u32) -> State {
        if depth >= MAX_DEPTH {
            return State::Value(Outcome::Failed(BindError::TooDeep { path }));
        }
        let tree = self.dtab.lookup(&path);
        if tree != NameTree::Neg {
            return self.descend(tree.map(Named::Path), depth);
        }
        match path.first() {
            Some(b"#") if path.get(1).is_some() => State::Asked(path, depth),
            Some(b"$") => match utility::lookup(&path) {
                Ok(Utility::Tree(tree)) => self.descend(tree, depth),
                Ok(Utility::Ask) => State::Asked(path, depth),
                Err(error) => State::Value(Outcome::Failed(self.blame(error))),
            },
            _ => State::Value(Outcome::Bound(NameTree::Neg)),
        }
    }

    /// Goes on with the result of a lookup, if there is work left in the budget for it.
    fn descend(&mut self, tree: NameTree<Named>, depth: u32) -> State {
        self.work += 1;
        tree.for_each_leaf(&mut |_| self.work += 1);
        if self.work > MAX_WORK {
            return self.too_wide();
        }
        State::Tree(tree, depth + 1)
    }

    /// Gives up at once: unlike other errors this one is not hidden by a better branch, which might
    /// be found only by doing what there is no budget for.
    fn too_wide(&mut self) -> State {
        self.stack.clear();
        State::Value(Outcome::Failed(BindError::TooWide {
            path: self.name.clone(),
        }))
    }

    /// Rewriting keeps the end of a name, so a bad segment that stands equally far from the end of
    /// the name is the name's own, and the client's fault.
    fn blame(&self, error: BindError) -> BindError {
        let BindError::BadAddress {
            path, why, segment, ..
        } = error
        else {
            return error;
        };
        let from_end = path.len() - segment;
        let index = self.name.len().checked_sub(from_end);
        let own = index.and_then(|index| self.name.get(index));
        let fault = if own.is_some() && own == path.get(segment) {
            Fault::Client
        } else {
            Fault::Proxy
        };
        BindError::BadAddress {
            path,
            why,
            segment,
            fault,
        }
    }
}

impl UnionFrame {
    fn new(branches: Vec<Weighted<Named>>, depth: u32) -> UnionFrame {
        UnionFrame {
            rest: branches.into_iter(),
            weight: Weight::ONE,
            depth,
            kept: Vec::new(),
            valued: false,
            pending: false,
            failed: None,
        }
    }

    fn receive(&mut self, value: Outcome) {
        match value {
            Outcome::Bound(tree) => {
                self.valued = true;
                if !matches!(tree, NameTree::Neg | NameTree::Fail) {
                    self.kept.push(Weighted {
                        weight: self.weight,
                        tree,
                    });
                }
            }
            Outcome::Pending => self.pending = true,
            Outcome::Failed(error) => self.failed = self.failed.take().or(Some(error)),
        }
    }

    fn finish(self) -> Outcome {
        match self.failed {
            _ if self.valued => Outcome::Bound(union_of(self.kept)),
            Some(error) => Outcome::Failed(error),
            None if self.pending => Outcome::Pending,
            None => Outcome::Bound(NameTree::Neg),
        }
    }
}
