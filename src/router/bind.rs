//! Binding: from a logical name to the clients that serve it, remembered.
//!
//! The slow path binds: it knows the dtabs and what the namers say. A shard keeps one [`Route`] per
//! name that was asked for, found or not, which the slow path keeps current for as long as it is
//! kept. The first request of a name makes the route and asks; those that come before the answer
//! wait at the same route. A later answer replaces what the route leads to; a request that already
//! has its client goes on with it.
//!
//! The cache is bounded: when it is full, a new name drives out the one that was idle longest. First
//! go names with a dtab of their request, since there may be as many of those as requests, then names
//! that lead nowhere, then those that were asked for but once (Johnson and Shasha, "2Q", 1994): so a
//! flood of strange names drives out its own, and not those that clients live by. In a large
//! cache that is the longest idle of a few drawn at random, so that a flood of unknown names costs
//! the same however many known ones there are. Only routes that a request waits at are beyond the
//! bound, and those are as many as connections at most.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use indexmap::IndexMap;

use crate::balance::rng::{self, Rng};
use crate::balance::weighted;
use crate::config::resolved::{BindingCache, Policies, ServiceParams, ServicePolicy};
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::engine::{Key, Shard};
use crate::naming::{Bound, NameTree, Path};

use super::ask::{Asked, Binding, Target, Wish, Wishes};
use super::client::{Client, Clients};
use super::context;
use super::door::Door;
use super::refusal::Refusal;
use super::shared::{Local, ServiceShared};

/// Begins the key of a name with a dtab of its own. No path is encoded like that: it would be a
/// segment of 4 GiB.
const LOCAL: [u8; 4] = [0xFF; 4];

/// A cache of so many routes is looked through for the longest idle one.
const LOOKED_THROUGH: usize = 64;
/// Routes that are drawn from a larger one.
const DRAWN: usize = 16;

/// Where the requests of one logical name go.
pub struct Route {
    pub asked: Arc<Asked>,
    policy: RefCell<Rc<ServicePolicy>>,
    /// Whether its requests have to pass something before they are sent.
    is_guarded: Cell<bool>,
    door: RefCell<Option<Rc<Door>>>,
    shared: RefCell<Option<Local<ServiceShared>>>,
    tree: RefCell<Tree>,
    waiting: RefCell<Vec<Key>>,
    used_at: Cell<u64>,
    used_again: Cell<bool>,
}

/// A client that serves a name.
pub struct Leaf {
    pub client: Rc<Client>,
    /// What its replicas are told of the name, as lines of a head.
    pub destination: Box<[u8]>,
}

enum Tree {
    /// The slow path has not answered yet.
    Unknown,
    Leaf(Rc<Leaf>),
    Union(Vec<(f64, Tree)>),
    /// Nobody serves the name; why.
    Nobody(Refusal),
}

impl Route {
    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Rc<ServicePolicy> {
        Rc::clone(&self.policy.borrow())
    }

    /// Goes by another policy from now on.
    fn go_by(&self, policy: Rc<ServicePolicy>) {
        self.is_guarded.set(policy.is_guarded());
        self.policy.replace(policy);
        self.hang_door();
    }

