//! Bindings against a registry in memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::*;
use crate::naming::{Addr, Bound, Inet, NameTree, Path, Place};
use crate::router::ask::{Asked, Binding, Replicas, Target, Told, Wish};

type Senders<T> = Mutex<HashMap<Path, watch::Sender<T>>>;

/// A registry that says what a test tells it to.
#[derive(Default)]
struct Memory {
    answers: Senders<Answer>,
    addrs: Senders<Addrs>,
}

fn follow<T>(senders: &Senders<T>, path: &Path, pending: T) -> watch::Receiver<T> {
    let mut senders = senders.lock().unwrap();
    let sender = senders
        .entry(path.clone())
        .or_insert_with(|| watch::channel(pending).0);
    sender.subscribe()
}

impl Namer for Memory {
    fn look_up(&self, path: &Path) -> watch::Receiver<Answer> {
        follow(&self.answers, path, Answer::Pending)
    }

    fn addrs(&self, id: &Path) -> watch::Receiver<Addrs> {
        follow(&self.addrs, id, Addrs::Pending)
    }
}

impl Memory {
    fn say(&self, name: &str, answer: Answer) {
        drop(self.look_up(&path(name)));
        self.answers.lock().unwrap()[&path(name)].send_replace(answer);
    }

    fn exists(&self, name: &str) {
        let (id, residual) = (path(name), Path::empty());
        let found = Found::Bound { id, residual };
        self.say(name, Answer::Tree(NameTree::Leaf(found)));
    }

    fn at(&self, name: &str, addrs: Addrs) {
        drop(self.addrs(&path(name)));
        self.addrs.lock().unwrap()[&path(name)].send_replace(addrs);
    }

    /// How many follow a name, and the addresses behind it.
    fn followers(&self, name: &str) -> (usize, usize) {
        fn count<T>(senders: &Senders<T>, path: &Path) -> usize {
            let senders = senders.lock().unwrap();
            senders.get(path).map_or(0, watch::Sender::receiver_count)
        }
        let path = path(name);
        (count(&self.answers, &path), count(&self.addrs, &path))
    }
}

