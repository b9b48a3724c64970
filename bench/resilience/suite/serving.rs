//! The replica's side of an attempt: waiting for a worker, work, and what it calls in turn.

use ringlink::balance::rng::scale;
use ringlink::resilience::deadline;

use super::server::ERROR_NS;
use super::world::{Answer, Attempt, Call, Event, WIRE_NS, World};

impl World {
    /// An attempt reaches its replica.
    pub fn reach(&mut self, attempt: usize) {
        let (now, elapsed, counts) = (self.clock.now(), self.elapsed(), self.counts());
        let Attempt {
            call, server, sent, ..
        } = self.attempts[attempt];
        let tier = &mut self.plan.tiers[self.calls[call].tier];
        let connect_timeout = tier.policy.connect_timeout;
        let server = &mut tier.servers[server];
        server.arrived += u64::from(counts);
        if server.vanished(elapsed) {
            let at = sent.saturating_add(connect_timeout);
            self.clock
                .at(at, Event::Answer(attempt, Answer::Unconnected));
        } else if server.refuses(elapsed) {
            let event = Event::Answer(attempt, Answer::Unconnected);
            self.clock.at(now + WIRE_NS, event);
        } else if server.errs(elapsed, &mut self.rng) {
            let event = Event::Answer(attempt, Answer::Error);
            self.clock.at(now + ERROR_NS + WIRE_NS, event);
        } else if server.busy < server.workers {
            self.work(attempt);
        } else {
            server.queue.push_back(attempt);
        }
    }

    /// A worker begins with an attempt, unless that is known to be late.
    fn work(&mut self, attempt: usize) {
        let (now, elapsed) = (self.clock.now(), self.elapsed());
        let Attempt { call, server, .. } = self.attempts[attempt];
        let Call { tier, due, .. } = self.calls[call];
        let tier = &mut self.plan.tiers[tier];
        if tier.policy.deadlines && deadline::left(due, now).is_none() {
            let event = Event::Answer(attempt, Answer::Final);
            return self.clock.after(WIRE_NS, event);
        }
        let server = &mut tier.servers[server];
        let work = server.draw(elapsed, &mut self.rng);
        let took = server.finish(elapsed, work) - elapsed;
        server.busy += 1;
        self.attempts[attempt].work = work;
        self.clock.after(took, Event::Worked(attempt));
    }

    /// The work of an attempt is done.
    pub fn worked(&mut self, attempt: usize) {
        let Attempt {
            call, server, work, ..
        } = self.attempts[attempt];
        let Call { tier, root, .. } = self.calls[call];
        self.stats.worked(tier, work, self.calls[root].over);
        self.plan.tiers[tier].servers[server].busy -= 1;
        while let Some(next) = self.waiting(tier, server) {
            self.work(next);
        }
        if tier + 1 < self.plan.tiers.len() {
            let proxy = scale(self.rng.next_u64(), self.plan.tiers[tier + 1].proxies);
            self.call(tier + 1, proxy, Some(attempt));
        } else {
            let event = Event::Answer(attempt, Answer::Success);
            self.clock.after(WIRE_NS, event);
        }
    }

    /// Who is next in the queue of a replica that has a worker free.
    fn waiting(&mut self, tier: usize, server: usize) -> Option<usize> {
        let server = &mut self.plan.tiers[tier].servers[server];
        if server.busy < server.workers {
            server.queue.pop_front()
        } else {
            None
        }
    }
}
