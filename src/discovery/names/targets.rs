//! Bound names and their replicas: who follows which, and what is news.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::super::health::Checker;
use super::super::namer::{Addrs, settled};
use super::super::sharing::{self, TablePolicies};
use super::super::{replicas, transform};
use super::{Followed, Follower, Names};
use crate::naming::{Addr, Path, Place};
use crate::router::ask::{Replicas, Target, Told};

impl<T: FnMut(usize, usize, Told)> Names<T> {
    pub(super) fn add_target(&mut self, shard: usize, router: usize, target: Target) {
        let none = TablePolicies::default();
        let table = self.tables.routers.get(&router);
        let policies = table.map_or(&none, |table| &table.policies);
        let followed = self.targets.get(&target);
        let known = followed.and_then(|followed| followed.shared_by(router));
        let shared = sharing::client(&target, &policies.client, known);
        let told = Told::Client(target.clone(), Arc::clone(&shared));
        (self.tell)(shard, router, told);
        if let Some(followed) = self.targets.get_mut(&target) {
            if followed.shared_by(router).is_none() {
                followed.shared.push((router, shared));
            }
            if !followed.to.contains(&(shard, router)) {
                followed.to.push((shard, router));
            }
            if let Some(replicas) = followed.replicas.clone() {
                (self.tell)(shard, router, Told::Replicas(target.clone(), replicas));
            }
            return self.check_health(&target);
        }
        let mut followed = Followed {
            replicas: None,
            failing: None,
            to: vec![(shard, router)],
            shared: vec![(router, shared)],
            checker: None,
            _follower: None,
        };
        let (id, addr, by) = transform::origin(&target.id, &target.addr);
        let source = self.source(id, addr);
        let literal = match &*source.borrow() {
            Addrs::Known(addrs) if matches!(addr, Addr::Inet(_)) => {
                replicas::literal(addrs, &by, None)
            }
            _ => None,
        };
        // Most names end at an address that is written out: no task for those.
        match literal {
            Some(set) => {
                let replicas = Replicas::Known(Arc::new(set));
                followed.replicas = Some(replicas.clone());
                (self.tell)(shard, router, Told::Replicas(target.clone(), replicas));
            }
            None => {
                let following = replicas::follow(source, target.clone(), by, self.changes.clone());
                followed._follower = Some(Follower::of(&tokio::spawn(following)));
            }
        }
        self.targets.insert(target.clone(), followed);
        self.check_health(&target);
    }

    /// Has the replicas of a name checked as the policies of now say. Of several routers that lead to
    /// the same name the first that wants a check has its way: a replica is well or it is not.
    pub(super) fn check_health(&mut self, target: &Target) {
        let routers = &self.tables.routers;
        let Some(followed) = self.targets.get_mut(target) else {
            return;
        };
        let mut wanted = followed.shared.iter().filter_map(|(router, _)| {
            let policies = &routers.get(router)?.policies.client;
            policies.policy(&target.id).health_check
        });
        let (Some(of), Some(Replicas::Known(set))) = (wanted.next(), &followed.replicas) else {
            followed.checker = None;
            return;
        };
        match followed
            .checker
            .as_ref()
            .filter(|checker| checker.is_by(&of))
        {
            Some(checker) => checker.update(set),
            None => {
                // Who was ill by other checks is well before these begin.
                followed.checker = None;
                let checker = Checker::new(of, target.id.to_string(), Arc::clone(set));
                followed.checker = Some(checker);
            }
        }
    }

    fn source(&self, id: &Path, addr: &Addr) -> watch::Receiver<Addrs> {
        match addr {
            Addr::Inet(inet) => settled(Addrs::Known(Arc::new([Place::new(inet.clone())]))),
            Addr::Namer(number) => match self.tables.namers.get(*number) {
                Some(of) => of.namer.addrs(&id.skip(of.prefix.len() + 1)),
                None => settled(Addrs::Gone),
            },
            Addr::Through(_) => settled(Addrs::Gone),
        }
    }

    pub(super) fn remove_target(&mut self, shard: usize, router: usize, target: &Target) {
        if let Some(followed) = self.targets.get_mut(target) {
            followed.to.retain(|other| *other != (shard, router));
            let of = |router: usize| followed.to.iter().any(|(_, other)| *other == router);
            followed.shared.retain(|(router, _)| of(*router));
            if followed.to.is_empty() {
                self.targets.remove(target);
            }
        }
    }

    /// Takes in what was found of a name's replicas. What is no replica at all does not replace
    /// replicas; only that the name is gone does.
    pub(super) fn take_in(&mut self, target: &Target, replicas: Replicas) {
        let Some(followed) = self.targets.get_mut(target) else {
            return;
        };
        let trouble = match &replicas {
            Replicas::Known(set) if set.is_empty() => Some("no replicas".to_owned()),
            Replicas::Failed(why) => Some(why.clone()),
            Replicas::Known(_) | Replicas::Gone(_) => None,
        };
        let good = matches!(followed.replicas, Some(Replicas::Known(ref set)) if !set.is_empty());
        match trouble {
            Some(why) if good => {
                if followed.failing.is_none() {
                    tracing::warn!("{}: {why}; its last replicas are kept", target.id);
                }
                let since = followed
                    .failing
                    .take()
                    .map_or_else(Instant::now, |old| old.0);
                followed.failing = Some((since, why));
                return;
            }
            _ => followed.failing = None,
        }
        if let (Some(Replicas::Known(old)), Replicas::Known(new)) = (&followed.replicas, &replicas)
            && Arc::ptr_eq(old, new)
        {
            return;
        }
        followed.replicas = Some(replicas.clone());
        for (shard, router) in &followed.to {
            let told = Told::Replicas(target.clone(), replicas.clone());
            (self.tell)(*shard, *router, told);
        }
        self.check_health(target);
    }
}
