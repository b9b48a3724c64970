//! One seed's world: proxy shards with real routers, clients and backends on a shard of their own,
//! a resolver, and whoever switches faults on and off.

mod ending;
mod health;
mod reload;
mod slow;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringlink::config;
use ringlink::config::resolved::{ClientParams, Policies, ServiceParams};
use ringlink::engine::driver::sim::{Faults, Role, SimNetwork};
use ringlink::engine::driver::{Driver, Fd, ListenOptions};
use ringlink::engine::mailbox::{Receiver, Sender, mailbox};
use ringlink::engine::{BufPool, Listener, Shard};
use ringlink::naming::Dtab;
use ringlink::router::ask::{Told, Wish};
use ringlink::router::server::Loads;
use ringlink::router::{Router, Surroundings};

use crate::backend::{self, Manners};
use crate::chance::Rng;
use crate::client::{self, Item, Leave, Script, Style};
use crate::ledger::Ledger;
use crate::plan::{Ending, Plan};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// After the faults stop, everything that is under way ends within this time.
const SETTLE: u64 = 150 * SECOND;
/// Rounds of the world's loop at one moment; more mean that somebody turns for nothing.
const ROUNDS: u32 = 200_000;

enum Mail {
    Accepted(usize, Fd),
    Told(usize, Told),
    Reload(Box<reload::Change>),
    Drain,
}

struct ProxyShard {
    shard: Shard,
    pool: Rc<BufPool>,
    now: Rc<RefCell<reload::Now>>,
    mail: Sender<Mail>,
    driver: usize,
}

impl ProxyShard {
    fn router(&self) -> Rc<Router> {
        Rc::clone(&self.now.borrow().router)
    }

    /// Routers that were replaced and still live.
    fn held(&self) -> usize {
        let now = self.now.borrow();
        now.left
            .values()
            .filter(|router| router.strong_count() > 0)
            .count()
    }

    /// Whether it has client connections.
    fn is_busy(&self) -> bool {
        self.now
            .borrow()
            .servers
            .iter()
            .any(|server| !server.connections.borrow().is_empty())
    }
}

pub struct World {
    plan: Plan,
    pub net: SimNetwork,
    pub ledger: Rc<Ledger>,
    proxies: Vec<ProxyShard>,
    peer: Shard,
    peer_driver: usize,
    rng: Rng,
    /// What shards wish to know and were not told yet.
    wishes: Rc<RefCell<Vec<(usize, usize, Wish)>>>,
    dtab: Dtab,
    policies: Rc<(Policies<ClientParams>, Policies<ServiceParams>)>,
    around: Rc<reload::Around>,
    /// Routers and servers made so far, on each shard.
    numbers: usize,
    reloaded: [u64; 3],
    registry: Rc<RefCell<slow::Registry>>,
    /// What was seen while it ran.
    seen: health::Seen,
    /// Clients that are not done.
    busy: Rc<Cell<usize>>,
    settled: Rc<Cell<bool>>,
    manners: Rc<Manners>,
    rounds: u32,
}

/// What must not stay untried over many seeds.
pub const REACHED: [&str; 22] = [
    "reuses",
    "retries",
    "hand-overs",
    "truncated responses",
    "clients gone",
    "receives without buffer",
    "reloads",
    "routers replaced",
    "servers gone and back",
    "requeues",
    "deadlines exceeded",
    "timeouts",
    "overloads",
    "rooms full",
    "hedges",
    "hedges won",
    "waits for room",
    "waits for a place",
    "ejections",
    "probes",
    "most replicas ejected",
    "bodies sent again",
];

/// What a run came to.
pub struct Report {
    pub hash: u64,
    pub tally: [u64; 4],
    pub reached: [u64; 22],
    pub violations: Vec<String>,
}

fn proxy_addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1], 4140))
}

fn backend_addr(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 9, 0, index as u8 + 1], 80))
}