    /// Whether its requests have to pass something before they are sent.
    #[inline]
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.is_guarded.get()
    }

    /// Whether the slow path has told what the shards know of it together.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.shared.borrow().is_some()
    }

    /// The door that requests go through now; `None` if it stands open.
    #[must_use]
    pub fn door(&self) -> Option<Rc<Door>> {
        self.door.borrow().clone()
    }

    /// The door as policy and what is shared will have it.
    fn hang_door(&self) {
        let (limits, shared) = (self.policy.borrow().limits(), self.shared.borrow());
        let Some(shared) = shared.as_ref() else {
            return;
        };
        let is_same = |door: &Rc<Door>| door.is_of(&limits, &shared.bounds);
        if !self.door.borrow().as_ref().is_some_and(is_same) {
            let door = Door::new(limits, shared.bounds.clone());
            self.door.replace(door.map(Rc::new));
        }
    }

    /// What the shards know of it together, once the slow path has told.
    #[must_use]
    pub fn shared(&self) -> Option<Local<ServiceShared>> {
        self.shared.borrow().clone()
    }

    /// Where one request goes, once it is known: a union's branch is drawn anew each time.
    /// The running task is woken at the answer.
    ///
    /// # Errors
    /// When the name is bound to nobody, or cannot be bound.
    pub fn poll_leaf(
        &self,
        shard: &Shard,
        random: &mut impl FnMut() -> u64,
    ) -> Poll<Result<Rc<Leaf>, Refusal>> {
        let root = self.tree.borrow();
        let mut tree = &*root;
        loop {
            match tree {
                Tree::Leaf(leaf) => return Poll::Ready(Ok(Rc::clone(leaf))),
                Tree::Nobody(refusal) => return Poll::Ready(Err(refusal.clone())),
                Tree::Union(branches) => {
                    let weights = branches.iter().map(|(weight, _)| *weight);
                    let drawn = weighted::pick(weights, random()).unwrap_or(0);
                    tree = &branches[drawn].1;
                }
                Tree::Unknown => {
                    let mut waiting = self.waiting.borrow_mut();
                    let task = shard.this_task();
                    if waiting.last() != Some(&task) {
                        waiting.push(task);
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// What the cache did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Names that were not there when asked for.
    pub misses: u64,
    /// Names driven out by others.
    pub evictions: u64,
    /// Names that nobody asked for any more.
    pub expirations: u64,
}

/// The binding cache of one router on one shard.
pub struct Binder {
    shard: Shard,
    limits: Cell<BindingCache>,
    policies: RefCell<Policies<ServiceParams>>,
    /// The policy of the latest name, which most others go by, too.
    usual: RefCell<Rc<ServicePolicy>>,
    wishes: Wishes,
    routes: RefCell<IndexMap<Box<[u8]>, Rc<Route>, foldhash::fast::FixedState>>,
    rng: RefCell<Rng>,
    /// Where the key of a name with a dtab is put together.
    scratch: RefCell<Vec<u8>>,
    counts: Cell<CacheCounts>,
    swept_at: Cell<u64>,
}

impl Binder {
    #[must_use]
    pub fn new(
        shard: &Shard,
        limits: BindingCache,
        policies: Policies<ServiceParams>,
        wishes: Wishes,
        seed: u64,
    ) -> Binder {
        Binder {
            shard: shard.clone(),
            limits: Cell::new(limits),
            policies: RefCell::new(policies),
            usual: RefCell::default(),
            wishes,
            routes: RefCell::new(IndexMap::with_hasher(
                foldhash::fast::FixedState::with_seed(seed),
            )),
            rng: RefCell::new(Rng::new(seed)),
            scratch: RefCell::default(),
            counts: Cell::default(),
            swept_at: Cell::new(shard.now()),
        }
    }

    /// Goes by other limits and policies from now on; names beyond the limits go when the next one
    /// comes.
    pub fn reload(&self, limits: BindingCache, policies: &Policies<ServiceParams>) {
        self.limits.set(limits);
        self.policies.borrow_mut().clone_from(policies);
        for route in self.routes.borrow().values() {
            let policy = self.policy(&route.asked.name);
            if policy != *route.policy.borrow() {
                route.go_by(policy);
            }
        }
    }

    /// The policy of a name. Names that are treated alike share one.
    fn policy(&self, name: &Path) -> Rc<ServicePolicy> {
        let policy = self.policies.borrow().policy(name);
        let mut usual = self.usual.borrow_mut();
        if policy != **usual {
            *usual = Rc::new(policy);
        }
        Rc::clone(&usual)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.borrow().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        self.counts.get()
    }

    /// The route of a name, given as [`Path::encode`] writes it, under the request's own dtab (its
    /// text, empty if it has none). A name that is not known yet is asked for.
    pub fn bind(&self, name: &[u8], local: &[u8]) -> Rc<Route> {
        if local.is_empty() {
            return self.by_key(name, name, local);
        }
        let mut key = self.scratch.borrow_mut();
        key.clear();
        key_of(name, local, &mut key);
        self.by_key(&key, name, local)
    }

    fn by_key(&self, key: &[u8], name: &[u8], local: &[u8]) -> Rc<Route> {
        let now = self.shard.now();
        if let Some(route) = self.routes.borrow().get(key) {
            route.used_at.set(now);
            route.used_again.set(true);
            return Rc::clone(route);
        }
        self.count(|counts| counts.misses += 1);
        self.make_room();
        let name = Path::from_encoded(name);
        let policy = self.policy(&name);
        let route = Rc::new(Route {
            is_guarded: Cell::new(policy.is_guarded()),
            policy: RefCell::new(policy),
            door: RefCell::default(),
            shared: RefCell::default(),
            asked: Arc::new(Asked {
                name,
                local: local.into(),
            }),
            tree: RefCell::new(Tree::Unknown),
            waiting: RefCell::default(),
            used_at: Cell::new(now),
            used_again: Cell::new(false),
        });
        self.routes
            .borrow_mut()
            .insert(key.into(), Rc::clone(&route));
        self.say(Wish::Bind(Arc::clone(&route.asked)));
        route
    }

    /// Drives out routes that no request waits at until there is room for one more.
    fn make_room(&self) {
        let mut routes = self.routes.borrow_mut();
        while routes.len() >= self.limits.get().paths {
            let idle = match routes.len() {
                count @ ..=LOOKED_THROUGH => longest_idle(&routes, 0..count),
                count => {
                    let mut rng = self.rng.borrow_mut();
                    let drawn = (0..DRAWN).map(|_| rng::scale(rng.next_u64(), count));
                    longest_idle(&routes, drawn)
                }
            };
            let Some((_, route)) = idle.and_then(|at| routes.swap_remove_index(at)) else {
                return;
            };
            self.count(|counts| counts.evictions += 1);
            self.say(Wish::Unbind(Arc::clone(&route.asked)));
        }
    }

    fn say(&self, wish: Wish) {
        (self.wishes)(wish);
    }

    /// Forgets routes that were idle for too long, but the last. Once per that time: an idle route
    /// lives between one and two times as long.
    pub fn expire(&self) {
        let (now, ttl) = (self.shard.now(), self.limits.get().idle_ttl);
        let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.swept_at.get()) < ttl {
            return;
        }
        self.swept_at.set(now);
        let mut routes = self.routes.borrow_mut();
        let mut left = routes.len();
        routes.retain(|_, route| {
            let idle = now.saturating_sub(route.used_at.get()) >= ttl;
            let keep = !idle || Rc::strong_count(route) > 1 || left == 1;
            if !keep {
                left -= 1;
                self.count(|counts| counts.expirations += 1);
                self.say(Wish::Unbind(Arc::clone(&route.asked)));
            }
            keep
        });
    }

    fn known(&self, asked: &Asked) -> Option<Rc<Route>> {
        let mut key = Vec::new();
        let key = if asked.local.is_empty() {
            asked.name.as_encoded()
        } else {
            key_of(asked.name.as_encoded(), &asked.local, &mut key);
            &key
        };
        self.routes.borrow().get(key).map(Rc::clone)
    }

    /// Takes in what the shards share of a name from now on.
    pub fn share(&self, asked: &Asked, shared: &Arc<ServiceShared>) {
        if let Some(route) = self.known(asked) {
            route.shared.replace(Some(Rc::new(Arc::clone(shared))));
            route.hang_door();
        }
    }

    /// Takes in what the slow path says of a name.
    pub fn update(&self, asked: &Asked, binding: &Binding, clients: &Clients) {
        let Some(route) = self.known(asked) else {
            return;
        };
        let tree = match binding {
            Binding::Tree(tree) => resolve(&asked.name, tree, clients),
            Binding::Failed(text) => {
                Tree::Nobody(Refusal::proxy(502, "binding-failed", text.clone()))
            }
            Binding::BadDtab(text) => Tree::Nobody(Refusal::client(400, "bad-dtab", text.clone())),
        };
        // What it led to may hold the last handle on a client: dropped when nothing is borrowed.
        let before = route.tree.replace(tree);
        for task in route.waiting.take() {
            self.shard.wake(task);
        }
        drop(before);
    }

    fn count(&self, change: impl FnOnce(&mut CacheCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}

impl Drop for Binder {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::WishesKept) {
            return;
        }
        for route in self.routes.borrow().values() {
            self.say(Wish::Unbind(Arc::clone(&route.asked)));
        }
        self.say(Wish::Leave);
    }
}

/// Which of these places holds the route to drive out; `None` if requests wait at all of them.
fn longest_idle(
    routes: &IndexMap<Box<[u8]>, Rc<Route>, foldhash::fast::FixedState>,
    places: impl Iterator<Item = usize>,
) -> Option<usize> {
    let idle = |at: &usize| Rc::strong_count(&routes[*at]) == 1;
    let rank = |at: &usize| {
        let route = &routes[*at];
        (
            route.asked.local.is_empty(),
            !matches!(*route.tree.borrow(), Tree::Nobody(_)),
            route.used_again.get(),
            route.used_at.get(),
        )
    };
    places.filter(idle).min_by_key(rank)
}

fn key_of(name: &[u8], local: &[u8], key: &mut Vec<u8>) {
    key.extend_from_slice(&LOCAL);
    key.extend_from_slice(&(name.len() as u64).to_be_bytes());
    key.extend_from_slice(name);
    key.extend_from_slice(local);
}

fn resolve(name: &Path, tree: &NameTree<Bound>, clients: &Clients) -> Tree {
    match tree {
        NameTree::Leaf(bound) => Tree::Leaf(Rc::new(Leaf {
            client: clients.get(&Target::from(bound)),
            destination: context::destination(name, bound),
        })),
        NameTree::Union(branches) => Tree::Union(
            branches
                .iter()
                .map(|branch| (branch.weight.get(), resolve(name, &branch.tree, clients)))
                .collect(),
        ),
        NameTree::Alt(_) | NameTree::Neg => nobody(name, "does not exist"),
        NameTree::Fail => nobody(name, "is marked as failing (!)"),
        NameTree::Empty => nobody(name, "has no replicas ($)"),
    }
}

fn nobody(name: &Path, why: &str) -> Tree {
    let text = format!("{name} {why} by the dtab");
    Tree::Nobody(Refusal::proxy(502, "no-hosts-available", text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balance::Place;
    use crate::config::resolved;
    use crate::engine::BufPool;
    use crate::engine::driver::Driver;
    use crate::engine::driver::sim::{Faults, Role, SimNetwork};

    fn encoded(name: &str) -> Vec<u8> {
        name.parse::<Path>().unwrap().as_encoded().to_vec()
    }

    /// A binder of so many names, its clients, and the names that it drove out.
    fn binder(paths: usize) -> (Binder, Clients, Rc<RefCell<Vec<String>>>) {
        let net = SimNetwork::new(1, Faults::none());
        let bufs = BufPool::new(16, 4096).unwrap();
        let shard = Shard::new(0, Driver::Sim(Box::new(net.driver(Role::Proxy))), bufs);
        let gone: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = Rc::clone(&gone);
        let wishes: Wishes = Rc::new(move |wish| {
            if let Wish::Unbind(asked) = wish {
                heard.borrow_mut().push(asked.name.to_string());
            }
        });
        let text = "routers: [{protocol: http, servers: [{port: 1}]}]";
        let config = crate::config::load(text).unwrap();
        let limits = BindingCache {
            paths,
            idle_ttl: Duration::from_secs(600),
        };
        let resolved::Router {
            client, service, ..
        } = config.routers[0].clone();
        let clients = Clients::new(&shard, Place::default(), client, Rc::clone(&wishes), 1);
        let binder = Binder::new(&shard, limits, service, wishes, 1);
        (binder, clients, gone)
    }

    fn lead_nowhere(binder: &Binder, clients: &Clients, route: &Route) {
        let nowhere = Binding::Tree(Arc::new(NameTree::Neg));
        binder.update(&route.asked, &nowhere, clients);
    }

    #[test]
    fn strange_names_drive_out_each_other() {
        for (paths, strange) in [(4, 20), (200, 2000)] {
            let (binder, clients, gone) = binder(paths);
            let known: Vec<_> = (0..paths / 2).map(|n| format!("/known/{n}")).collect();
            for name in known.iter().chain(&known) {
                drop(binder.bind(&encoded(name), b""));
            }
            for n in 0..strange {
                let route = binder.bind(&encoded(&format!("/strange/{n}")), b"");
                lead_nowhere(&binder, &clients, &route);
            }
            assert_eq!(binder.len(), paths);
            let gone = gone.borrow();
            assert_eq!(gone.len(), strange - paths / 2);
            let missed = gone
                .iter()
                .filter(|name| name.starts_with("/known"))
                .count();
            // In a large cache only a few are looked at: once in a long while all are known.
            assert!(missed * 100 <= gone.len(), "{missed} of {}", gone.len());
        }
    }

    #[test]
    fn the_order_in_which_names_go() {
        let (binder, clients, gone) = binder(4);
        let local = binder.bind(&encoded("/local"), b"/a => /b");
        let nowhere = binder.bind(&encoded("/nowhere"), b"");
        lead_nowhere(&binder, &clients, &nowhere);
        drop(binder.bind(&encoded("/nowhere"), b""));
        drop(binder.bind(&encoded("/twice"), b""));
        drop(binder.bind(&encoded("/twice"), b""));
        drop(binder.bind(&encoded("/once"), b""));
        drop((local, nowhere));
        let waits: Vec<_> = (0..4)
            .map(|n| binder.bind(&encoded(&format!("/new/{n}")), b""))
            .collect();
        assert_eq!(*gone.borrow(), ["/local", "/nowhere", "/once", "/twice"]);
        // Requests wait at all of them: the bound is passed rather than one of them lost.
        drop(binder.bind(&encoded("/more"), b""));
        assert_eq!((binder.len(), waits.len()), (5, 4));
    }
}
