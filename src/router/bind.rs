//! Binding: from a logical name to the clients that serve it, remembered.
//!
//! The cache holds one entry per name that was asked for, found or not, and is bounded: a flood of
//! made-up names evicts the names that were idle longest and grows nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::balance::weighted;
use crate::naming::{self, Bound, Dtab, NameTree, Path};

use super::client::{Client, Clients};
use super::refusal::Refusal;

/// Where the requests of one logical name go.
pub struct Route {
    pub name: Path,
    tree: Tree,
    used_at: Cell<u64>,
}

enum Tree {
    Client(Rc<Client>),
    Union(Vec<(f64, Tree)>),
    /// Nobody serves the name; why.
    Nobody(Refusal),
}

impl Route {
    /// The client for one request: a union's branch is drawn anew each time.
    ///
    /// # Errors
    /// 502 when the name is bound to nobody.
    pub fn client(&self, random: &mut impl FnMut() -> u64) -> Result<&Rc<Client>, &Refusal> {
        let mut tree = &self.tree;
        loop {
            match tree {
                Tree::Client(client) => return Ok(client),
                Tree::Nobody(refusal) => return Err(refusal),
                Tree::Union(branches) => {
                    let weights = branches.iter().map(|(weight, _)| *weight);
                    let drawn = weighted::pick(weights, random()).unwrap_or(0);
                    tree = &branches[drawn].1;
                }
            }
        }
    }
}

/// The binding cache of one router on one shard.
pub struct Binder {
    dtab: Dtab,
    limit: usize,
    routes: RefCell<HashMap<Box<[u8]>, Rc<Route>, foldhash::fast::FixedState>>,
    misses: Cell<u64>,
}

impl Binder {
    #[must_use]
    pub fn new(dtab: Dtab, limit: usize, seed: u64) -> Binder {
        Binder {
            dtab,
            limit: limit.max(1),
            routes: RefCell::new(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(
                seed,
            ))),
            misses: Cell::new(0),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.borrow().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names that were not in the cache when asked for.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.get()
    }

    /// The route of a name, given as [`Path::encode`] writes it.
    pub fn bind(&self, name: &[u8], clients: &Clients, now: u64) -> Rc<Route> {
        if let Some(route) = self.routes.borrow().get(name) {
            route.used_at.set(now);
            return Rc::clone(route);
        }
        self.misses.set(self.misses.get() + 1);
        let path = Path::from_encoded(name);
        let tree = match naming::bind(&self.dtab, &path) {
            Ok(tree) => self.resolve(&path, &tree, clients),
            Err(error) => Tree::Nobody(Refusal::proxy(502, "binding-failed", error.to_string())),
        };
        let route = Rc::new(Route {
            name: path,
            tree,
            used_at: Cell::new(now),
        });
        self.remember(name, &route);
        route
    }

    fn remember(&self, name: &[u8], route: &Rc<Route>) {
        let mut routes = self.routes.borrow_mut();
        if routes.len() >= self.limit {
            // Only entries without a request in flight may go; if there is none, this route serves
            // its one request and is not kept.
            let idle = routes
                .iter()
                .filter(|(_, route)| Rc::strong_count(route) == 1)
                .min_by_key(|(_, route)| route.used_at.get())
                .map(|(name, _)| name.clone());
            match idle {
                Some(idle) => routes.remove(&idle),
                None => return,
            };
        }
        routes.insert(name.into(), Rc::clone(route));
    }

    fn resolve(&self, name: &Path, tree: &NameTree<Bound>, clients: &Clients) -> Tree {
        match tree {
            NameTree::Leaf(bound) => Tree::Client(clients.get(&bound.id, &bound.addr)),
            NameTree::Union(branches) => Tree::Union(
                branches
                    .iter()
                    .map(|branch| {
                        (
                            branch.weight.get(),
                            self.resolve(name, &branch.tree, clients),
                        )
                    })
                    .collect(),
            ),
            NameTree::Alt(_) | NameTree::Neg => self.nobody(name, "does not exist"),
            NameTree::Fail => self.nobody(name, "is marked as failing (!)"),
            NameTree::Empty => self.nobody(name, "has no replicas ($)"),
        }
    }

    fn nobody(&self, name: &Path, why: &str) -> Tree {
        let text = format!("{name} {why} by dtab {}", self.dtab);
        Tree::Nobody(Refusal::proxy(502, "no-hosts-available", text))
    }
}
