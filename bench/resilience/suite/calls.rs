//! The client's side of a call: attempts, what comes of them, and when to try again.

use std::net::SocketAddr;

use ringlink::balance::Outcome;
use ringlink::balance::rng::scale;
use ringlink::resilience::backoff;
use ringlink::resilience::deadline::{self, Clocks, Deadline, MAX_TEXT, NEVER};
use ringlink::resilience::gate::Status;

use super::clock::SEC;
use super::picker::server;
use super::policy::Reconnect;
use super::world::{Answer, Attempt, Call, Event, WIRE_NS, World};

impl World {
    /// A call of a tier begins, by a client or by the work of an attempt of the tier before.
    pub fn call(&mut self, tier: usize, proxy: usize, parent: Option<usize>) {
        let now = self.clock.now();
        let id = self.calls.len();
        let policy = &self.plan.tiers[tier].policy;
        let inherited = match parent {
            Some(parent) if policy.deadlines => {
                passed_on(self.calls[self.attempts[parent].call].due, now)
            }
            _ => NEVER,
        };
        let timeout = Some(policy.total_timeout).filter(|timeout| *timeout != NEVER);
        let due = deadline::tighten(inherited, now, timeout);
        self.calls.push(Call {
            tier,
            proxy,
            shard: scale(self.rng.next_u64(), self.plan.tiers[tier].shards),
            parent,
            root: parent.map_or(id, |parent| self.calls[self.attempts[parent].call].root),
            started: now,
            admitted: None,
            due,
            attempts: Vec::new(),
            retries: 0,
            reconnects: 0,
            place: backoff::Place::default(),
            open: 0,
            over: false,
        });
        if due != NEVER {
            self.clock.at(due, Event::Due(id));
        }
        self.stats.called(tier, self.counts());
        self.guard(id);
    }

    /// A call that may come in.
    pub fn admit(&mut self, id: usize) {
        let now = self.clock.now();
        self.calls[id].admitted = Some(now);
        let Call { tier, proxy, .. } = self.calls[id];
        let at = &self.proxies[tier][proxy];
        if let Some(budget) = &at.retries {
            budget.deposit(now);
        }
        if let Some(delay) = at.hedge.as_ref().and_then(|hedge| hedge.delay_ns()) {
            self.clock.after(delay, Event::Hedge(id));
        }
        self.attempt(id, None);
    }

    /// Sends a call to a replica: to this one, if it is said.
    fn attempt(&mut self, id: usize, again: Option<usize>) {
        let now = self.clock.now();
        let Call {
            tier, proxy, shard, ..
        } = self.calls[id];
        let tried = self.calls[id].attempts.iter();
        let tried: Vec<SocketAddr> = tried.map(|a| self.attempts[*a].endpoint.addr).collect();
        let at = &mut self.proxies[tier][proxy];
        let picked = match again {
            Some(server) => at.set.endpoints.get(server).cloned(),
            None => at.shards[shard].pick(now, &mut self.rng, &tried),
        };
        let Some(endpoint) = picked else {
            return self.finish(id, Answer::Final);
        };
        let probe = at.accrual.is_some() && endpoint.accrual().begin_probe(now);
        let despite = !probe && endpoint.accrual().status(now) == Status::Busy;
        at.shards[shard].begin(&endpoint, now);
        let attempt = self.attempts.len();
        self.attempts.push(Attempt {
            call: id,
            server: server(endpoint.addr),
            endpoint,
            sent: now,
            probe,
            despite,
            over: false,
            work: 0,
        });
        self.calls[id].attempts.push(attempt);
        self.calls[id].open += 1;
        self.stats.attempted(tier, self.elapsed(), self.counts());
        self.clock.after(WIRE_NS, Event::Reach(attempt));
    }

    /// What came of an attempt has reached the proxy.
    pub fn settle(&mut self, attempt: usize, answer: Answer) {
        if self.attempts[attempt].over {
            return;
        }
        let id = self.attempts[attempt].call;
        self.release(attempt, Some(answer));
        if answer == Answer::Success {
            self.finish(id, answer);
        } else if self.calls[id].open == 0 {
            self.failed(id, attempt, answer);
        }
    }

    /// An attempt is over as far as the proxy is concerned; without an answer, nobody waits for it.
    fn release(&mut self, attempt: usize, answer: Option<Answer>) {
        let now = self.clock.now();
        let random = self.rng.next_u64();
        let Attempt {
            call,
            ref endpoint,
            sent,
            probe,
            despite,
            ..
        } = self.attempts[attempt];
        let Call {
            tier, proxy, shard, ..
        } = self.calls[call];
        let revives = self.plan.tiers[tier].policy.revives;
        let at = &mut self.proxies[tier][proxy];
        let outcome = match answer {
            Some(Answer::Success) => Outcome::Success,
            Some(_) => Outcome::Failure,
            None => Outcome::Abandoned,
        };
        let picker = &mut at.shards[shard];
        picker.end(endpoint, outcome, now - sent, now);
        match answer {
            Some(Answer::Unconnected) => picker.failed(endpoint, now),
            Some(_) => endpoint.mark_reachable(),
            None => {}
        }
        if let Some(accrual) = &at.accrual {
            let cell = endpoint.accrual();
            match outcome {
                Outcome::Success if despite && revives => {
                    accrual.on_success_despite(cell, now);
                }
                Outcome::Success => drop(accrual.on_success(cell, now, probe)),
                Outcome::Failure => drop(accrual.on_failure(cell, now, random, probe)),
                Outcome::Abandoned => cell.on_ignored(probe),
            }
        }
        let is_first = self.calls[call].attempts.first() == Some(&attempt);
        if let Some(hedge) = at.hedge.as_ref().filter(|_| is_first) {
            hedge.record(now - sent, now);
        }
        if outcome == Outcome::Success
            && let Some(budget) = &at.requeues
        {
            budget.deposit(now);
        }
        self.attempts[attempt].over = true;
        self.calls[call].open -= 1;
    }

