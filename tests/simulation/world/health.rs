//! What a world's state must be like at every moment, and what its policies let it come to.

use std::collections::BTreeMap;

use ringlink::balance::Status;
use ringlink::resilience::gate::State;

use super::*;
use crate::rules;

/// What was seen while a world ran, counted at the moments when nothing moves.
#[derive(Default)]
pub(super) struct Seen {
    ejections: u64,
    probes: u64,
    ejected_sets: u64,
    waits_for_room: u64,
    waits_for_place: u64,
}

impl World {
    /// Looks at everything that is counted, when all shards have come to rest.
    pub(super) fn look(&mut self) {
        let now = self.net.now();
        let most = self.ledger.bounds.get().at_once;
        let registry = self.registry.borrow();
        let mut any_dead = false;
        let mut wrong = Vec::new();
        for endpoint in &registry.all {
            let (state, on_way) = (endpoint.accrual().state(now), endpoint.outstanding());
            any_dead |= state == State::Dead;
            self.seen.probes += u64::from(state == State::ProbeClosed);
            if state == State::ProbeClosed && on_way == 0 {
                let addr = endpoint.addr;
                wrong.push(format!("a probe of {addr} is out and no request is"));
            }
            if on_way > most {
                let addr = endpoint.addr;
                wrong.push(format!("{on_way} requests at {addr}, of {most} at most"));
            }
        }
        if any_dead {
            self.seen.ejections += 1;
            let most_ejected = registry.current.values().any(|set| {
                let open = |one: &&Arc<_>| is_open(one, now);
                set.len() > 1 && set.endpoints.iter().filter(open).count() * 2 < set.len()
            });
            self.seen.ejected_sets += u64::from(most_ejected);
        }
        for admission in self.around.admissions.borrow().values() {
            self.seen.waits_for_place += u64::from(admission.pending());
        }
        for proxy in &self.proxies {
            self.seen.waits_for_room += proxy.router().clients.waiters() as u64;
        }
        drop(registry);
        for text in wrong {
            self.ledger.violation(text);
        }
    }

    /// Nobody is served any more, so nobody has a place, or waits for one.
    pub(super) fn judge_places(&self) {
        for (number, admission) in &*self.around.admissions.borrow() {
            let (active, pending) = (admission.active(), admission.pending());
            if active + pending > 0 {
                self.ledger.violation(format!(
                    "{active} places of server {number} are taken, {pending} wait for one"
                ));
            }
        }
        for (index, proxy) in self.proxies.iter().enumerate() {
            let now = proxy.now.borrow();
            let queued: usize = now
                .servers
                .iter()
                .filter_map(|server| server.door())
                .map(|door| door.waiters.len())
                .sum();
            if queued > 0 {
                self.ledger
                    .violation(format!("shard {index}: {queued} tasks stand in line"));
            }
        }
    }

    /// Holds what arrived against what was paid for.
    pub(super) fn judge_budgets(&self) {
        let registry = self.registry.borrow();
        let mut services: BTreeMap<String, u64> = BTreeMap::new();
        for (_, name) in registry.services.keys() {
            let name = name.to_string();
            let short = name.strip_prefix("/svc/").unwrap_or(&name).to_owned();
            *services.entry(short).or_default() += 1;
        }
        let policy = self.plan.policy(0);
        let sum = |of: &dyn Fn(&Router) -> u64| -> u64 {
            self.proxies.iter().map(|proxy| of(&proxy.router())).sum()
        };
        let run = rules::Run {
            trusty: self.plan.is_trusty(),
            ran_ns: self.net.now(),
            retries: policy.retries,
            requeues: policy.requeues,
            services,
            clients: registry.clients.len() as u64,
            counted_retries: sum(&|router| {
                let stats = &router.stats;
                stats.retries.get() - stats.requeues.get() - stats.stale.get()
            }),
            counted_requeues: sum(&|router| router.stats.requeues.get()),
            counted_hedges: sum(&|router| router.stats.hedges.get()),
        };
        drop(registry);
        rules::judge(&self.ledger, &run);
    }

    /// How often the rarer ways through the router were taken, in the order of `REACHED`.
    pub(super) fn reached(&self) -> [u64; REACHED.len()] {
        let mut sums = [0; REACHED.len()];
        for proxy in &self.proxies {
            let router = proxy.router();
            let (stats, shard) = (&router.stats, proxy.shard.counters());
            let refusals = stats.snapshot().refusals;
            let refused = |reason| refusals.get(reason).copied().unwrap_or(0);
            let counts = [
                stats.reuses.get(),
                stats.retries.get(),
                stats.handed_over.get(),
                stats.truncated.get(),
                stats.client_gone.get(),
                shard.driver.no_buffers,
                0,
                0,
                0,
                stats.requeues.get(),
                refused("deadline-exceeded"),
                refused("request-timeout"),
                refused("overloaded"),
                refused("too-many-waiters"),
                stats.hedges.get(),
                stats.hedges_won.get(),
            ];
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        sums[6..9].copy_from_slice(&self.reloaded);
        let again = |(_, asked): &(u64, crate::ledger::Asked)| {
            asked.body_len > 0 && asked.arrivals.iter().filter(|one| one.whole).count() > 1
        };
        let seen = &self.seen;
        sums[16..].copy_from_slice(&[
            seen.waits_for_room,
            seen.waits_for_place,
            seen.ejections,
            seen.probes,
            seen.ejected_sets,
            self.ledger.all().iter().filter(|one| again(one)).count() as u64,
        ]);
        sums
    }
}

fn is_open(endpoint: &ringlink::balance::Endpoint, now: u64) -> bool {
    endpoint.status(now) == Status::Open
}
