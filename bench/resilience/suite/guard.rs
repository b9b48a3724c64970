//! Overload protection in front of a service: the adaptive limit, the places that it grants, and a
//! queue for each shard with CoDel.

use std::collections::VecDeque;

use ringlink::resilience::admission::{Admission, AdmissionConfig, Admitted};
use ringlink::resilience::codel::{Codel, Order};
use ringlink::resilience::limit::Limit;

use super::clock::MS;
use super::policy::Guarding;
use super::world::{Answer, Event, World};

/// See the module's head.
pub struct Guard {
    pub limit: Option<Limit>,
    admission: Admission,
    config: AdmissionConfig,
    queues: Vec<Queue>,
}

struct Queue {
    codel: Codel,
    /// Calls, and since when they wait; the oldest first.
    waiting: VecDeque<(usize, u64)>,
}

impl Guard {
    pub fn new(config: &Guarding, shards: usize) -> Guard {
        let queue = |_| Queue {
            codel: Codel::new(&config.codel),
            waiting: VecDeque::new(),
        };
        Guard {
            limit: config.limit.as_ref().map(Limit::new),
            admission: Admission::default(),
            config: config.admission.clone(),
            queues: (0..shards).map(queue).collect(),
        }
    }

    fn limits(&self) -> AdmissionConfig {
        let limit = self.limit.as_ref().map_or(u32::MAX, Limit::current);
        AdmissionConfig {
            max_concurrent: limit.min(self.config.max_concurrent),
            ..self.config
        }
    }

    /// Whom a free place goes to, of a shard's queue or the next one's that has somebody, and
    /// whether it is served.
    fn next(&mut self, shard: usize, now: u64) -> Option<(usize, bool)> {
        let limits = self.limits();
        let count = self.queues.len();
        let shards = (0..count).map(|n| (shard + n) % count);
        let shard = { shards }.find(|shard| !self.queues[*shard].waiting.is_empty())?;
        if !self.admission.promote(&limits) {
            return None;
        }
        let Queue { codel, waiting } = &mut self.queues[shard];
        let oldest = waiting.front()?.1;
        let (call, since) = match codel.order() {
            Order::OldestFirst => waiting.pop_front(),
            Order::NewestFirst => waiting.pop_back(),
        }?;
        let is_served = codel.serves(since, oldest, now);
        if !is_served {
            self.admission.leave();
        }
        Some((call, is_served))
    }

    /// Somebody who has waited for too long.
    fn impatient(&mut self, now: u64) -> Option<usize> {
        let is_late = |queue: &Queue| {
            let oldest = queue.waiting.front();
            oldest.is_some_and(|(_, since)| now - since > queue.codel.patience_ns())
        };
        let queue = self.queues.iter_mut().find(|queue| is_late(queue))?;
        self.admission.give_up();
        queue.waiting.pop_front().map(|(call, _)| call)
    }
}

impl World {
    /// A call comes to the guard, if there is one.
    pub fn guard(&mut self, id: usize) {
        let now = self.clock.now();
        let (tier, proxy) = (self.calls[id].tier, self.calls[id].proxy);
        let shard = self.calls[id].shard;
        let Some(guard) = &mut self.proxies[tier][proxy].guard else {
            return self.admit(id);
        };
        match guard.admission.enter(&guard.limits()) {
            Admitted::In => {
                let _served = guard.queues[shard].codel.serves(now, now, now);
                self.admit(id);
            }
            Admitted::Waits => {
                guard.queues[shard].waiting.push_back((id, now));
                for after in [10 * MS + 1, 100 * MS + 1] {
                    self.clock.after(after, Event::Patience(tier, proxy));
                }
            }
            Admitted::Refused => self.finish(id, Answer::Final),
        }
    }

    /// A call is over: its place goes to who waits.
    pub fn leave(&mut self, id: usize, answer: Answer) {
        let now = self.clock.now();
        let random = self.rng.next_u64();
        let call = &self.calls[id];
        let (tier, proxy, shard) = (call.tier, call.proxy, call.shard);
        let timed_out = now >= call.due;
        let (Some(admitted), Some(guard)) = (call.admitted, &mut self.proxies[tier][proxy].guard)
        else {
            return self.unqueue(id);
        };
        if let Some(limit) = &guard.limit
            && (answer == Answer::Success || timed_out)
        {
            limit.record(now - admitted, guard.admission.active(), now, random);
        }
        guard.admission.leave();
        self.sweep(tier, proxy);
        while let Some(guard) = &mut self.proxies[tier][proxy].guard
            && let Some((call, is_served)) = guard.next(shard, now)
        {
            if is_served {
                self.admit(call);
            } else {
                self.finish(call, Answer::Final);
            }
        }
    }

    /// Drops who has waited for too long.
    pub fn sweep(&mut self, tier: usize, proxy: usize) {
        let now = self.clock.now();
        while let Some(guard) = &mut self.proxies[tier][proxy].guard
            && let Some(call) = guard.impatient(now)
        {
            self.finish(call, Answer::Final);
        }
    }

    /// A call that never got in is over: it waits no longer, if it did.
    fn unqueue(&mut self, id: usize) {
        let call = &self.calls[id];
        let shard = call.shard;
        let Some(guard) = &mut self.proxies[call.tier][call.proxy].guard else {
            return;
        };
        let waiting = &mut guard.queues[shard].waiting;
        if let Some(at) = waiting.iter().position(|(waits, _)| *waits == id) {
            waiting.remove(at);
            guard.admission.give_up();
        }
    }
}
