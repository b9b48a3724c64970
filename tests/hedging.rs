//! Hedging over real sockets: what is late is sent twice, and one answer comes of it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::backend::ok;
use support::{Backend, Client, Driver, Proxy, Setup, pattern};

both_drivers!(
    a_hanging_replica_costs_the_delay,
    bodies_are_sent_along,
    what_may_not_be_repeated_is_not_hedged,
    who_breaks_leaves_it_to_the_other,
    an_error_does_not_win,
    hedges_are_paid_for,
);

const HEDGE: &str = "hedge: {percentile: 90, minDelayMs: 30, minSamples: 20}";

/// Two replicas that answer at once until `ill` is set, and then as they are told to.
struct Pair {
    backends: [Backend; 2],
    ill: Arc<AtomicBool>,
    proxy: Proxy,
}

type Answer = fn(&support::Request) -> Vec<u8>;

impl Pair {
    /// A pair whose latency the proxy knows.
    fn known(driver: Driver, service: &str, answers: [Answer; 2]) -> Pair {
        let ill = Arc::new(AtomicBool::new(false));
        let backends = answers.map(|answer| {
            let ill = Arc::clone(&ill);
            Backend::answering(move |request| match ill.load(Ordering::SeqCst) {
                true => answer(request),
                false => ok("well"),
            })
        });
        let places = format!(
            "{{kind: io.l5d.static, prefix: /s, names: {{/pair: [127.0.0.1 {}, 127.0.0.1 {}]}}}}",
            backends[0].addr.port(),
            backends[1].addr.port()
        );
        let proxy = Setup::dtab(driver, "/svc => /#/s/pair")
            .namers(&places)
            .client("failureAccrual: {kind: none}")
            .service(service)
            .start();
        let mut client = proxy.client();
        for _ in 0..60 {
            assert_eq!(client.get("/").status, 200);
        }
        // The percentile is read once a second.
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(client.get("/").status, 200);
        ill.store(true, Ordering::SeqCst);
        let pair = Pair {
            backends,
            ill,
            proxy,
        };
        assert_eq!(pair.counts(), (0.0, 0.0), "nothing was late so far");
        pair
    }

    fn counts(&self) -> (f64, f64) {
        let metric = |name: &str| self.proxy.metric(&format!("{name}{{rt=\"it\"}}"));
        (
            metric("ringlink_hedges_total"),
            metric("ringlink_hedges_won_total"),
        )
    }

    fn arrived(&self) -> [usize; 2] {
        [0, 1].map(|at| self.backends[at].requests().len())
    }
}

fn hangs(_: &support::Request) -> Vec<u8> {
    std::thread::sleep(Duration::from_secs(3));
    ok("late")
}

fn echoes(request: &support::Request) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        request.body.len()
    );
    [head.as_bytes(), &request.body].concat()
}

fn put(client: &mut Client, body: &[u8]) -> support::Response {
    client.send(format!(
        "PUT /p HTTP/1.1\r\nHost: web\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

fn a_hanging_replica_costs_the_delay(driver: Driver) {
    let pair = Pair::known(driver, HEDGE, [hangs, |_| ok("quick")]);
    for _ in 0..10 {
        let started = Instant::now();
        let response = pair.proxy.client().get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "quick"));
        let took = started.elapsed();
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
    let (hedges, won) = pair.counts();
    assert!(hedges >= 1.0 && hedges == won, "{hedges} hedges, {won} won");
    assert_eq!(
        pair.proxy.metric(r#"ringlink_requests_total{rt="it"}"#),
        71.0
    );
    // Both are well again, and nobody is waited for.
    pair.ill.store(false, Ordering::SeqCst);
    assert_eq!(pair.proxy.client().get("/").text(), "well");
}

fn bodies_are_sent_along(driver: Driver) {
    let pair = Pair::known(driver, HEDGE, [hangs, echoes]);
    for size in [1, 20_000, 60_000] {
        for _ in 0..4 {
            let response = put(&mut pair.proxy.client(), &pattern(size));
            assert_eq!(response.status, 200);
            support::assert_same(&response.body, &pattern(size), "the body");
        }
    }
    assert!(pair.counts().1 >= 1.0);
    for request in pair.backends[0].requests().iter().skip(1) {
        assert!(request.body.is_empty() || request.body == pattern(request.body.len()));
    }
}

fn what_may_not_be_repeated_is_not_hedged(driver: Driver) {
    let slow: Answer = |_| {
        std::thread::sleep(Duration::from_millis(200));
        ok("slow")
    };
    let pair = Pair::known(driver, HEDGE, [slow, slow]);
    let before = pair.arrived().iter().sum::<usize>();
    for _ in 0..3 {
        assert_eq!(pair.proxy.client().post(b"x").text(), "slow");
    }
    // Of this one not all is kept.
    let response = put(&mut pair.proxy.client(), &pattern(200_000));
    assert_eq!(response.text(), "slow");
    assert_eq!(pair.arrived().iter().sum::<usize>(), before + 4);
    assert_eq!(pair.counts(), (0.0, 0.0));
}

fn who_breaks_leaves_it_to_the_other(driver: Driver) {
    let breaks: Answer = |_| {
        std::thread::sleep(Duration::from_millis(150));
        // Not a response: the connection is over with it.
        b"\r\nnothing\r\n\r\n".to_vec()
    };
    let slow: Answer = |_| {
        std::thread::sleep(Duration::from_millis(300));
        ok("slow")
    };
    let pair = Pair::known(driver, HEDGE, [breaks, slow]);
    for _ in 0..8 {
        let response = pair.proxy.client().get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "slow"));
    }
    assert_eq!(pair.counts().0, 8.0, "all of them were late");
}

fn an_error_does_not_win(driver: Driver) {
    let slow: Answer = |_| {
        std::thread::sleep(Duration::from_millis(200));
        ok("slow")
    };
    let ill: Answer = |_| b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec();
    let pair = Pair::known(driver, HEDGE, [slow, ill]);
    let [before, _] = pair.arrived();
    let served = (0..10)
        .filter(|_| match pair.proxy.client().get("/").status {
            200 => true,
            status => {
                assert_eq!(status, 500, "the first attempt's own answer");
                false
            }
        })
        .count();
    assert_eq!(pair.arrived()[0] - before, served);
    assert_eq!(pair.counts(), (served as f64, 0.0));
}

fn hedges_are_paid_for(driver: Driver) {
    let slow: Answer = |_| {
        std::thread::sleep(Duration::from_millis(100));
        ok("slow")
    };
    let budget = "retries: {budget: {minRetriesPerSec: 0, percentCanRetry: 0.05, ttlSecs: 60}}";
    let pair = Pair::known(driver, &format!("{HEDGE}, {budget}"), [slow, slow]);
    for _ in 0..20 {
        assert_eq!(pair.proxy.client().get("/").text(), "slow");
    }
    // 61 requests paid before, and 20 have since.
    let (hedges, _) = pair.counts();
    assert!((1.0..=4.0).contains(&hedges), "{hedges} hedges");
}
