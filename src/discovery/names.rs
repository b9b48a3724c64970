//! The bindings of all names, kept for all shards.
//!
//! One task owns everything here. It hears three kinds of news, what a shard wishes, that a namer's
//! answer changed, that the replicas of a bound name changed, and each is dealt with at once and
//! without waiting: delegation runs to its end with what is known, and what is not known yet will be
//! news later. A name that asked a namer is bound again when that answer changes; that costs
//! microseconds, and shards are told only if the result is another one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::config::resolved::{Transformer, TransformerKind};
use crate::naming::{
    self, BindError, Bound, Delegation, Dtab, NameTree, Outcome, Path, Step, Transform,
};
use crate::router::ask::{Asked, Binding, Replicas, Target, Told, Wish};
use crate::router::shared::{ClientShared, ServiceShared};

use super::health::Checker;
use super::namer::{Answer, Configured, Namers};
use super::report::{Failing, Limited, Query, Report};
use super::sharing::{Sharing, TablePolicies};
use super::transform;

mod reload;
mod targets;

/// Namers' answers that one name may depend on. More come from a table made to hurt.
const MAX_ASKS: usize = 256;
/// Changes that may wait; more make their finders wait.
const CHANGES: usize = 1024;

/// What a shard says.
#[derive(Debug)]
pub struct Said {
    pub shard: usize,
    pub router: usize,
    pub wish: Wish,
}

/// What names are bound by.
#[derive(Clone, Default)]
pub struct Tables {
    /// By the router's number.
    pub routers: BTreeMap<usize, Table>,
    pub namers: Namers,
}

/// What the names of one router are bound by.
#[derive(Clone, Default)]
pub struct Table {
    pub dtab: Dtab,
    pub transformers: Vec<Transformer>,
    pub policies: TablePolicies,
}

impl Table {
    fn binds_like(&self, other: &Table) -> bool {
        self.dtab == other.dtab && self.transformers == other.transformers
    }
}

/// Something was learnt.
#[derive(Debug)]
pub(super) enum Change {
    /// What a namer says of a path.
    Answered(Asking),
    Found(Target, Replicas),
}

/// Keeps the shards informed until all of them are gone. `tell` must not block; it is given the
/// shard, the router and the news.
pub async fn serve(
    tables: Tables,
    mut said: mpsc::UnboundedReceiver<Said>,
    mut queries: mpsc::Receiver<Query>,
    tell: impl FnMut(usize, usize, Told),
) {
    let (changes, mut changed) = mpsc::channel(CHANGES);
    let mut names = Names {
        tables,
        names: HashMap::new(),
        sharing: Sharing::default(),
        leaving: HashMap::new(),
        asks: HashMap::new(),
        targets: HashMap::new(),
        changes,
        tell,
    };
    loop {
        tokio::select! {
            said = said.recv() => match said {
                Some(said) => names.hear(said),
                None => return,
            },
            Some(change) = changed.recv() => names.learn(change),
            Some(query) = queries.recv() => names.answer_query(query),
        }
    }
}

/// A name of a router.
type Key = (usize, Arc<Asked>);
/// A namer, by its number, and the path that it is asked for.
type Asking = (usize, Path);

struct Name {
    binding: Option<Binding>,
    /// The binding is by tables that are no longer in force, and stands until there is another.
    outdated: bool,
    /// The namers' answers that it depends on.
    asks: Vec<Asking>,
    shards: Vec<usize>,
    shared: Arc<ServiceShared>,
}

/// A namer's answer that is being followed.
struct Ask {
    answer: watch::Receiver<Answer>,
    names: HashSet<Key>,
    _follower: Follower,
}

/// A bound name of which the replicas are being followed.
struct Followed {
    replicas: Option<Replicas>,
    /// Since when nothing good was heard of it, and why.
    failing: Option<(Instant, String)>,
    /// Shards and their routers.
    to: Vec<(usize, usize)>,
    /// What the shards of a router share.
    shared: Vec<(usize, Arc<ClientShared>)>,
    /// Asks the replicas whether they are well, if a router wants that.
    checker: Option<Checker>,
    _follower: Option<Follower>,
}

