//! Name trees: what a name stands for, when the answer is more than one thing.
//!
//! One type serves three stages: trees of paths (the right side of a dtab entry), trees of paths
//! and bound names (a namer's answer) and trees of bound names (the result). What they share is
//! the shape and its meaning: alternatives for fail-over, unions for splitting traffic, and three
//! different ways of being nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::error::ParseError;
use super::parse;
use super::path::Path;

/// A tree of names of type `T`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NameTree<T> {
    /// Fail-over (`a | b`): the first branch that is not [`NameTree::Neg`]. None is `Neg`.
    Alt(Vec<NameTree<T>>),
    /// A split of the traffic (`2 * a & 8 * b`). None is `Neg`.
    Union(Vec<Weighted<T>>),
    /// One name.
    Leaf(T),
    /// Does not exist (`~`): the next alternative is tried.
    Neg,
    /// Does not exist and shall not (`!`): no further alternative is tried.
    Fail,
    /// Exists, but nobody lives there (`$`).
    Empty,
}

/// A branch of a union.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Weighted<T> {
    /// Its share, relative to the other branches.
    pub weight: Weight,
    /// The branch.
    pub tree: NameTree<T>,
}

/// A relative share of traffic: finite, not negative.
#[derive(Debug, Clone, Copy)]
pub struct Weight(f64);

impl Weight {
    /// The weight of a branch that names none.
    pub const ONE: Weight = Weight(1.0);

    /// A weight, if the number is finite and not negative.
    #[must_use]
    pub fn new(weight: f64) -> Option<Weight> {
        // Adding zero turns a negative zero into the usual one: equality is that of the bits.
        (weight.is_finite() && weight >= 0.0).then_some(Weight(weight + 0.0))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Weight {
    fn eq(&self, other: &Weight) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Weight {}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Two decimals, as linkerd prints it; more if two would change the number.
impl fmt::Display for Weight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = format!("{:.2}", self.0);
        if short.parse() == Ok(self.0) {
            out.write_str(&short)
        } else {
            write!(out, "{}", self.0)
        }
    }
}

impl<T> NameTree<T> {
    /// The tree with every leaf replaced.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> NameTree<U> {
        self.map_with(&mut f)
    }

    fn map_with<U>(self, f: &mut impl FnMut(T) -> U) -> NameTree<U> {
        match self {
            NameTree::Alt(trees) => {
                NameTree::Alt(trees.into_iter().map(|tree| tree.map_with(f)).collect())
            }
            NameTree::Union(branches) => NameTree::Union(
                branches
                    .into_iter()
                    .map(|Weighted { weight, tree }| Weighted {
                        weight,
                        tree: tree.map_with(f),
                    })
                    .collect(),
            ),
            NameTree::Leaf(leaf) => NameTree::Leaf(f(leaf)),
            NameTree::Neg => NameTree::Neg,
            NameTree::Fail => NameTree::Fail,
            NameTree::Empty => NameTree::Empty,
        }
    }

    /// The tree with leaves made from borrowed ones.
    pub fn map_ref<'a, U>(&'a self, f: &mut impl FnMut(&'a T) -> U) -> NameTree<U> {
        match self {
            NameTree::Alt(trees) => {
                NameTree::Alt(trees.iter().map(|tree| tree.map_ref(f)).collect())
            }
            NameTree::Union(branches) => NameTree::Union(
                branches
                    .iter()
                    .map(|branch| Weighted {
                        weight: branch.weight,
                        tree: branch.tree.map_ref(f),
                    })
                    .collect(),
            ),
            NameTree::Leaf(leaf) => NameTree::Leaf(f(leaf)),
            NameTree::Neg => NameTree::Neg,
            NameTree::Fail => NameTree::Fail,
            NameTree::Empty => NameTree::Empty,
        }
    }

    /// Calls `f` with every leaf, left to right.
    pub fn for_each_leaf<'a>(&'a self, f: &mut impl FnMut(&'a T)) {
        match self {
            NameTree::Alt(trees) => trees.iter().for_each(|tree| tree.for_each_leaf(f)),
            NameTree::Union(branches) => {
                branches
                    .iter()
                    .for_each(|branch| branch.tree.for_each_leaf(f));
            }
            NameTree::Leaf(leaf) => f(leaf),
            NameTree::Neg | NameTree::Fail | NameTree::Empty => {}
        }
    }

