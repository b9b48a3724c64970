//! Other tables and policies in the place of those that names were bound by.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::report::Reload;
use super::super::sharing;
use super::Names;
use crate::router::ask::Told;

impl<T: FnMut(usize, usize, Told)> Names<T> {
    /// A router is gone from one more shard.
    pub(super) fn leave(&mut self, router: usize) {
        if let Some(shards) = self.leaving.get_mut(&router) {
            *shards -= 1;
            if *shards == 0 {
                self.leaving.remove(&router);
                self.tables.routers.remove(&router);
            }
        }
    }

    /// Goes by other tables from now on: names whose table or namers are others are bound again.
    pub(super) fn reload(&mut self, reload: Reload) {
        let namers = self.tables.namers.succeeded_by(&reload.namers);
        let same_namers = namers.are(&self.tables.namers);
        self.tables.namers = namers;
        let before = std::mem::replace(&mut self.tables.routers, reload.routers);
        let mut touched = HashSet::new();
        for (router, table) in before {
            match self.tables.routers.get(&router) {
                Some(now) if now.binds_like(&table) && same_namers => {}
                None => {
                    self.tables.routers.insert(router, table);
                    self.leaving.entry(router).or_insert(reload.shards);
                }
                Some(_) => drop(touched.insert(router)),
            }
        }
        let keys = self
            .names
            .keys()
            .filter(|(router, _)| touched.contains(router));
        for key in keys.cloned().collect::<Vec<_>>() {
            if let Some(name) = self.names.get_mut(&key) {
                name.outdated = true;
            }
            self.bind(&key);
        }
        self.share_again();
        for target in self.targets.keys().cloned().collect::<Vec<_>>() {
            self.check_health(&target);
        }
    }

    /// Shares what suits the policies of now, where that is something else than before.
    fn share_again(&mut self) {
        let routers = &self.tables.routers;
        for ((router, asked), name) in &mut self.names {
            let Some(table) = routers.get(router) else {
                continue;
            };
            let policies = &table.policies.service;
            let shared = self.sharing.service(*router, &asked.name, policies);
            if Arc::ptr_eq(&shared, &name.shared) {
                continue;
            }
            name.shared = shared;
            for shard in &name.shards {
                let told = Told::Service(Arc::clone(asked), Arc::clone(&name.shared));
                (self.tell)(*shard, *router, told);
            }
        }
        for (target, followed) in &mut self.targets {
            for (router, known) in &mut followed.shared {
                let Some(table) = routers.get(router) else {
                    continue;
                };
                let shared = sharing::client(target, &table.policies.client, Some(known));
                if Arc::ptr_eq(&shared, known) {
                    continue;
                }
                *known = shared;
                let shards = followed.to.iter().filter(|(_, of)| of == router);
                for (shard, _) in shards {
                    let told = Told::Client(target.clone(), Arc::clone(known));
                    (self.tell)(*shard, *router, told);
                }
            }
        }
    }
}