    /// All attempts of a call have failed, this one last.
    fn failed(&mut self, id: usize, attempt: usize, answer: Answer) {
        if self.calls[id].over {
            return;
        }
        match answer {
            Answer::Unconnected => self.reconnect(id, attempt),
            Answer::Error => self.retry(id),
            Answer::Final | Answer::Success => self.finish(id, answer),
        }
    }

    fn reconnect(&mut self, id: usize, attempt: usize) {
        let now = self.clock.now();
        let call = &self.calls[id];
        let tier = &self.plan.tiers[call.tier];
        let again = match &tier.policy.reconnect {
            Reconnect::Never => None,
            Reconnect::Budget(_) => {
                let budget = self.proxies[call.tier][call.proxy].requeues.as_ref();
                let pays = budget.is_some_and(|budget| {
                    u64::from(call.reconnects) < budget.requeues_per_request(now)
                        && budget.withdraw(now)
                });
                pays.then_some((0, None))
            }
            Reconnect::Same(most, after) => {
                let server = Some(self.attempts[attempt].server);
                (call.reconnects < *most).then_some((*after, server))
            }
            Reconnect::Others => Some((0, None)),
        };
        match again {
            None => self.finish(id, Answer::Error),
            Some((after, server)) => {
                self.calls[id].reconnects += 1;
                self.stats.retried(self.elapsed());
                self.clock.after(after, Event::Again(id, server));
            }
        }
    }

    fn retry(&mut self, id: usize) {
        let now = self.clock.now();
        let random = self.rng.next_u64();
        let call = &mut self.calls[id];
        let Some(retry) = &self.plan.tiers[call.tier].policy.retry else {
            return self.finish(id, Answer::Error);
        };
        let budget = self.proxies[call.tier][call.proxy].retries.as_ref();
        let pays = budget.is_none_or(|budget| budget.withdraw(now));
        if call.retries < retry.most && pays {
            call.retries += 1;
            let delay = retry.backoff.next(&mut call.place, random);
            self.stats.retried(self.elapsed());
            self.clock.after(delay, Event::Again(id, None));
        } else {
            let last = if retry.once_in_chain {
                Answer::Final
            } else {
                Answer::Error
            };
            self.finish(id, last);
        }
    }

    /// The time for another try has come.
    pub fn again(&mut self, id: usize, server: Option<usize>) {
        if !self.calls[id].over {
            self.attempt(id, server);
        }
    }

    /// A call takes longer than most.
    pub fn hedge(&mut self, id: usize) {
        let now = self.clock.now();
        let call = &self.calls[id];
        if call.over || call.attempts.len() > 1 {
            return;
        }
        let budget = self.proxies[call.tier][call.proxy].retries.as_ref();
        if budget.is_some_and(|budget| budget.withdraw(now)) {
            self.attempt(id, None);
        }
    }

    /// A call's time is up.
    pub fn expire(&mut self, id: usize) {
        if !self.calls[id].over {
            self.finish(id, Answer::Error);
        }
    }

    /// A call is over.
    pub fn finish(&mut self, id: usize, answer: Answer) {
        self.calls[id].over = true;
        for at in 0..self.calls[id].attempts.len() {
            let attempt = self.calls[id].attempts[at];
            if !self.attempts[attempt].over {
                self.release(attempt, None);
            }
        }
        let now = self.clock.now();
        let call = &self.calls[id];
        match call.parent {
            // A late answer is dropped where it arrives.
            Some(parent) => self.clock.after(WIRE_NS, Event::Answer(parent, answer)),
            None => self.stats.finished(call, answer == Answer::Success, now),
        }
        self.leave(id, answer);
    }
}

/// A deadline as the next hop reads it, by way of its header.
fn passed_on(due: u64, now: u64) -> u64 {
    let clocks = Clocks {
        // All hosts agree on the time of day.
        wall_ns: now + 1_000_000 * SEC,
        monotonic_ns: now,
    };
    let text = |deadline: Deadline| {
        let mut buffer = [0; MAX_TEXT];
        Deadline::parse(deadline.write(&mut buffer))
    };
    Deadline::from_due(due, clocks)
        .and_then(text)
        .map_or(NEVER, |deadline| deadline.due(clocks))
}
