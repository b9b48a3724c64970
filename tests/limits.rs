//! Limits over real sockets: how often, how many at once, and faults on purpose.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::backend::ok;
use support::{Backend, Client, Driver, Response, Setup, wait_for};

both_drivers!(
    rates_are_kept_over_all_shards,
    rates_count_by_what_requests_have_in_common,
    services_have_rates_of_their_own,
    strangers_are_told_when_to_come_again,
    rates_change_with_a_reload,
    a_table_that_is_too_small_says_so,
    faults_are_injected_where_they_fit,
    a_delay_ends_with_its_request,
    faults_come_and_go_with_a_reload,
    services_have_places_of_their_own,
    waits_for_a_place_end_with_their_requests,
    places_change_with_a_reload,
    an_adaptive_limit_finds_what_its_service_can_do,
    failures_that_come_fast_raise_no_limit,
    a_queue_that_stands_is_cut,
    a_burst_that_is_served_in_time_loses_nobody,
);

fn is_limited(response: &Response) -> bool {
    response.status == 429
}

/// How many of so many requests are let through.
fn let_through(clients: &mut [Client], requests: usize, head: &str) -> usize {
    let count = clients.len();
    let mut ask = |turn: usize| {
        let response = clients[turn % count].ask(format!("GET {head}\r\n\r\n"));
        assert!(response.status == 200 || is_limited(&response));
        response.status == 200
    };
    (0..requests).filter(|turn| ask(*turn)).count()
}

const TO_WEB: &str = "/ HTTP/1.1\r\nHost: web";

fn rates_are_kept_over_all_shards(driver: Driver) {
    let backend = Backend::named("here");
    let setup = Setup::to(driver, backend.addr).cores(2);
    let limit = "rateLimit: {requests: 10, perSecs: 86400, burst: 10}";
    for (setup, reason, whose) in [
        (setup.clone().server(limit), "rate-limited", "server"),
        (
            setup.clone().service(limit),
            "service-rate-limited",
            "service",
        ),
    ] {
        let proxy = setup.start();
        let mut clients: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
        assert_eq!(let_through(&mut clients, 30, TO_WEB), 10, "{whose}");
        // The connection goes on after a refusal, and what was sent with it is not taken for more.
        let refused = clients[0].post(b"GET / HTTP/1.1\r\n\r\n");
        assert!(is_limited(&refused));
        assert_eq!(refused.field("l5d-err"), Some(reason));
        let after: u32 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=8640).contains(&after), "{after}");
        let policy = format!("\"{whose}\";q=10;w=86400");
        assert_eq!(refused.field("ratelimit-policy"), Some(policy.as_str()));
        let left = format!("\"{whose}\";r=0;t={after}");
        assert_eq!(refused.field("ratelimit"), Some(left.as_str()));
        assert_eq!(refused.field("l5d-retryable"), None);
        let counted = format!(r#"ringlink_refusals_total{{rt="it",reason="{reason}"}}"#);
        assert_eq!(proxy.metric(&counted), 21.0);
    }
}

fn rates_count_by_what_requests_have_in_common(driver: Driver) {
    let backend = Backend::named("here");
    let start = |by: &str| {
        let limit = format!("rateLimit: {{requests: 2, perSecs: 86400, by: {by}}}");
        let trusted = "xForwarded: {trusted: [127.0.0.1]}";
        let server = format!("{limit}, {trusted}");
        Setup::to(driver, backend.addr).server(&server).start()
    };
    for (by, one, other) in [
        (
            "{header: X-Key}",
            "/ HTTP/1.1\r\nHost: web\r\nX-Key: one",
            "/ HTTP/1.1\r\nHost: web\r\nX-Key: other",
        ),
        (
            "{header: X-Key}",
            "/ HTTP/1.1\r\nHost: web",
            "/ HTTP/1.1\r\nHost: web\r\nx-key: other",
        ),
        (
            "{header: host}",
            "/ HTTP/1.1\r\nHost: one",
            "/ HTTP/1.1\r\nHost: other",
        ),
        (
            "path",
            "/one?a HTTP/1.1\r\nHost: web",
            "/other?a HTTP/1.1\r\nHost: web",
        ),
        (
            "client",
            "/ HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: 192.0.2.1",
            "/ HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: 192.0.2.2",
        ),
    ] {
        let proxy = start(by);
        let clients = &mut [proxy.client(), proxy.client()];
        for head in [one, other] {
            assert_eq!(let_through(clients, 5, head), 2, "{by}: {head}");
        }
    }
    // Other queries are the same path.
    let proxy = start("path");
    let clients = &mut [proxy.client()];
    for (query, passed) in [("a", 1), ("b", 1), ("c", 0)] {
        let head = format!("/one?{query} HTTP/1.1\r\nHost: web");
        assert_eq!(let_through(clients, 1, &head), passed);
    }
}