impl World {
    pub fn new(plan: Plan, verbose: bool) -> World {
        let net = SimNetwork::new(plan.seed, plan.faults.clone());
        let ledger = Rc::new(Ledger::default());
        if verbose {
            net.keep_trace(100_000);
            ledger.verbose.set(true);
        }
        let driver = net.driver(Role::Peer);
        let peer_driver = driver.id();
        let pool = BufPool::new(4096, 8192).expect("address space");
        let peer = Shard::new(100, Driver::Sim(Box::new(driver)), pool);
        let mut mild = Rng::new(plan.seed ^ 0x1234);
        let manners = Rc::new(Manners {
            seed: plan.seed,
            mishaps: Cell::new(plan.mishaps),
            failing: Cell::new(plan.failing),
            sick: Cell::new(0),
            closes: Cell::new(!plan.calm),
            early: mild.pick(&[10, 10, 60]),
            until_close: mild.pick(&[5, 20, 80]),
            slow: mild.pick(&[10, 10, 60]),
            think_ms: if plan.seed.is_multiple_of(3) { 300 } else { 5 },
        });
        let mut rng = Rng::new(plan.seed ^ 0xABCD);
        rng.large = plan.large;
        let shards = plan.shards;
        let around = Rc::new(reload::Around {
            wishes: Rc::default(),
            mails: Rc::default(),
            admissions: Rc::default(),
            loads: Loads::new(shards, plan.max_connections),
            seed: plan.seed,
        });
        let mut world = World {
            wishes: Rc::clone(&around.wishes),
            around,
            numbers: 1,
            reloaded: [0; 3],
            rng,
            plan,
            net,
            ledger,
            proxies: Vec::new(),
            peer,
            peer_driver,
            dtab: Dtab::empty(),
            policies: Rc::default(),
            registry: Rc::default(),
            seen: health::Seen::default(),
            busy: Rc::default(),
            settled: Rc::default(),
            manners,
            rounds: 0,
        };
        world.start_backends();
        world.start_proxies();
        world
    }

    fn start_backends(&mut self) {
        for index in 0..self.plan.backends {
            let options = ListenOptions {
                backlog: 100,
                reuse_port: false,
                no_delay: true,
            };
            let listener = Listener::bind(&self.peer, backend_addr(index), options);
            let listener = listener.expect("a free address");
            self.peer.spawn(backend::listen(
                self.peer.clone(),
                listener,
                Rc::clone(&self.ledger),
                Rc::clone(&self.manners),
            ));
        }
    }

    fn start_proxies(&mut self) {
        let config = config::load(&self.plan.yaml(0)).expect("a valid configuration");
        let config = Arc::new(config.routers[0].clone());
        self.dtab = config.dtab.clone();
        self.govern(0);
        self.policies = Rc::new((config.client.clone(), config.service.clone()));
        for id in 0..self.plan.shards {
            let driver = self.net.driver(Role::Proxy);
            let driver_id = driver.id();
            let (count, size) = self.plan.buffers;
            let pool = BufPool::new(count, size).expect("address space");
            let shard = Shard::new(id, Driver::Sim(Box::new(driver)), Rc::clone(&pool));
            let (mail, inbox) = mailbox(&shard, 64);
            self.around.mails.borrow_mut().push(mail.clone());
            let now = reload::Now::first(&shard, &self.around, &config);
            let now = Rc::new(RefCell::new(now));
            shard.spawn(reload::read_mail(
                shard.clone(),
                Rc::clone(&now),
                Rc::clone(&self.around),
                inbox,
            ));
            self.proxies.push(ProxyShard {
                shard,
                pool,
                now,
                mail,
                driver: driver_id,
            });
        }
    }

    /// A policy is in force from now on.
    fn govern(&self, variant: u64) {
        let policy = self.plan.policy(variant);
        self.ledger.tell(|| format!("policy: {policy:?}"));
        let mut bounds = self.ledger.bounds.get();
        bounds.widen(policy.bounds);
        self.ledger.bounds.set(bounds);
    }

    /// Turns everything until `done` or the time has come; false if the time came first.
    fn run(&mut self, until: u64, done: impl Fn(&World) -> bool) -> bool {
        loop {
            let mut order: Vec<usize> = (0..=self.proxies.len()).collect();
            for index in 0..order.len() {
                order.swap(index, self.rng.index(index + 1));
            }
            let mut progress = false;
            for index in order {
                let shard = match index.checked_sub(1) {
                    None => &self.peer,
                    Some(index) => &self.proxies[index].shard,
                };
                progress |=
                    shard.turn(false).expect("the simulation never fails") | shard.has_work();
            }
            self.answer_wishes();
            let ready = |driver| self.net.has_ready(driver);
            progress |= ready(self.peer_driver) || self.peer.has_work();
            progress |= self.proxies.iter().any(|proxy| ready(proxy.driver));
            if progress {
                self.rounds += 1;
                assert!(
                    self.rounds < ROUNDS,
                    "the world turns without its time moving"
                );
                continue;
            }
            self.rounds = 0;
            self.look();
            if done(self) {
                return true;
            }
            let now = self.net.now();
            if now >= until {
                return false;
            }
            let timers = self
                .proxies
                .iter()
                .map(|proxy| &proxy.shard)
                .chain([&self.peer]);
            let next = timers
                .filter_map(Shard::next_timer)
                .chain(self.net.next_event())
                .min();
            let next = next.unwrap_or(until).clamp(now + 1, until.max(now + 1));
            self.net.advance_to(next);
            self.ledger.now.set(self.net.now());
        }
    }

