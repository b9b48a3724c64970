//! Reloads of a world: what control does to a shard, done by mail in the midst of traffic.

use std::collections::BTreeMap;
use std::rc::Weak;

use ringlink::balance::Place;
use ringlink::config::resolved;
use ringlink::engine::Key;
use ringlink::resilience::admission::Admission;
use ringlink::router::HandOver;
use ringlink::router::door::Bounds;
use ringlink::router::server::{Server, accept, adopt};
use ringlink::router::settings::Settings;

use super::*;

/// What the shards of a world share.
pub(super) struct Around {
    pub wishes: Rc<RefCell<Vec<(usize, usize, Wish)>>>,
    pub mails: Rc<RefCell<Vec<Sender<Mail>>>>,
    pub loads: Loads,
    /// Of each server, by its number.
    pub admissions: Rc<RefCell<BTreeMap<usize, Arc<Admission>>>>,
    pub seed: u64,
}

/// What a shard serves now.
pub(super) struct Now {
    pub router: Rc<Router>,
    number: usize,
    /// The one that accepts, if one does, and its task; it is the last of `servers`.
    accepting: Option<Key>,
    /// Those that are gone, too.
    pub servers: Vec<Rc<Server>>,
    /// Every router that was replaced.
    pub left: BTreeMap<usize, Weak<Router>>,
}

/// A change of what a shard serves.
pub(super) enum Change {
    /// Other settings, as they are after a reload.
    Settings(Arc<resolved::Router>),
    /// Another router, of this number, takes over the server.
    Router(usize, Arc<resolved::Router>),
    /// The server goes.
    Close,
    /// It comes back, under this number.
    Open(usize),
}

impl Around {
    fn router(&self, shard: &Shard, number: usize, config: &Arc<resolved::Router>) -> Rc<Router> {
        let (id, wishes) = (shard.id(), Rc::clone(&self.wishes));
        let around = Surroundings {
            wishes: Rc::new(move |wish| wishes.borrow_mut().push((id, number, wish))),
            hand_over: self.hand_over(),
            loads: self.loads.clone(),
            place: Place {
                shard: id,
                shards: self.loads.all().len(),
                process_seed: self.seed,
            },
            seed: self.seed ^ id as u64,
        };
        Router::new(shard, Settings::new(Arc::clone(config)), around)
    }

    /// What the shards know together of a server.
    fn bounds(&self, number: usize) -> Bounds {
        let mut admissions = self.admissions.borrow_mut();
        Bounds {
            admission: Arc::clone(admissions.entry(number).or_default()),
            ..Bounds::default()
        }
    }

    fn hand_over(&self) -> HandOver {
        let siblings = Rc::clone(&self.mails);
        Rc::new(move |shard, server, fd| {
            let mail = siblings.borrow()[shard].clone();
            mail.send(Mail::Accepted(server, fd)).is_ok()
        })
    }
}

impl Now {
    pub fn first(shard: &Shard, around: &Around, config: &Arc<resolved::Router>) -> Now {
        let router = around.router(shard, 0, config);
        let mut now = Now {
            router,
            number: 0,
            accepting: None,
            servers: Vec::new(),
            left: BTreeMap::new(),
        };
        now.open(shard, around, 0);
        now
    }

    fn server_settings(&self) -> Rc<resolved::Server> {
        Rc::new(self.router.settings().config.servers[0].clone())
    }

    fn open(&mut self, shard: &Shard, around: &Around, number: usize) {
        let options = ListenOptions {
            backlog: 64,
            reuse_port: true,
            no_delay: true,
        };
        let listener = Listener::bind(shard, proxy_addr(), options).expect("a free address");
        let server = Server::new(
            number,
            Rc::clone(&self.router),
            self.server_settings(),
            around.bounds(number),
        );
        self.accepting = Some(shard.spawn(accept(Rc::clone(&server), listener)));
        self.servers.push(server);
    }