fn table(dtab: &str) -> Table {
    Table {
        dtab: dtab.parse().unwrap(),
        ..Table::default()
    }
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn known(ports: &[u16]) -> Addrs {
    let place = |port: &u16| {
        Place::new(Inet {
            host: "10.0.0.1".to_owned(),
            port: *port,
        })
    };
    Addrs::Known(ports.iter().map(place).collect())
}

/// A slow path with two shards, and the registry that it asks.
struct Slow {
    said: mpsc::UnboundedSender<Said>,
    told: mpsc::UnboundedReceiver<(usize, Told)>,
    registry: Arc<Memory>,
    queries: mpsc::Sender<Query>,
}

impl Slow {
    fn new(dtab: &str) -> Slow {
        let registry: Arc<Memory> = Arc::default();
        let mut namers = Namers::default();
        namers.add(path("/mem"), Arc::clone(&registry) as Arc<dyn Namer>);
        let tables = Tables {
            routers: [(0, table(dtab))].into(),
            namers,
        };
        let (said, heard) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let (queries, queried) = mpsc::channel(1);
        tokio::spawn(serve(tables, heard, queried, move |shard, _, news| {
            tell.send((shard, news)).unwrap();
        }));
        Slow {
            said,
            told,
            registry,
            queries,
        }
    }

    async fn reload(&self, tables: &[(usize, &str)]) {
        let (done, reloaded) = tokio::sync::oneshot::channel();
        let routers = tables.iter().map(|(router, dtab)| (*router, table(dtab)));
        let reload = Reload {
            namers: Vec::new(),
            routers: routers.collect(),
            shards: 2,
        };
        self.queries
            .send(Query::Reload(reload, done))
            .await
            .unwrap();
        reloaded.await.unwrap();
    }

    fn say(&self, shard: usize, wish: Wish) {
        self.say_of(0, shard, wish);
    }

    fn say_of(&self, router: usize, shard: usize, wish: Wish) {
        let said = Said {
            shard,
            router,
            wish,
        };
        self.said.send(said).unwrap();
    }

    async fn report(&self) -> Report {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.queries.send(Query::Report(reply)).await.unwrap();
        answer.await.unwrap()
    }

    fn bind(&self, shard: usize, name: &str) {
        self.say(shard, Wish::Bind(asked(name, "")));
    }

    /// The next news, in words.
    async fn next(&mut self) -> String {
        let mut told = self.told.recv().await.unwrap();
        // What shards share comes before anything else.
        while let (_, Told::Service(..) | Told::Client(..)) = told {
            told = self.told.recv().await.unwrap();
        }
        let (shard, told) = told;
        let news = match told {
            Told::Service(..) | Told::Client(..) => unreachable!(),
            Told::Bound(asked, binding) => format!("{} {}", asked.name, in_words(&binding)),
            Told::Replicas(target, replicas) => {
                let replicas = match replicas {
                    Replicas::Known(set) => format!("{:?}", ports(&set)),
                    Replicas::Failed(why) => format!("failed: {why}"),
                    Replicas::Gone(_) => "gone".to_owned(),
                };
                format!("{} {replicas}", target.id)
            }
        };
        format!("{shard}: {news}")
    }

    /// Nothing was said that should not have been.
    async fn quiet(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        while let Ok((_, told)) = self.told.try_recv() {
            assert!(
                matches!(told, Told::Service(..) | Told::Client(..)),
                "{told:?}"
            );
        }
    }
}

fn asked(name: &str, local: &str) -> Arc<Asked> {
    Arc::new(Asked {
        name: path(name),
        local: local.as_bytes().into(),
    })
}

fn in_words(binding: &Binding) -> String {
    match binding {
        Binding::Tree(tree) => tree
            .map_ref(&mut |bound: &Bound| bound.id.clone())
            .to_string(),
        Binding::Failed(why) => format!("failed: {why}"),
        Binding::BadDtab(why) => format!("bad dtab: {why}"),
    }
}

fn ports(set: &crate::balance::ReplicaSet) -> Vec<u16> {
    set.endpoints.iter().map(|e| e.addr.port()).collect()
}

fn target(name: &str) -> Target {
    Target {
        id: path(&format!("/#/mem{name}")),
        addr: Addr::Namer(0),
    }
}

#[tokio::test]
async fn each_shard_that_asks_is_told_once() {
    let mut slow = Slow::new("/svc => /$/inet/10.0.0.1");
    slow.bind(0, "/svc/80");
    assert_eq!(slow.next().await, "0: /svc/80 /$/inet/10.0.0.1/80");
    slow.bind(1, "/svc/80");
    assert_eq!(slow.next().await, "1: /svc/80 /$/inet/10.0.0.1/80");
    slow.bind(0, "/other");
    assert_eq!(slow.next().await, "0: /other ~");
    slow.quiet().await;
}

#[tokio::test]
async fn a_name_waits_for_its_namer_and_follows_it() {
    let mut slow = Slow::new("/svc => /$/inet/10.0.0.9/9 ; /svc => /#/mem");
    slow.bind(0, "/svc/a");
    slow.bind(1, "/svc/a");
    slow.quiet().await;
    slow.registry.exists("/a");
    assert_eq!(slow.next().await, "0: /svc/a /#/mem/a");
    assert_eq!(slow.next().await, "1: /svc/a /#/mem/a");
    // The same again is no news.
    slow.registry.exists("/a");
    slow.quiet().await;
    // Missing names fall back, and come back.
    slow.registry.say("/a", Answer::Tree(NameTree::Neg));
    assert_eq!(slow.next().await, "0: /svc/a /$/inet/10.0.0.9/9");
    assert_eq!(slow.next().await, "1: /svc/a /$/inet/10.0.0.9/9");
    slow.registry.exists("/a");
    assert_eq!(slow.next().await, "0: /svc/a /#/mem/a");
}

#[tokio::test]
async fn other_tables_bind_what_is_bound_anew() {
    let mut slow = Slow::new("/svc => /$/inet/10.0.0.1");
    slow.bind(0, "/svc/80");
    slow.bind(1, "/svc/80");
    assert_eq!(slow.next().await, "0: /svc/80 /$/inet/10.0.0.1/80");
    assert_eq!(slow.next().await, "1: /svc/80 /$/inet/10.0.0.1/80");
    // The same again is no news.
    slow.reload(&[(0, "/svc => /$/inet/10.0.0.1")]).await;
    slow.quiet().await;
    slow.reload(&[(0, "/svc => /$/inet/10.0.0.2")]).await;
    assert_eq!(slow.next().await, "0: /svc/80 /$/inet/10.0.0.2/80");
    assert_eq!(slow.next().await, "1: /svc/80 /$/inet/10.0.0.2/80");
    // What fails by the tables in force replaces what was good by others.
    slow.reload(&[(0, "/svc => /#/absent")]).await;
    let failed = slow.next().await;
    assert!(failed.starts_with("0: /svc/80 failed: "), "{failed}");
}

#[tokio::test]
async fn a_router_that_is_gone_keeps_its_table_until_no_shard_has_it() {
    let mut slow = Slow::new("/svc => /$/inet/10.0.0.1");
    slow.reload(&[(1, "/svc => /$/inet/10.0.0.2")]).await;
    slow.say_of(1, 0, Wish::Bind(asked("/svc/80", "")));
    assert_eq!(slow.next().await, "0: /svc/80 /$/inet/10.0.0.2/80");
    slow.bind(0, "/svc/80");
    assert_eq!(slow.next().await, "0: /svc/80 /$/inet/10.0.0.1/80");
    slow.say(0, Wish::Leave);
    slow.bind(1, "/svc/80");
    assert_eq!(slow.next().await, "1: /svc/80 /$/inet/10.0.0.1/80");
    slow.say(1, Wish::Leave);
    slow.bind(1, "/svc/81");
    assert_eq!(slow.next().await, "1: /svc/81 ~");
}

#[tokio::test]
async fn a_failing_namer_takes_nothing_away() {
    let mut slow = Slow::new("/svc => /#/mem");
    slow.bind(0, "/svc/a");
    slow.registry.say("/a", Answer::Failed("down".to_owned()));
    assert_eq!(slow.next().await, "0: /svc/a failed: /#/mem/a: down");
    slow.registry.exists("/a");
    assert_eq!(slow.next().await, "0: /svc/a /#/mem/a");
    slow.registry.say("/a", Answer::Failed("down".to_owned()));
    slow.registry.say("/a", Answer::Pending);
    slow.quiet().await;
    slow.registry.exists("/a");
    slow.quiet().await;
}

#[tokio::test]
async fn replicas_survive_empty_and_failing_answers() {
    let mut slow = Slow::new("");
    slow.say(0, Wish::Watch(target("/a")));
    slow.quiet().await;
    slow.registry.at("/a", known(&[]));
    assert_eq!(slow.next().await, "0: /#/mem/a []");
    slow.registry.at("/a", known(&[1, 2]));
    assert_eq!(slow.next().await, "0: /#/mem/a [1, 2]");
    for bad in [known(&[]), Addrs::Failed("x".to_owned()), Addrs::Pending] {
        slow.registry.at("/a", bad);
        slow.quiet().await;
        // What was said first is what is to be told of.
        let report = slow.report().await;
        assert_eq!(
            (report.sets, report.replicas, report.failing.len()),
            (1, 2, 1)
        );
        assert!(report.stale() > std::time::Duration::ZERO);
    }
    slow.registry.at("/a", known(&[1, 2]));
    slow.quiet().await;
    assert_eq!(slow.report().await.failing, []);
    slow.registry.at("/a", known(&[2, 3]));
    assert_eq!(slow.next().await, "0: /#/mem/a [2, 3]");
    slow.registry.at("/a", Addrs::Gone);
    assert_eq!(slow.next().await, "0: /#/mem/a gone");
    slow.registry.at("/a", known(&[2, 3]));
    assert_eq!(slow.next().await, "0: /#/mem/a [2, 3]");
}

#[tokio::test]
async fn what_nobody_cares_for_is_let_go() {
    let mut slow = Slow::new("/svc => /#/mem/x & /#/mem");
    let told = asked("/svc/a", "");
    slow.say(0, Wish::Bind(Arc::clone(&told)));
    slow.say(1, Wish::Bind(Arc::clone(&told)));
    slow.say(0, Wish::Watch(target("/a")));
    slow.quiet().await;
    assert_eq!(slow.registry.followers("/x/a"), (2, 0));
    assert_eq!(slow.registry.followers("/a"), (2, 1));
    slow.say(0, Wish::Unbind(Arc::clone(&told)));
    slow.say(0, Wish::Unwatch(target("/a")));
    slow.quiet().await;
    assert_eq!(slow.registry.followers("/a"), (2, 0));
    slow.say(1, Wish::Unbind(told));
    slow.quiet().await;
    assert_eq!(slow.registry.followers("/a"), (0, 0));
    assert_eq!(slow.registry.followers("/x/a"), (0, 0));
}

#[tokio::test]
async fn a_request_brings_its_own_table() {
    let mut slow = Slow::new("/svc => /$/inet/10.0.0.1/1");
    slow.say(
        0,
        Wish::Bind(asked("/svc/a", "/svc/a => /$/inet/10.0.0.2/2")),
    );
    assert_eq!(slow.next().await, "0: /svc/a /$/inet/10.0.0.2/2");
    slow.bind(0, "/svc/a");
    assert_eq!(slow.next().await, "0: /svc/a /$/inet/10.0.0.1/1");
    slow.say(0, Wish::Bind(asked("/svc/a", "/svc/a =>")));
    let told = slow.next().await;
    let expected = "0: /svc/a bad dtab: the request's dtab cannot be read: line 1";
    assert!(told.starts_with(expected), "{told}");
}

#[tokio::test]
async fn literal_addresses_are_known_at_once_and_stay_the_same_endpoints() {
    let mut slow = Slow::new("");
    let inet = Inet {
        host: "127.1".to_owned(),
        port: 80,
    };
    let target = Target {
        id: path("/$/inet/127.1/80"),
        addr: Addr::Inet(inet),
    };
    let mut sets = Vec::new();
    for shard in 0..2 {
        slow.say(shard, Wish::Watch(target.clone()));
        let shared = slow.told.recv().await;
        assert!(matches!(shared, Some((_, Told::Client(..)))));
        let Some((_, Told::Replicas(_, Replicas::Known(set)))) = slow.told.recv().await else {
            panic!("no replicas")
        };
        sets.push(set);
    }
    assert_eq!(
        sets[0].endpoints[0].addr,
        SocketAddr::from(([127, 0, 0, 1], 80))
    );
    assert!(Arc::ptr_eq(&sets[0].endpoints[0], &sets[1].endpoints[0]));
}
