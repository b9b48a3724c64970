//! What happens to a world, and how it ends: things are disturbed, the faults stop, the shards drain or stop, a well-behaved client asks once more,
//! and everything must have been given back.

use super::*;

impl World {
    /// The time of faults: hosts vanish and return, connections break, the proxy is told to end.
    pub(super) fn disturb(&mut self) {
        let start = self.net.now();
        let stop = start + self.plan.fault_time;
        let mut acts: Vec<(u64, u64)> = Vec::new();
        if !self.plan.calm && self.rng.percent(40) {
            for _ in 0..self.rng.between(1, 9) {
                let act = match self.rng.next() % 9 {
                    act @ 0..5 if !self.plan.is_trusty() => act,
                    act => act % 3 + 6,
                };
                acts.push((start + self.rng.between(1, self.plan.fault_time), act));
            }
        }
        if self.plan.reloads {
            for _ in 0..self.rng.between(1, 30) {
                acts.push((start + self.rng.between(1, self.plan.fault_time), 5));
            }
        }
        if let Ending::Drain(after) | Ending::Stop(after) = self.plan.ending {
            acts.push((start + after, 10));
        }
        acts.sort_unstable();
        let mut ended = false;
        for (time, act) in acts {
            self.run(time, |_| false);
            ended |= act == 10;
            let index = self.rng.index(self.plan.backends);
            let victim = backend_addr(index);
            self.ledger.tell(|| format!("act {act} on {victim}"));
            match act {
                0 => self.net.blackhole(victim, true),
                1 => self.net.blackhole(victim, false),
                2 => self.net.refuse(victim, true),
                3 => self.net.reset_peer(victim),
                4 => self.net.reset_peer(proxy_addr()),
                5 if ended => {}
                5 => self.reload(),
                // The backends' bits are those of their last bytes.
                6 => self
                    .manners
                    .sick
                    .set(self.manners.sick.get() ^ (2 << index)),
                7 => self.net.refuse(victim, true),
                8 => self.net.refuse(victim, false),
                _ => match self.plan.ending {
                    Ending::Stop(_) => self.stop(),
                    _ => self.drain(),
                },
            }
        }
        self.run(stop, |_| false);
    }

    pub(super) fn quieten(&mut self) {
        self.ledger.tell(|| "the faults stop".to_owned());
        self.net.set_faults(Faults::none());
        self.manners.mishaps.set(0);
        self.manners.failing.set(0);
        self.manners.sick.set(0);
        for index in 0..self.plan.backends {
            self.net.blackhole(backend_addr(index), false);
            self.net.refuse(backend_addr(index), false);
        }
        self.settled.set(true);
    }

    pub(super) fn drain(&mut self) {
        for proxy in &self.proxies {
            drop(proxy.mail.send(Mail::Drain));
        }
    }

    pub(super) fn stop(&mut self) {
        for proxy in &self.proxies {
            proxy.shard.stop();
            proxy.shard.run().expect("the simulation never fails");
        }
    }

    /// A client that does everything right, against a world without faults, on every shard.
    pub(super) fn probe(&mut self) {
        self.manners.closes.set(false);
        // What backends closed before has been seen by now.
        let rest = self.net.now() + 8 * SECOND;
        self.run(rest, |_| false);
        let before: Vec<u64> = self.requests();
        for _ in 0..60 {
            let wish = client::Wish {
                service: "u",
                style: Style::SlowWriter,
                must_succeed: self.plan.policy(0).is_lenient,
                is_alone: true,
                deadline: None,
            };
            let items = (0..2)
                .map(|_| client::item(&mut self.rng, &self.ledger, &wish))
                .collect();
            self.spawn_client(Script {
                remote: proxy_addr(),
                start: self.net.now(),
                items,
                pipelined: false,
                read_pause: 0,
                leave: Leave::Never,
                stays: false,
            });
            let until = self.net.now() + 30 * SECOND;
            if !self.run(until, |world| world.busy.get() == 0) {
                self.ledger
                    .violation("a well-behaved client waits for an answer".to_owned());
                return;
            }
            if self
                .requests()
                .iter()
                .zip(&before)
                .all(|(now, before)| now > before)
            {
                return;
            }
        }
        self.ledger
            .violation("a shard takes no connections any more".to_owned());
    }

    pub(super) fn requests(&self) -> Vec<u64> {
        let routers = self.proxies.iter().map(ProxyShard::router);
        routers.map(|router| router.stats.requests.get()).collect()
    }

    /// Drains the proxy, lets it rest, and looks what it still holds.
    pub(super) fn end(&mut self) {
        let stopped = matches!(self.plan.ending, Ending::Stop(_));
        if self.plan.ending == Ending::Quiet {
            self.drain();
        }
        let until = self.net.now() + 60 * SECOND;
        let drained = self.run(until, |world| {
            !world.proxies.iter().any(ProxyShard::is_busy)
        });
        if !drained {
            self.ledger.violation("the proxy does not drain".to_owned());
        }
        self.judge_places();
        // Idle connections to backends grow old.
        let rest = self.net.now() + 10 * SECOND;
        self.run(rest, |_| false);
        for proxy in self.proxies.iter().filter(|_| stopped) {
            // The reaper was stopped with everything else.
            proxy.router().clients.reap();
        }
        self.run(rest + SECOND, |_| false);
        self.answer_wishes();
        for index in 0..self.proxies.len() {
            self.left_over(index);
        }
        let open = self.net.open_sockets(Role::Proxy);
        if open > 0 && !stopped {
            self.ledger
                .violation(format!("the proxy has {open} descriptors open"));
        }
        for endpoint in &self.registry.borrow().all {
            let outstanding = endpoint.outstanding();
            if outstanding > 0 {
                let addr = endpoint.addr;
                self.ledger
                    .violation(format!("{outstanding} requests outstanding at {addr}"));
            }
        }
    }

    pub(super) fn left_over(&self, index: usize) {
        let proxy = &self.proxies[index];
        let router = proxy.router();
        let stats = &router.stats;
        let counters = proxy.shard.counters();
        let zeroes = [
            (
                "buffers are missing",
                proxy.pool.count() - proxy.pool.free_count(),
            ),
            ("operations are in flight", proxy.shard.ops_in_flight()),
            ("sockets are open", proxy.shard.sockets()),
            ("requests are active", stats.active_requests.get() as usize),
            ("connections are active", usize::from(proxy.is_busy())),
            ("replaced routers are held", proxy.held()),
            (
                "names of replaced routers are asked for",
                self.asked_in_vain(index),
            ),
            ("connections are idle", router.clients.idle_connections()),
            ("requests wait for room", router.clients.waiters()),
            ("tasks panicked", counters.panics as usize),
        ];
        for (what, count) in zeroes {
            if count > 0 {
                self.ledger
                    .violation(format!("shard {index}: {count} {what}"));
            }
        }
    }
}