    fn close(&mut self, shard: &Shard) {
        if let Some(task) = self.accepting.take() {
            shard.cancel(task);
        }
        self.servers.iter().for_each(|server| server.drain());
    }

    fn change(&mut self, shard: &Shard, around: &Around, change: Change) {
        match change {
            Change::Settings(config) => self.router.reload(Settings::new(config)),
            Change::Router(number, config) => {
                let router = around.router(shard, number, &config);
                self.left.insert(self.number, Rc::downgrade(&self.router));
                (self.router, self.number) = (router, number);
            }
            Change::Close => return self.close(shard),
            Change::Open(number) if self.accepting.is_none() => {
                return self.open(shard, around, number);
            }
            Change::Open(_) => return,
        }
        let settings = self.server_settings();
        for server in &self.servers {
            server.reload(
                Rc::clone(&self.router),
                Rc::clone(&settings),
                Bounds::default(),
            );
        }
    }

    fn router(&self, number: usize) -> Option<Rc<Router>> {
        match number == self.number {
            true => Some(Rc::clone(&self.router)),
            false => self.left.get(&number).and_then(Weak::upgrade),
        }
    }
}

/// A shard's reader of mail, as control has one.
pub(super) async fn read_mail(
    shard: Shard,
    now: Rc<RefCell<Now>>,
    around: Rc<Around>,
    inbox: Receiver<Mail>,
) {
    loop {
        match inbox.recv().await {
            Mail::Accepted(number, fd) => {
                let server = now
                    .borrow()
                    .servers
                    .iter()
                    .find(|one| one.number == number)
                    .cloned();
                match server {
                    Some(server) => adopt(&server, fd),
                    None => shard.close(fd),
                }
            }
            Mail::Told(number, told) => {
                let router = now.borrow().router(number);
                if let Some(router) = router {
                    router.update(&told);
                }
            }
            Mail::Reload(change) => now.borrow_mut().change(&shard, &around, *change),
            Mail::Drain => now.borrow_mut().close(&shard),
        }
    }
}

impl World {
    /// One reload: other settings, another router, or a server that goes and comes back.
    pub(super) fn reload(&mut self) {
        let variant = self.rng.next() % 24;
        let config = config::load(&self.plan.yaml(variant)).expect("a valid configuration");
        let config = Arc::new(config.routers[0].clone());
        self.numbers += 1;
        let number = self.numbers;
        // A server that goes takes connections with it that have just come.
        let kind = if self.plan.calm {
            self.rng.next() % 9
        } else {
            self.rng.next() % 10
        };
        self.ledger
            .tell(|| format!("reload {kind}, variant {variant}"));
        let mut steps: Vec<Box<dyn Fn() -> Change>> = Vec::new();
        match kind {
            9 => {
                self.reloaded[2] += 1;
                steps.push(Box::new(|| Change::Close));
                steps.push(Box::new(move || Change::Open(number)));
            }
            0..3 => {
                self.reloaded[1] += 1;
                let config = Arc::clone(&config);
                steps.push(Box::new(move || {
                    Change::Router(number, Arc::clone(&config))
                }));
            }
            _ => {
                self.reloaded[0] += 1;
                let config = Arc::clone(&config);
                steps.push(Box::new(move || Change::Settings(Arc::clone(&config))));
            }
        }
        if kind != 9 {
            // As control does: names are bound anew first.
            self.dtab = config.dtab.clone();
            self.govern(variant);
            self.bind_again();
        }
        for step in steps {
            for index in 0..self.proxies.len() {
                let mut mail = Mail::Reload(Box::new(step()));
                while let Err(back) = self.proxies[index].mail.send(mail) {
                    mail = back;
                    let soon = self.net.now() + MILLI;
                    self.run(soon, |_| false);
                }
            }
            let soon = self.net.now() + self.rng.between(0, 20) * MILLI;
            self.run(soon, |_| false);
        }
    }
}
