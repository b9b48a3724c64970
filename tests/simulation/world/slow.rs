//! The slow path of a world: binds names and finds replicas, late, in any order, and at times wrongly.
//!
//! It answers every wish from a task of its own and pays no heed to a wish that is withdrawn, so
//! that shards are told of names and replicas that they have forgotten, too.

use std::collections::HashMap;
use std::net::SocketAddr;

use ringlink::balance::{Endpoint, ReplicaSet};
use ringlink::config::resolved::{ClientParams, Policies, ServiceParams};
use ringlink::naming::{self, Addr, Path};
use ringlink::router::ask::{Asked, Binding, Replicas, Target};
use ringlink::router::door::Bounds;
use ringlink::router::shared::{ClientShared, ServiceShared};

use super::*;

/// What is registered, and every endpoint that ever was.
#[derive(Default)]
pub(super) struct Registry {
    /// What was asked for, of each shard and router, the last at most.
    asked: Vec<(usize, usize, Arc<Asked>)>,
    pub current: HashMap<Target, Arc<ReplicaSet>>,
    pub services: HashMap<(usize, Path), Arc<ServiceShared>>,
    pub clients: HashMap<(usize, Target), Arc<ClientShared>>,
    pub all: Vec<Arc<Endpoint>>,
}

/// What one answer is made from.
struct Answering {
    shard: Shard,
    mail: Sender<Mail>,
    router: usize,
    policies: Rc<(Policies<ClientParams>, Policies<ServiceParams>)>,
    registry: Rc<RefCell<Registry>>,
    settled: Rc<Cell<bool>>,
    backends: usize,
    flapping: bool,
    calm: bool,
    rng: Rng,
}

impl World {
    /// Answers what the shards want to know, each from a task of its own.
    pub(super) fn answer_wishes(&mut self) {
        let wishes = std::mem::take(&mut *self.wishes.borrow_mut());
        for (shard, router, wish) in wishes {
            match wish {
                Wish::Bind(asked) => {
                    let mut registry = self.registry.borrow_mut();
                    registry.asked.push((shard, router, Arc::clone(&asked)));
                    drop(registry);
                    let (dtab, answering) = (self.dtab.clone(), self.answering(shard, router));
                    self.peer.spawn(answering.bind(dtab, asked));
                }
                Wish::Watch(target) => {
                    let answering = self.answering(shard, router);
                    self.peer.spawn(answering.watch(target));
                }
                Wish::Unbind(asked) => {
                    let gone = (shard, router, asked);
                    self.registry.borrow_mut().asked.retain(|one| *one != gone);
                }
                Wish::Unwatch(_) | Wish::Leave => {}
            }
        }
    }

    fn answering(&mut self, shard: usize, router: usize) -> Answering {
        Answering {
            shard: self.peer.clone(),
            mail: self.proxies[shard].mail.clone(),
            router,
            policies: Rc::clone(&self.policies),
            registry: Rc::clone(&self.registry),
            settled: Rc::clone(&self.settled),
            backends: self.plan.backends,
            flapping: self.plan.flapping,
            calm: self.plan.calm,
            rng: Rng::new(self.rng.next()),
        }
    }

    /// How many names routers of a shard wish to know about that are gone.
    pub(super) fn asked_in_vain(&self, shard: usize) -> usize {
        let now = self.proxies[shard].now.borrow();
        let registry = self.registry.borrow();
        let gone = |(of, router, _): &&(usize, usize, Arc<Asked>)| {
            *of == shard && now.left.contains_key(router)
        };
        registry.asked.iter().filter(gone).count()
    }

    /// Binds everything that is asked for by the dtab of now.
    pub(super) fn bind_again(&mut self) {
        let asked = self.registry.borrow().asked.clone();
        for (shard, router, asked) in asked {
            let (dtab, answering) = (self.dtab.clone(), self.answering(shard, router));
            self.peer.spawn(answering.bind(dtab, asked));
        }
    }
}

impl Answering {
    async fn pause(&mut self, most_ms: u64) {
        let until = self.shard.now() + self.rng.between(0, most_ms) * MILLI;
        self.shard.sleep_until(until).await;
    }

    fn is_slow(&self) -> bool {
        self.flapping && !self.settled.get()
    }

    fn trouble(&mut self) -> bool {
        self.is_slow() && self.rng.percent(80)
    }