fn services_have_rates_of_their_own(driver: Driver) {
    let backend = Backend::named("here");
    let service = "kind: io.l5d.static, configs: [\
        {prefix: /svc, rateLimit: {requests: 3, perSecs: 86400}}, \
        {prefix: /svc/few, rateLimit: {requests: 1, perSecs: 86400}}]";
    let setup = Setup::to(driver, backend.addr).service(service).cores(2);
    let proxy = setup.start();
    let clients = &mut [proxy.client(), proxy.client(), proxy.client()];
    for (host, passed) in [("one", 3), ("other", 3), ("few", 1)] {
        let head = format!("/ HTTP/1.1\r\nHost: {host}");
        assert_eq!(let_through(clients, 6, &head), passed, "{host}");
    }
    // A dtab of its own makes no other name of it.
    let head = "/ HTTP/1.1\r\nHost: one\r\nl5d-dtab: /x => /y";
    assert_eq!(let_through(clients, 2, head), 0);
}

fn strangers_are_told_when_to_come_again(driver: Driver) {
    let backend = Backend::named("here");
    let server = "clearContext: true, rateLimit: {requests: 1, perSecs: 60}";
    let proxy = Setup::to(driver, backend.addr).server(server).start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    let refused = client.get("/");
    assert!(is_limited(&refused));
    assert_eq!(refused.field("l5d-err"), None);
    assert!(refused.field("retry-after").is_some() && refused.field("ratelimit").is_some());
}

fn a_table_that_is_too_small_says_so(driver: Driver) {
    let backend = Backend::named("here");
    let limit = "rateLimit: {requests: 1, perSecs: 3600, by: path, maxKeys: 8}";
    let setup = Setup::to(driver, backend.addr).service(limit);
    let proxy = setup.server(&format!("label: door, {limit}")).start();
    let mut client = proxy.client();
    // One key in 8000 is taken for another.
    let passed = (0..40).filter(|path| client.get(&format!("/{path}")).status == 200);
    assert!(passed.count() >= 37);
    for whose in [r#"server="door""#, r#"service="all""#] {
        let name = format!(r#"ringlink_rate_limit_evictions_total{{rt="it",{whose}}}"#);
        assert!((29.0..=32.0).contains(&proxy.metric(&name)), "{whose}");
    }
}

fn rates_change_with_a_reload(driver: Driver) {
    let backend = Backend::named("here");
    let rate = |burst: u32| format!("rateLimit: {{requests: 1, perSecs: 86400, burst: {burst}}}");
    let setup = |server: &str, service: &str| {
        let setup = Setup::to(driver, backend.addr).cores(2);
        setup.server(server).service(service)
    };
    let first = setup(&rate(2), &rate(3));
    let proxy = first.clone().start();
    let port = proxy.addr.port();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 2);
    // A limit that stays goes on counting; the server's goes, and the service's third is left.
    let reload = |to: &Setup| {
        let (status, text) = proxy.reload(&to.yaml(port));
        assert_eq!(status, 200, "{text}");
    };
    reload(&first.clone().router("bindingTimeoutMs: 9000"));
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 0);
    reload(&setup("", &rate(3)));
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 1);
    reload(&setup("", &rate(4)));
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 4);
    reload(&setup("", ""));
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 8);
    reload(&setup("", &rate(1)));
    assert_eq!(let_through(&mut clients, 8, TO_WEB), 1);
}

fn faults_are_injected_where_they_fit(driver: Driver) {
    let backend = Backend::named("here");
    let service = "faults: [\
        {match: {path: /broken, methods: [GET], headers: {X-Tester: '*'}}, \
         abort: {percent: 100, status: 418}}, \
        {match: {path: /slow}, delay: {percent: 100, ms: 120}, abort: {percent: 100, status: 500}}, \
        {match: {path: /half}, abort: {percent: 50, status: 503}}, \
        {match: {path: /}, abort: {percent: 0, status: 503}, delay: {percent: 0, ms: 1000000}}]";
    let proxy = Setup::to(driver, backend.addr).service(service).start();
    let mut client = proxy.client();
    let mut ask = |line: &str| {
        client.ask(format!(
            "{line} HTTP/1.1\r\nHost: web\r\nX-Tester: me\r\n\r\n"
        ))
    };
    let broken = ask("GET /broken/more");
    assert_eq!(
        (broken.status, broken.field("l5d-err")),
        (418, Some("fault-injected"))
    );
    for line in ["POST /broken", "GET /brokenmore", "GET /"] {
        assert_eq!(ask(line).status, 200, "{line}");
    }
    let begun = Instant::now();
    assert_eq!(ask("GET /slow").status, 500);
    assert!(begun.elapsed() >= Duration::from_millis(120));
    let half = (0..200).filter(|_| ask("GET /half").status == 503).count();
    assert!((60..140).contains(&half), "{half}");
    // None of these was sent.
    assert_eq!(backend.requests().len(), 3 + 200 - half);
    let counted = r#"ringlink_refusals_total{rt="it",reason="fault-injected"}"#;
    assert_eq!(proxy.metric(counted), (2 + half) as f64);
    assert_eq!(
        proxy.client().get("/broken").status,
        200,
        "without the header"
    );
}