    fn spawn_client(&mut self, script: Script) {
        let busy = Rc::clone(&self.busy);
        busy.set(busy.get() + 1);
        let playing = client::play(self.peer.clone(), Rc::clone(&self.ledger), script);
        self.peer.spawn(async move {
            playing.await;
            busy.set(busy.get() - 1);
        });
    }

    fn service(&mut self) -> &'static str {
        if !self.plan.calm && self.rng.percent(5) {
            return self.rng.pick(&["none", "nowhere"]);
        }
        self.rng.pick(&["a", "b", "u", "u", "lit"])
    }

    /// The deadline of a request of a connection that is begun then: when it was set, when it is.
    fn deadline(&mut self, start: u64) -> Option<(u64, u64)> {
        if !self.rng.percent(25) {
            return None;
        }
        let set = self.peer.wall_clock_ns() + (start - self.net.now());
        let given = match self.plan.calm {
            true => 300_000,
            false => self.rng.between(1, 2500),
        };
        Some((set, set + given * MILLI))
    }

    fn script(&mut self) -> Script {
        let calm = self.plan.calm;
        let style = match self.rng.next() % 100 {
            0..70 => Style::Plain,
            70..80 => Style::SlowWriter,
            _ if calm => Style::Plain,
            80..86 => Style::HalfHead,
            86..95 => Style::Malformed,
            _ => Style::BadBody,
        };
        let count = if style == Style::SlowWriter {
            1
        } else {
            self.rng.between(1, 6)
        };
        let start = self.net.now() + self.rng.between(0, self.plan.fault_time / 2);
        let mut items: Vec<Item> = Vec::new();
        for index in 0..count {
            let service = self.service();
            let last = index + 1 == count;
            let style = if last || style == Style::SlowWriter {
                style
            } else {
                Style::Plain
            };
            let wish = client::Wish {
                service,
                style,
                must_succeed: calm,
                is_alone: false,
                deadline: self.deadline(start),
            };
            items.push(client::item(&mut self.rng, &self.ledger, &wish));
        }
        let now = self.net.now();
        let leave = match self.rng.next() % 100 {
            _ if calm => Leave::Never,
            0..6 => Leave::At(now + self.rng.between(1, 3000) * MILLI),
            6..10 => Leave::Sent(self.rng.between(1, 3000) as usize),
            10..16 => Leave::Received(self.rng.between(1, 20_000) as usize),
            _ => Leave::Never,
        };
        Script {
            remote: proxy_addr(),
            start,
            items,
            pipelined: self.rng.percent(30),
            read_pause: if self.rng.percent(if self.plan.large { 60 } else { 15 }) {
                self.rng.between(1, 30) * MILLI
            } else {
                0
            },
            leave,
            stays: !calm && self.rng.percent(20),
        }
    }

    /// Plays the seed from beginning to end.
    pub fn play(&mut self) -> Report {
        for _ in 0..self.plan.clients {
            let script = self.script();
            self.spawn_client(script);
        }
        self.disturb();
        self.quieten();
        let started = self.net.now();
        let done = self.run(started + SETTLE, |world| world.busy.get() == 0);
        if !done {
            let busy = self.busy.get();
            self.ledger.violation(format!(
                "{busy} clients still wait long after the faults stopped"
            ));
        }
        if self.plan.ending == Ending::Quiet && done {
            self.probe();
        }
        self.end();
        self.ledger.judge();
        self.judge_budgets();
        for violation in self.net.violations() {
            self.ledger
                .violation(format!("the engine broke a rule: {violation}"));
        }
        if self.peer.counters().panics > 0 {
            self.ledger
                .violation("the test's own task panicked".to_owned());
        }
        let hash = self.net.trace_hash();
        // Tasks hold their shard: only ended ones let go of the memory.
        self.stop();
        self.peer.stop();
        self.peer.run().expect("the simulation never fails");
        Report {
            hash,
            tally: self.ledger.tally(),
            reached: self.reached(),
            violations: self.ledger.violations(),
        }
    }
}