    /// The tree without the branches that can never be taken: a `Neg` in an Alt, what follows a
    /// `Fail` or an `Empty` there, a `Neg` or `Fail` in a Union, and nodes of one branch (whose
    /// weight means nothing). Simplifying it again changes nothing, and it means the same, but for one
    /// case in which the language itself is not consistent: a Union of several branches forgives
    /// the failure of its last living one, the Union of one does not.
    #[must_use]
    pub fn simplify(self) -> NameTree<T> {
        match self {
            NameTree::Alt(trees) => simplify_alt(trees),
            NameTree::Union(branches) => simplify_union(branches),
            tree => tree,
        }
    }
}

fn simplify_alt<T>(trees: Vec<NameTree<T>>) -> NameTree<T> {
    let mut kept = Vec::with_capacity(trees.len());
    for tree in trees {
        let tree = tree.simplify();
        if matches!(tree, NameTree::Neg) {
            continue;
        }
        let last = matches!(tree, NameTree::Fail | NameTree::Empty);
        kept.push(tree);
        if last {
            break;
        }
    }
    match kept.pop() {
        None => NameTree::Neg,
        Some(only) if kept.is_empty() => only,
        Some(last) => {
            kept.push(last);
            NameTree::Alt(kept)
        }
    }
}

fn simplify_union<T>(mut branches: Vec<Weighted<T>>) -> NameTree<T> {
    if branches.len() == 1 {
        return branches
            .pop()
            .map_or(NameTree::Neg, |only| only.tree.simplify());
    }
    let kept = branches
        .into_iter()
        .filter_map(|Weighted { weight, tree }| {
            let tree = tree.simplify();
            (!matches!(tree, NameTree::Neg | NameTree::Fail)).then_some(Weighted { weight, tree })
        });
    union_of(kept.collect())
}

/// The union of branches that are all worth keeping.
pub(super) fn union_of<T>(mut kept: Vec<Weighted<T>>) -> NameTree<T> {
    match kept.pop() {
        None => NameTree::Neg,
        Some(only) if kept.is_empty() => only.tree,
        Some(last) => {
            kept.push(last);
            NameTree::Union(kept)
        }
    }
}

/// How tightly a place in the text binds: what stands there looser needs parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tree,
    Union,
    Simple,
}

impl<T: fmt::Display> NameTree<T> {
    fn show(&self, place: Place, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameTree::Leaf(leaf) => leaf.fmt(out),
            NameTree::Neg => out.write_str("~"),
            NameTree::Fail => out.write_str("!"),
            NameTree::Empty => out.write_str("$"),
            NameTree::Alt(trees) => match trees.as_slice() {
                [] => out.write_str("~"),
                [only] => only.show(place, out),
                trees if place > Place::Tree => parenthesised(out, |out| show_alt(trees, out)),
                trees => show_alt(trees, out),
            },
            NameTree::Union(branches) => match branches.as_slice() {
                [] => out.write_str("~"),
                [only] => only.tree.show(place, out),
                all if place > Place::Union => parenthesised(out, |out| show_union(all, out)),
                all => show_union(all, out),
            },
        }
    }
}

fn parenthesised(
    out: &mut fmt::Formatter<'_>,
    show: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    out.write_str("(")?;
    show(out)?;
    out.write_str(")")
}

fn show_alt<T: fmt::Display>(trees: &[NameTree<T>], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    trees.iter().enumerate().try_for_each(|(i, tree)| {
        out.write_str(if i == 0 { "" } else { " | " })?;
        tree.show(Place::Union, out)
    })
}

fn show_union<T: fmt::Display>(all: &[Weighted<T>], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    all.iter().enumerate().try_for_each(|(i, branch)| {
        write!(
            out,
            "{}{} * ",
            if i == 0 { "" } else { " & " },
            branch.weight
        )?;
        branch.tree.show(Place::Simple, out)
    })
}

/// The text of the tree, which parses to the same tree (nodes of fewer than two branches aside).
impl<T: fmt::Display> fmt::Display for NameTree<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(Place::Tree, out)
    }
}

impl FromStr for NameTree<Path> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<NameTree<Path>, ParseError> {
        parse::tree(text)
    }
}