fn a_delay_ends_with_its_request(driver: Driver) {
    let backend = Backend::named("here");
    let delay = "faults: [{delay: {percent: 100, ms: 3600000}}]";
    let service = format!("{delay}, totalTimeoutMs: 150");
    let proxy = Setup::to(driver, backend.addr).service(&service).start();
    let late = proxy.client().get("/");
    assert_eq!(
        (late.status, late.field("l5d-err")),
        (504, Some("request-timeout"))
    );
    let service = format!("{delay}, totalTimeoutMs: 0");
    let proxy = Setup::to(driver, backend.addr).service(&service).start();
    let late = proxy.client().ask(format!(
        "GET / HTTP/1.1\r\nHost: web\r\nl5d-ctx-deadline: {}\r\n\r\n",
        deadline_in(Duration::from_millis(150))
    ));
    assert_eq!(
        (late.status, late.field("l5d-err")),
        (504, Some("deadline-exceeded"))
    );
    let mut leaving = proxy.client();
    leaving.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    let active = r#"ringlink_requests_active{rt="it"}"#;
    wait_for("its wait", || proxy.metric(active) == 1.0);
    drop(leaving);
    wait_for("its end", || proxy.metric(active) == 0.0);
    assert!(backend.requests().is_empty());
}

/// A deadline that begins now, as it travels.
fn deadline_in(time: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("later than 1970");
    format!("{} {}", now.as_nanos(), (now + time).as_nanos())
}

fn faults_come_and_go_with_a_reload(driver: Driver) {
    let backend = Backend::named("here");
    let setup = |service: &str| Setup::to(driver, backend.addr).service(service).cores(2);
    let proxy = setup("").start();
    let mut clients = [proxy.client(), proxy.client(), proxy.client()];
    let broken = setup("faults: [{abort: {percent: 100, status: 503}}]");
    for (to, status) in [(setup(""), 200), (broken, 503), (setup(""), 200)] {
        assert_eq!(proxy.reload(&to.yaml(proxy.addr.port())).0, 200);
        for client in &mut clients {
            assert_eq!(client.get("/").status, status);
        }
    }
}

const ACTIVE: &str = r#"ringlink_requests_active{rt="it"}"#;

fn send(client: &mut Client, more: &str) {
    client.send(format!("GET / HTTP/1.1\r\nHost: web\r\n{more}\r\n"));
}

/// A backend that answers while its gate is open, and holds what comes until then.
fn gated() -> (Backend, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let backend = Backend::answering(move |_| {
        wait_for("the gate", || gate.load(Ordering::SeqCst));
        ok("served")
    });
    (backend, open)
}