    async fn tell(&self, told: Told) {
        let mut mail = Mail::Told(self.router, told);
        while let Err(back) = self.mail.send(mail) {
            mail = back;
            self.shard.sleep_until(self.shard.now() + MILLI).await;
        }
    }

    /// What the shards share of a name comes before its binding.
    async fn share_service(&self, asked: &Arc<Asked>) {
        let shared = {
            let mut registry = self.registry.borrow_mut();
            let key = (self.router, asked.name.clone());
            let policy = self.policies.1.policy(&asked.name);
            let made = || ServiceShared::new(&policy, Bounds::default());
            Arc::clone(registry.services.entry(key).or_insert_with(made))
        };
        self.tell(Told::Service(Arc::clone(asked), shared)).await;
    }

    async fn share_client(&self, target: &Target) {
        let shared = {
            let mut registry = self.registry.borrow_mut();
            let key = (self.router, target.clone());
            let policy = self.policies.0.policy(&target.id);
            let made = || ClientShared::new(&policy);
            Arc::clone(registry.clients.entry(key).or_insert_with(made))
        };
        self.tell(Told::Client(target.clone(), shared)).await;
    }

    async fn bind(mut self, dtab: Dtab, asked: Arc<Asked>) {
        self.share_service(&asked).await;
        self.pause(if self.is_slow() { 1000 } else { 20 }).await;
        while self.trouble() {
            let binding = match self.rng.next() % 4 {
                0 => Binding::Failed("the registry is down".to_owned()),
                1 => bound(&dtab, &"/svc/none".parse().expect("a name")),
                2 => bound(&dtab, &"/svc/u".parse().expect("a name")),
                _ => bound(&dtab, &asked.name),
            };
            drop(self.mail.send(Mail::Told(
                self.router,
                Told::Bound(Arc::clone(&asked), binding),
            )));
            self.pause(800).await;
        }
        let binding = bound(&dtab, &asked.name);
        self.tell(Told::Bound(asked, binding)).await;
    }

    async fn watch(mut self, target: Target) {
        self.share_client(&target).await;
        self.pause(if self.is_slow() { 1200 } else { 40 }).await;
        while self.trouble() {
            let replicas = match self.rng.next() % 4 {
                0 => Replicas::Failed("the resolver is down".to_owned()),
                1 => Replicas::Known(Arc::default()),
                2 if self.rng.percent(30) => Replicas::Gone("no longer".to_owned()),
                _ => self.find(&target, self.calm),
            };
            drop(self.mail.send(Mail::Told(
                self.router,
                Told::Replicas(target.clone(), replicas),
            )));
            self.pause(800).await;
        }
        let replicas = self.find(&target, true);
        self.tell(Told::Replicas(target, replicas)).await;
    }

    /// All backends, or some of them, and at times one that is none.
    fn find(&mut self, target: &Target, all: bool) -> Replicas {
        let literal = match &target.addr {
            Addr::Inet(inet) => inet.ip().map(|ip| SocketAddr::new(ip, inet.port)),
            Addr::Namer(_) | Addr::Through(_) => None,
        };
        let addrs: Vec<SocketAddr> = match literal {
            Some(addr) => vec![addr],
            None => {
                let every = (0..self.backends).map(backend_addr);
                let rng = &mut self.rng;
                let mut some: Vec<_> = every.filter(|_| all || rng.percent(60)).collect();
                if self.backends > 1 && self.rng.percent(30) {
                    // A host that is gone and still registered.
                    some.push(SocketAddr::from(([10, 9, 0, 99], 80)));
                }
                some
            }
        };
        let mut registry = self.registry.borrow_mut();
        let previous = registry.current.get(target).map(Arc::as_ref);
        let set = Arc::new(ReplicaSet::from_addrs(addrs, previous));
        if !set.is_empty() {
            for endpoint in &set.endpoints {
                if !registry.all.iter().any(|one| Arc::ptr_eq(one, endpoint)) {
                    registry.all.push(Arc::clone(endpoint));
                }
            }
            registry.current.insert(target.clone(), Arc::clone(&set));
        }
        Replicas::Known(set)
    }
}

fn bound(dtab: &Dtab, name: &Path) -> Binding {
    match naming::bind(dtab, name) {
        Ok(tree) => Binding::Tree(Arc::new(tree)),
        Err(error) => Binding::Failed(error.to_string()),
    }
}
