//! From the addresses that a namer gives to a set of replicas: hosts are looked up, again and again,
//! literal addresses stand for themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::balance::ReplicaSet;
use crate::naming::{Inet, Place, Transform};
use crate::router::ask::{Replicas, Target};

use super::namer::Addrs;
use super::names::Change;
use super::transform;

/// Time between two lookups of a host.
const EVERY: Duration = Duration::from_secs(5);
/// How long one lookup may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lookups under way at once, for one name.
const AT_ONCE: usize = 16;

/// The set of literal addresses; `None` if a host must be looked up.
pub(super) fn literal(
    places: &[Place],
    by: &[Transform],
    previous: Option<&ReplicaSet>,
) -> Option<ReplicaSet> {
    let weighted = |place: &Place| Some((literal_addr(&place.inet)?, place.weight.get()));
    let addrs: Option<Vec<_>> = places.iter().map(weighted).collect();
    Some(transformed(addrs?, by, previous))
}

fn transformed(
    addrs: impl IntoIterator<Item = (SocketAddr, f64)>,
    by: &[Transform],
    previous: Option<&ReplicaSet>,
) -> ReplicaSet {
    let stays = |(addr, weight)| Some((transform::address(addr, by)?, weight));
    ReplicaSet::from_weighted(addrs.into_iter().filter_map(stays), previous)
}

fn literal_addr(inet: &Inet) -> Option<SocketAddr> {
    inet.ip().map(|ip| SocketAddr::new(ip, inet.port))
}

/// Reports the replicas of a name and each change of them, until nothing can change any more or
/// nobody listens.
pub(super) async fn follow(
    mut source: watch::Receiver<Addrs>,
    target: Target,
    by: Vec<Transform>,
    changes: mpsc::Sender<Change>,
) {
    let mut hosts = Hosts {
        by,
        ..Hosts::default()
    };
    // Whether the last report was of replicas: only then may the same ones go unsaid.
    let mut good = false;
    loop {
        let addrs = source.borrow_and_update().clone();
        let replicas = match addrs {
            Addrs::Pending => None,
            Addrs::Failed(why) => Some(Replicas::Failed(why)),
            Addrs::Gone => Some(Replicas::Gone("the name exists no longer".to_owned())),
            Addrs::Known(addrs) => hosts.replicas(&addrs, good).await,
        };
        if let Some(replicas) = replicas {
            good = matches!(&replicas, Replicas::Known(set) if !set.is_empty());
            let found = Change::Found(target.clone(), replicas);
            if changes.send(found).await.is_err() {
                return;
            }
        }
        if !hosts.wait(&mut source).await {
            return;
        }
    }
}

/// The hosts of one name and what is known of them.
#[derive(Default)]
struct Hosts {
    /// What is done to the addresses.
    by: Vec<Transform>,
    current: Option<Arc<ReplicaSet>>,
    found: HashMap<Inet, Vec<SocketAddr>>,
    /// Whether any of the addresses is a host's.
    any: bool,
}

impl Hosts {
    /// The replicas at these addresses; `None` if they are the current ones and `unsaid` allows it.
    async fn replicas(&mut self, places: &[Place], unsaid: bool) -> Option<Replicas> {
        self.any = false;
        if let Some(set) = literal(places, &self.by, self.current.as_deref()) {
            self.found.clear();
            if set.is_empty() && !places.is_empty() {
                return Some(nothing_left());
            }
            return self.changed(set, unsaid);
        }
        self.any = true;
        self.found
            .retain(|inet, _| places.iter().any(|place| place.inet == *inet));
        let failed = self.look_up(places).await;
        let all = places.iter().flat_map(|Place { inet, weight }| {
            let addrs = match literal_addr(inet) {
                Some(addr) => vec![addr],
                None => self.found.get(inet).cloned().unwrap_or_default(),
            };
            addrs.into_iter().map(|addr| (addr, weight.get()))
        });
        let all: Vec<_> = all.collect();
        let any = !all.is_empty();
        let set = transformed(all, &self.by, self.current.as_deref());
        match failed {
            _ if any && set.is_empty() => Some(nothing_left()),
            Some(why) if set.is_empty() => Some(Replicas::Failed(why)),
            _ => self.changed(set, unsaid),
        }
    }

    fn changed(&mut self, set: ReplicaSet, unsaid: bool) -> Option<Replicas> {
        let same = |old: &&Arc<ReplicaSet>| old.is_like(&set);
        if let Some(old) = self.current.as_ref().filter(same) {
            return (!unsaid).then(|| Replicas::Known(Arc::clone(old)));
        }
        let set = Arc::new(set);
        // An empty set forgets no endpoint: they come back with the next one.
        if !set.is_empty() {
            self.current = Some(Arc::clone(&set));
        }
        Some(Replicas::Known(set))
    }

    /// Looks up all hosts; one that fails keeps what it had. Gives a reason if any failed.
    async fn look_up(&mut self, places: &[Place]) -> Option<String> {
        let inets = places.iter().map(|place| &place.inet);
        let mut left = inets.filter(|inet| inet.ip().is_none()).cloned();
        let mut lookups = JoinSet::new();
        let mut failed = None;
        loop {
            while lookups.len() < AT_ONCE {
                let Some(inet) = left.next() else { break };
                lookups.spawn(look_up(inet));
            }
            match lookups.join_next().await {
                Some(Ok((inet, Ok(found)))) => drop(self.found.insert(inet, found)),
                Some(Ok((_, Err(why)))) => failed = Some(why),
                Some(Err(error)) => failed = Some(error.to_string()),
                None => return failed,
            }
        }
    }

    /// Waits until there is reason to look again; false if there never will be.
    async fn wait(&self, source: &mut watch::Receiver<Addrs>) -> bool {
        if !self.any {
            return source.changed().await.is_ok();
        }
        tokio::select! {
            changed = source.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(EVERY).await;
                }
            }
            () = tokio::time::sleep(EVERY) => {}
        }
        true
    }
}

/// Replicas there are, so this is no accident of a registry.
fn nothing_left() -> Replicas {
    Replicas::Gone("its transformers leave none of its replicas".to_owned())
}

async fn look_up(inet: Inet) -> (Inet, Result<Vec<SocketAddr>, String>) {
    let lookup = tokio::net::lookup_host((inet.host.as_str(), inet.port));
    let found = match tokio::time::timeout(PATIENCE, lookup).await {
        Ok(Ok(addrs)) => {
            let mut addrs: Vec<_> = addrs.collect();
            addrs.sort_unstable();
            addrs.dedup();
            match addrs.is_empty() {
                true => Err(format!("{} has no addresses", inet.host)),
                false => Ok(addrs),
            }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer about {} in time", inet.host)),
    };
    (inet, found)
}