fn services_have_places_of_their_own(driver: Driver) {
    let (backend, open) = gated();
    let service = "kind: io.l5d.static, configs: [\
        {prefix: /svc/web, maxConcurrentRequests: 2}, {prefix: /svc, maxPendingRequests: 1}]";
    let setup = Setup::to(driver, backend.addr).service(service).cores(2);
    let proxy = setup.start();
    let mut clients: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        send(client, "");
    }
    let metric = |name: &str| {
        let name = format!(r#"ringlink_concurrency_{name}{{rt="it",service="/svc/web"}}"#);
        proxy.metric(&name)
    };
    wait_for("two that are served", || backend.requests().len() == 2);
    wait_for("a request that waits", || metric("pending") == 1.0);
    assert_eq!((metric("limit"), metric("in_flight")), (2.0, 2.0));
    let refused = proxy.client().get("/");
    let said = (refused.status, refused.field("l5d-err"));
    assert_eq!(said, (503, Some("service-overloaded")));
    assert_eq!(refused.field("l5d-retryable"), Some("true"));
    let counted = r#"ringlink_refusals_total{rt="it",reason="service-overloaded"}"#;
    assert_eq!(proxy.metric(counted), 1.0);
    // Another name has no part in it.
    let mut other = proxy.client();
    other.send("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    wait_for("the other name", || backend.requests().len() == 3);
    open.store(true, Ordering::SeqCst);
    for client in clients.iter_mut().chain([&mut other]) {
        assert_eq!(client.response().text(), "served");
    }
    wait_for("all places", || metric("in_flight") == 0.0);
}

fn waits_for_a_place_end_with_their_requests(driver: Driver) {
    let limits = "maxConcurrentRequests: 1, maxPendingRequests: 5";
    for (server, service, labels) in [
        (
            format!("timeoutMs: 400, label: door, {limits}"),
            "",
            r#"server="door""#,
        ),
        (
            String::new(),
            "totalTimeoutMs: 400, ",
            r#"service="/svc/web""#,
        ),
    ] {
        let (backend, open) = gated();
        let service = match service {
            "" => String::new(),
            total => format!("{total}{limits}"),
        };
        let setup = Setup::to(driver, backend.addr).server(&server);
        let proxy = setup.service(&service).start();
        let pending = format!(r#"ringlink_concurrency_pending{{rt="it",{labels}}}"#);
        // A body on its way holds a place, whatever the time to a response is.
        let mut holding = proxy.client();
        holding.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\na");
        wait_for("a request with a place", || backend.accepts() == 1);
        let mut leaving = proxy.client();
        send(&mut leaving, "");
        wait_for("its wait", || proxy.metric(&pending) == 1.0);
        drop(leaving);
        wait_for("its end", || proxy.metric(&pending) == 0.0);
        let mut hasty = proxy.client();
        let deadline = deadline_in(Duration::from_millis(100));
        send(&mut hasty, &format!("l5d-ctx-deadline: {deadline}\r\n"));
        let late = hasty.response();
        assert_eq!(
            (late.status, late.field("l5d-err")),
            (504, Some("deadline-exceeded"))
        );
        let late = proxy.client().get("/");
        assert_eq!(
            (late.status, late.field("l5d-err")),
            (504, Some("request-timeout"))
        );
        assert_eq!(late.field("l5d-retryable"), Some("true"));
        assert_eq!(proxy.metric(&pending), 0.0);
        // The next one gets the place when it is free.
        let mut next = proxy.client();
        send(&mut next, "");
        wait_for("its wait", || proxy.metric(&pending) == 1.0);
        open.store(true, Ordering::SeqCst);
        holding.send("b");
        assert_eq!(next.response().text(), "served");
        assert_eq!(holding.response().text(), "served");
        wait_for("the end of all", || proxy.metric(ACTIVE) == 0.0);
    }
}

fn places_change_with_a_reload(driver: Driver) {
    let (backend, open) = gated();
    let setup = |service: &str| Setup::to(driver, backend.addr).service(service).cores(2);
    let proxy = setup("maxConcurrentRequests: 1").start();
    let port = proxy.addr.port();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    send(&mut clients[0], "");
    wait_for("the first", || backend.requests().len() == 1);
    assert_eq!(proxy.client().get("/").status, 503);
    // Those that are there count on: two places more, then one less than are taken.
    let more = setup("maxConcurrentRequests: 3, rateLimit: {requests: 1000}");
    assert_eq!(proxy.reload(&more.yaml(port)).0, 200);
    send(&mut clients[1], "");
    send(&mut clients[2], "");
    wait_for("two more", || backend.requests().len() == 3);
    assert_eq!(proxy.client().get("/").status, 503);
    assert_eq!(
        proxy
            .reload(&setup("maxConcurrentRequests: 2").yaml(port))
            .0,
        200
    );
    assert_eq!(proxy.client().get("/").status, 503);
    assert_eq!(proxy.reload(&setup("").yaml(port)).0, 200);
    send(&mut clients[3], "");
    wait_for("all", || backend.requests().len() == 4);
    open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(
        proxy
            .reload(&setup("maxConcurrentRequests: 1").yaml(port))
            .0,
        200
    );
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200, "nothing was left taken");
    }
}

/// A backend that works on so many requests at once, 10 ms each.
fn worker(capacity: usize) -> Backend {
    let working = (Mutex::new(0), Condvar::new());
    Backend::answering(move |_| {
        let (count, freed) = &working;
        let busy = |count: &mut usize| *count >= capacity;
        let mut at_work = freed.wait_while(count.lock().unwrap(), busy).unwrap();
        *at_work += 1;
        drop(at_work);
        std::thread::sleep(Duration::from_millis(10));
        *count.lock().unwrap() -= 1;
        freed.notify_one();
        ok("done")
    })
}