impl Followed {
    fn shared_by(&self, router: usize) -> Option<&Arc<ClientShared>> {
        let mut shared = self.shared.iter();
        shared
            .find(|(of, _)| *of == router)
            .map(|(_, shared)| shared)
    }
}

/// A task that ends with its handle.
pub(super) struct Follower(AbortHandle);

impl Follower {
    pub(super) fn of(task: &JoinHandle<()>) -> Follower {
        Follower(task.abort_handle())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Names<T> {
    tables: Tables,
    sharing: Sharing,
    names: HashMap<Key, Name>,
    /// Routers that are gone from the configuration and not yet from so many shards. Their tables
    /// stay, for the requests that they still have.
    leaving: HashMap<usize, usize>,
    asks: HashMap<Asking, Ask>,
    targets: HashMap<Target, Followed>,
    changes: mpsc::Sender<Change>,
    tell: T,
}

impl<T: FnMut(usize, usize, Told)> Names<T> {
    fn answer_query(&mut self, query: Query) {
        // Who asked may have given up; that is no loss.
        match query {
            Query::Report(reply) => drop(reply.send(self.report())),
            Query::Namers(reply) => drop(reply.send(self.tables.namers.clone())),
            Query::Reload(reload, done) => {
                self.reload(reload);
                let _ = done.send(());
            }
        }
    }

    fn report(&self) -> Report {
        let bound = |name: &&Name| matches!(name.binding, Some(Binding::Tree(_)));
        let replicas = |followed: &Followed| match &followed.replicas {
            Some(Replicas::Known(set)) => set.len(),
            _ => 0,
        };
        let failing = |(target, followed): (&Target, &Followed)| {
            let (since, why) = followed.failing.clone()?;
            Some(Failing {
                id: target.id.clone(),
                age: since.elapsed(),
                why,
            })
        };
        let ill = |followed: &Followed| followed.checker.as_ref().map(Checker::ill);
        Report {
            names: self.names.len(),
            bound: self.names.values().filter(bound).count(),
            answers: self.asks.len(),
            sets: self.targets.len(),
            replicas: self.targets.values().map(replicas).sum(),
            failing: self.targets.iter().filter_map(failing).collect(),
            unhealthy: self.targets.values().filter_map(ill).sum(),
            limited: self.limited(),
            rate_evictions: self.sharing.rate_evictions(),
        }
    }

    /// Each name once, whatever dtabs its requests bring along.
    fn limited(&self) -> Vec<Limited> {
        let limited = |((router, asked), name): (&Key, &Name)| {
            let policies = &self.tables.routers.get(router)?.policies.service;
            let limits = policies.policy(&asked.name).limits();
            let bounds = &name.shared.bounds;
            limits.are_on_places().then(|| Limited {
                router: *router,
                name: asked.name.clone(),
                limit: bounds.places(&limits).max_concurrent,
                active: bounds.admission.active(),
                pending: bounds.admission.pending(),
            })
        };
        let mut all: Vec<Limited> = self.names.iter().filter_map(limited).collect();
        all.sort_by(|a, b| (a.router, &a.name).cmp(&(b.router, &b.name)));
        all.dedup_by(|a, b| (a.router, &a.name) == (b.router, &b.name));
        all
    }

    fn hear(&mut self, said: Said) {
        let Said {
            shard,
            router,
            wish,
        } = said;
        match wish {
            Wish::Bind(asked) => self.add_name(shard, (router, asked)),
            Wish::Unbind(asked) => self.remove_name(shard, &(router, asked)),
            Wish::Watch(target) => self.add_target(shard, router, target),
            Wish::Unwatch(target) => self.remove_target(shard, router, &target),
            Wish::Leave => self.leave(router),
        }
    }

    fn learn(&mut self, change: Change) {
        match change {
            Change::Answered(asking) => {
                let names = self.asks.get(&asking).map(|ask| ask.names.clone());
                for key in names.unwrap_or_default() {
                    self.bind(&key);
                }
            }
            Change::Found(target, replicas) => self.take_in(&target, replicas),
        }
    }

    fn add_name(&mut self, shard: usize, key: Key) {
        if let Some(name) = self.names.get_mut(&key) {
            if !name.shards.contains(&shard) {
                name.shards.push(shard);
            }
            let told = Told::Service(Arc::clone(&key.1), Arc::clone(&name.shared));
            (self.tell)(shard, key.0, told);
            if let Some(binding) = name.binding.clone() {
                (self.tell)(shard, key.0, Told::Bound(key.1, binding));
            }
            return;
        }
        let none = TablePolicies::default();
        let table = self.tables.routers.get(&key.0);
        let policies = table.map_or(&none, |table| &table.policies);
        let shared = self.sharing.service(key.0, &key.1.name, &policies.service);
        let told = Told::Service(Arc::clone(&key.1), Arc::clone(&shared));
        (self.tell)(shard, key.0, told);
        let name = Name {
            shared,
            binding: None,
            outdated: false,
            asks: Vec::new(),
            shards: vec![shard],
        };
        self.names.insert(key.clone(), name);
        self.bind(&key);
    }

    fn remove_name(&mut self, shard: usize, key: &Key) {
        let Some(name) = self.names.get_mut(key) else {
            return;
        };
        name.shards.retain(|other| *other != shard);
        if name.shards.is_empty() {
            let asks = self.names.remove(key).map(|name| name.asks);
            self.release(key, asks.unwrap_or_default());
        }
    }

    /// Takes a name's interest off namers' answers.
    fn release(&mut self, key: &Key, asks: Vec<Asking>) {
        for asking in asks {
            if let Some(ask) = self.asks.get_mut(&asking) {
                ask.names.remove(key);
                if ask.names.is_empty() {
                    self.asks.remove(&asking);
                }
            }
        }
    }

    /// Binds a name by what is known now, and tells who wants to know if that makes a difference.
    fn bind(&mut self, key: &Key) {
        let mut asks = Vec::new();
        let bound = self.delegate(key, &mut asks);
        let Some(name) = self.names.get_mut(key) else {
            return;
        };
        let dropped = std::mem::replace(&mut name.asks, asks);
        let dropped = dropped
            .into_iter()
            .filter(|asking| !name.asks.contains(asking))
            .collect();
        let outdated = name.outdated;
        name.outdated = outdated && bound.is_none();
        if let Some(binding) = bound
            && replaces(&binding, name.binding.as_ref(), outdated)
        {
            name.binding = Some(binding.clone());
            for shard in &name.shards {
                let told = Told::Bound(Arc::clone(&key.1), binding.clone());
                (self.tell)(*shard, key.0, told);
            }
        }
        self.release(key, dropped);
    }

    /// `None` if an answer is missing that decides.
    fn delegate(&mut self, key: &Key, asks: &mut Vec<Asking>) -> Option<Binding> {
        let (router, asked) = key;
        let Table {
            mut dtab,
            transformers,
            ..
        } = self.tables.routers.get(router).cloned().unwrap_or_default();
        if !asked.local.is_empty() {
            match local_dtab(&asked.local) {
                Ok(local) => dtab = dtab.concat(&local),
                Err(why) => return Some(Binding::BadDtab(why)),
            }
        }
        let mut tree = self.look_up(key, &dtab, &asked.name, asks)?;
        for Transformer { prefix, kind } in transformers {
            let named = |bound| transform::through(bound, &prefix, Transform::Same);
            tree = match (tree, kind) {
                (Ok(tree), TransformerKind::Filter(by)) => {
                    Ok(tree.map(|bound| transform::through(bound, &prefix, by)))
                }
                (_, TransformerKind::Const(path)) => self
                    .look_up(key, &dtab, &path, asks)?
                    .map(|tree| tree.map(named)),
                (Ok(tree), TransformerKind::Replace(path)) => self
                    .look_up(key, &dtab, &path, asks)?
                    .map(|by| transform::replaced(tree, &by.map(named))),
                (Err(why), _) => Err(why),
            };
        }
        Some(tree.map_or_else(Binding::Failed, |tree| Binding::Tree(Arc::new(tree))))
    }

    /// Takes a name through a table. `None` if an answer is missing that decides.
    fn look_up(
        &mut self,
        key: &Key,
        dtab: &Dtab,
        name: &Path,
        asks: &mut Vec<Asking>,
    ) -> Option<Result<NameTree<Bound>, String>> {
        let mut delegation = Delegation::new(dtab, name);
        loop {
            match delegation.step() {
                Step::Ask(path) => {
                    let answer = self.answer(key, path, asks);
                    delegation.answer(answer);
                }
                Step::Done(Outcome::Bound(tree)) => {
                    return Some(Ok(tree));
                }
                Step::Done(Outcome::Failed(error)) => {
                    return Some(Err(error.to_string()));
                }
                Step::Done(Outcome::Pending) => return None,
            }
        }
    }

    /// What the namers of a path say of it now: the first who knows it.
    fn answer(&mut self, key: &Key, path: Path, asks: &mut Vec<Asking>) -> naming::Answer {
        let fitting = self.tables.namers.fitting(&path);
        let fitting: Vec<usize> = fitting.map(|namer| namer.number).collect();
        if fitting.is_empty() {
            return naming::Answer::Failed(BindError::NotConfigured { path });
        }
        for number in fitting {
            let answer = self.answer_of(key, (number, path.clone()), asks);
            if answer != naming::Answer::Tree(NameTree::Neg) {
                return answer;
            }
        }
        naming::Answer::Tree(NameTree::Neg)
    }

    /// What one namer says of a path now; followed from now on.
    fn answer_of(&mut self, key: &Key, asking: Asking, asks: &mut Vec<Asking>) -> naming::Answer {
        let (number, path) = asking.clone();
        let Some(configured) = self.tables.namers.get(number) else {
            return naming::Answer::Pending;
        };
        let Configured { prefix, namer, .. } = configured;
        if !asks.contains(&asking) {
            if asks.len() == MAX_ASKS {
                return naming::Answer::Failed(BindError::TooWide { path });
            }
            asks.push(asking.clone());
        }
        let ask = self.asks.entry(asking).or_insert_with_key(|asking| {
            let answer = namer.look_up(&path.skip(prefix.len() + 1));
            Ask {
                _follower: announce(answer.clone(), asking.clone(), self.changes.clone()),
                answer,
                names: HashSet::new(),
            }
        });
        ask.names.insert(key.clone());
        let answer = ask.answer.borrow().clone();
        match answer {
            Answer::Pending => naming::Answer::Pending,
            Answer::Failed(why) => naming::Answer::Failed(BindError::Namer { path, message: why }),
            Answer::Tree(tree) => naming::Answer::Tree(configured.named(tree)),
        }
    }
}

/// Whether a binding is news: it differs, and is no failure after something good, unless that was
/// good by other tables.
fn replaces(new: &Binding, old: Option<&Binding>, outdated: bool) -> bool {
    match (new, old) {
        (_, None) => true,
        (Binding::Failed(_), Some(Binding::Tree(_))) if !outdated => false,
        (new, Some(old)) => new != old,
    }
}

fn local_dtab(text: &[u8]) -> Result<Dtab, String> {
    let bad = |why: String| format!("the request's dtab cannot be read: {why}");
    let text = std::str::from_utf8(text).map_err(|_| bad("it is not text".to_owned()))?;
    text.parse::<Dtab>().map_err(|error| bad(error.to_string()))
}

/// Says each time that an answer changes.
fn announce(
    mut answer: watch::Receiver<Answer>,
    asking: Asking,
    changes: mpsc::Sender<Change>,
) -> Follower {
    let announcing = async move {
        while answer.changed().await.is_ok() {
            if changes
                .send(Change::Answered(asking.clone()))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    Follower::of(&tokio::spawn(announcing))
}