fn an_adaptive_limit_finds_what_its_service_can_do(driver: Driver) {
    let limit = "adaptiveLimit: {min: 1, max: 200, initial: 30, windowMs: 20, baselineSecs: 1}";
    let server = format!("label: door, {limit}");
    for (server, service, labels) in [
        (server.as_str(), "", r#"server="door""#),
        ("", limit, r#"service="/svc/web""#),
    ] {
        let backend = worker(3);
        let setup = Setup::to(driver, backend.addr)
            .server(server)
            .service(service);
        let proxy = setup.cores(2).start();
        let metric = |name: &str| {
            proxy.metric(&format!(
                r#"ringlink_concurrency_{name}{{rt="it",{labels}}}"#
            ))
        };
        let (ended, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    while !ended.load(Ordering::SeqCst) {
                        let response = client.get("/");
                        if response.status == 503 {
                            let reason = response.field("l5d-err").expect("a reason");
                            assert!(reason.ends_with("overloaded"), "{reason}");
                            refused.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
            // One and a half times three, and the headroom: about ten. On a machine that is busy with
            // other things a pause may look like a service without a queue, until it is measured.
            // A measurement halves it for a moment: it has to stay there.
            let mut looks = 0;
            let is_found = || {
                std::thread::sleep(Duration::from_millis(20));
                let is_there = metric("limit") < 20.0 && metric("in_flight") < 30.0;
                looks = if is_there { looks + 1 } else { 0 };
                looks == 25
            };
            wait_for_if("the limit", is_found, &ended);
        });
        assert!(refused.load(Ordering::SeqCst) > 0);
        wait_for("all places", || metric("in_flight") == 0.0);
        assert_eq!(proxy.client().get("/").text(), "done");
    }
}

/// Waits, and ends what goes on meanwhile even if it was in vain.
fn wait_for_if(what: &str, done: impl FnMut() -> bool, ended: &AtomicBool) {
    struct End<'e>(&'e AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let _end = End(ended);
    wait_for(what, done);
}

fn failures_that_come_fast_raise_no_limit(driver: Driver) {
    let backend = Backend::answering(|_| b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec());
    let server = "label: door, adaptiveLimit: {min: 1, max: 200, initial: 7, windowMs: 1}";
    let setup = Setup::to(driver, backend.addr).server(server);
    let proxy = setup.client("failureAccrual: {kind: none}").start();
    let mut clients: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
    for _ in 0..40 {
        clients.iter_mut().for_each(|client| send(client, ""));
        for client in &mut clients {
            assert_eq!(client.response().status, 500);
        }
    }
    let limit = r#"ringlink_concurrency_limit{rt="it",server="door"}"#;
    assert_eq!(proxy.metric(limit), 7.0);
}

fn a_queue_that_stands_is_cut(driver: Driver) {
    let backend = worker(1);
    let server = "maxConcurrentRequests: 1, maxPendingRequests: 100, \
        queue: {kind: codel, targetMs: 5, intervalMs: 50}";
    let proxy = Setup::to(driver, backend.addr).server(server).start();
    let (served, refused) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut client = proxy.client();
                while !ended.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    let response = client.get("/");
                    if response.status == 200 {
                        served.lock().unwrap().push(begun.elapsed());
                        continue;
                    }
                    let said = (response.status, response.field("l5d-err"));
                    assert_eq!(said, (503, Some("queued-too-long")));
                    assert_eq!(response.field("l5d-retryable"), Some("true"));
                    refused.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
        let enough = || served.lock().unwrap().len() >= 100;
        wait_for_if("a hundred that are served", enough, &ended);
    });
    assert!(refused.load(Ordering::SeqCst) > 0);
    // One after the other, each would have waited for 29 others: 300 ms.
    let mut served = served.into_inner().unwrap();
    served.sort();
    let median = served[served.len() / 2];
    assert!(median < Duration::from_millis(150), "{median:?}");
    let pending = format!(
        r#"ringlink_concurrency_pending{{rt="it",server="{}"}}"#,
        proxy.addr
    );
    wait_for("nobody", || proxy.metric(&pending) == 0.0);
}

fn a_burst_that_is_served_in_time_loses_nobody(driver: Driver) {
    let backend = worker(1);
    let service = "maxConcurrentRequests: 1, maxPendingRequests: 10, \
        queue: {kind: codel, targetMs: 1000, intervalMs: 20000}";
    let setup = Setup::to(driver, backend.addr).service(service);
    let proxy = setup.cores(2).start();
    let mut clients: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| send(client, ""));
    for client in &mut clients {
        assert_eq!(client.response().text(), "done");
    }
}
