//! Resilience over real sockets: retries and what pays for them, failure accrual, deadlines, nacks,
//! and limits on requests at once.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::backend::ok;
use support::{Backend, Client, Driver, Proxy, Setup, pattern, wait_for};

both_drivers!(
    failures_are_retried_by_their_classifier,
    bodies_are_sent_again,
    what_was_not_kept_is_not_sent_again,
    retries_end_with_their_budget,
    a_spent_budget_is_respected_by_the_proxy_before,
    backoffs_are_waited_for,
    nacks_go_elsewhere_at_once,
    what_was_never_delivered_says_so,
    an_outage_costs_no_more_than_its_budget,
    failing_replicas_are_left_alone,
    deadlines_are_kept_and_passed_on,
    a_dead_request_is_never_dispatched,
    policies_are_by_name,
    requests_at_once_are_limited,
    pending_requests_wait_for_a_place,
    waiting_for_a_place_ends,
    room_at_a_replica_is_limited,
    like_requests_meet_at_one_replica,
    every_balancer_serves,
);

const RETRY: &str = "responseClassifier: {kind: io.l5d.http.retryableIdempotent5XX}";

fn status(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 {text}\r\nContent-Length: 4\r\n\r\noops").into_bytes()
}

/// Fails so many requests, then answers with what it was sent.
fn recovering(failures: usize) -> Backend {
    let seen = AtomicUsize::new(0);
    Backend::answering(
        move |request| match seen.fetch_add(1, Ordering::SeqCst) < failures {
            true => status("500 No"),
            false => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    request.body.len()
                );
                [head.as_bytes(), &request.body].concat()
            }
        },
    )
}

fn put(client: &mut Client, body: &[u8]) -> support::Response {
    client.send(format!(
        "PUT /p HTTP/1.1\r\nHost: web\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

fn failures_are_retried_by_their_classifier(driver: Driver) {
    let backend = recovering(2);
    let proxy = Setup::to(driver, backend.addr).service(RETRY).start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(backend.requests().len(), 3);
    assert_eq!(proxy.metric(r#"ringlink_retries_total{rt="it"}"#), 2.0);
    // A POST is not idempotent.
    let backend = recovering(1);
    let proxy = Setup::to(driver, backend.addr).service(RETRY).start();
    let response = proxy.client().post(b"x");
    assert_eq!((response.status, response.text().as_str()), (500, "oops"));
    assert_eq!(backend.requests().len(), 1);
    // And by default nothing is.
    let backend = recovering(1);
    let proxy = Setup::to(driver, backend.addr).start();
    assert_eq!(proxy.client().get("/").status, 500);
}

fn bodies_are_sent_again(driver: Driver) {
    for body in [pattern(1), pattern(20_000), pattern(60_000)] {
        let backend = recovering(2);
        let proxy = Setup::to(driver, backend.addr).service(RETRY).start();
        let response = put(&mut proxy.client(), &body);
        assert_eq!(response.status, 200, "{}", response.text());
        support::assert_same(&response.body, &body, "the body");
        let whole = backend
            .requests()
            .iter()
            .all(|request| request.body == body);
        assert!(whole && backend.requests().len() == 3);
    }
    // In chunks, too.
    let backend = recovering(1);
    let proxy = Setup::to(driver, backend.addr).service(RETRY).start();
    let mut client = proxy.client();
    client.send("PUT /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(support::client::chunks(&pattern(5000), 700));
    let response = client.response();
    assert_eq!(response.status, 200);
    support::assert_same(&response.body, &pattern(5000), "the body");
}

fn what_was_not_kept_is_not_sent_again(driver: Driver) {
    let backend = recovering(1);
    let proxy = Setup::to(driver, backend.addr).service(RETRY).start();
    let response = put(&mut proxy.client(), &pattern(200_000));
    assert_eq!((response.status, backend.requests().len()), (500, 1));
    let backend = recovering(1);
    let service = format!("{RETRY}, retries: {{bufferBytes: 0}}");
    let proxy = Setup::to(driver, backend.addr).service(&service).start();
    let response = put(&mut proxy.client(), b"x");
    assert_eq!((response.status, backend.requests().len()), (500, 1));
}

fn retries_end_with_their_budget(driver: Driver) {
    let backend = recovering(usize::MAX);
    let budget = "retries: {budget: {minRetriesPerSec: 0, percentCanRetry: 0.5, ttlSecs: 60}}";
    let service = format!("{RETRY}, {budget}");
    // Accrual is out of the way: this is about what a service pays.
    let client = "failureAccrual: {kind: none}";
    let setup = Setup::to(driver, backend.addr)
        .service(&service)
        .client(client);
    let proxy = setup.cores(2).start();
    let mut clients = [proxy.client(), proxy.client(), proxy.client()];
    for turn in 0..100 {
        let response = clients[turn % 3].get("/");
        // The client gets the replica's own answer, not one of the proxy's.
        assert_eq!((response.status, response.text().as_str()), (500, "oops"));
    }
    assert_eq!(backend.requests().len(), 150);
}

fn a_spent_budget_is_respected_by_the_proxy_before(driver: Driver) {
    let backend = Backend::fixed(status("500 No"));
    let budget = |share| {
        format!(
            "{RETRY}, retries: {{budget: {{minRetriesPerSec: 0, percentCanRetry: {share}, ttlSecs: 60}}}}"
        )
    };
    // The last one may retry one request in ten; the one before it as often as it likes.
    let last = Setup::to(driver, backend.addr)
        .service(&budget(0.1))
        .start();
    let first = Setup::to(driver, last.addr).service(&budget(10.0)).start();
    let mut client = first.client();
    for _ in 0..40 {
        let response = client.get("/");
        assert_eq!(response.status, 500);
        assert_eq!(response.field("l5d-retryable"), Some("false"));
    }
    let (came, retried) = (
        last.metric(r#"ringlink_requests_total{rt="it"}"#),
        first.metric(r#"ringlink_retries_total{rt="it"}"#),
    );
    assert_eq!((came, retried), (40.0, 0.0));
    assert_eq!(backend.requests().len(), 44);
    // What is no failure by its classifier is none, whatever it says.
    let head = "HTTP/1.1 500 No\r\nl5d-retryable: false\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::fixed(head);
    let proxy = Setup::to(driver, backend.addr)
        .service("responseClassifier: {kind: io.l5d.http.allSuccessful}")
        .start();
    let response = proxy.client().get("/");
    assert_eq!(response.field("l5d-success-class"), Some("1.0"));
}

fn backoffs_are_waited_for(driver: Driver) {
    let backend = recovering(3);
    let service = format!("{RETRY}, retries: {{backoff: {{kind: constant, ms: 100}}}}");
    let proxy = Setup::to(driver, backend.addr).service(&service).start();
    let started = Instant::now();
    assert_eq!(proxy.client().get("/").status, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
    // None that would end too late is begun.
    let backend = recovering(9);
    let service =
        format!("{RETRY}, totalTimeoutMs: 250, retries: {{backoff: {{kind: constant, ms: 100}}}}");
    let proxy = Setup::to(driver, backend.addr).service(&service).start();
    assert_eq!(proxy.client().get("/").status, 500);
    assert_eq!(backend.requests().len(), 3);
}

fn pair(driver: Driver, one: &Backend, other: &Backend) -> Setup {
    let places = format!(
        "{{kind: io.l5d.static, prefix: /s, names: {{/pair: [{} {}, {} {}]}}}}",
        one.addr.ip(),
        one.addr.port(),
        other.addr.ip(),
        other.addr.port()
    );
    Setup::dtab(driver, "/svc => /#/s/pair").namers(&places)
}

fn nacks_go_elsewhere_at_once(driver: Driver) {
    for nack in ["finagle-http-nack: true", "Retry-After: 0"] {
        let head = format!("HTTP/1.1 503 Busy\r\n{nack}\r\nContent-Length: 0\r\n\r\n");
        let (busy, free) = (Backend::fixed(head), Backend::named("free"));
        let proxy = pair(driver, &busy, &free).start();
        let mut client = proxy.client();
        for _ in 0..20 {
            // Whatever the method.
            let response = client.post(b"x");
            assert_eq!((response.status, response.text().as_str()), (200, "free"));
        }
        assert!(!busy.requests().is_empty());
    }
    let head =
        "HTTP/1.1 503 Busy\r\nfinagle-http-nonretryable-nack: true\r\nContent-Length: 0\r\n\r\n";
    let (one, other) = (Backend::fixed(head), Backend::fixed(head));
    let proxy = pair(driver, &one, &other).start();
    assert_eq!(proxy.client().get("/").status, 503);
    assert_eq!(one.requests().len() + other.requests().len(), 1);
}

fn what_was_never_delivered_says_so(driver: Driver) {
    let gone = support::free_port();
    let proxy = Setup::dtab(driver, &format!("/svc => /$/inet/127.0.0.1/{gone}")).start();
    let response = proxy.client().post(b"x");
    let said = (
        response.status,
        response.field("l5d-err"),
        response.field("l5d-retryable"),
    );
    assert_eq!(said, (502, Some("connect-failed"), Some("true")));
    // A proxy before it retries it by that, though its classifier would not.
    let seen = AtomicUsize::new(0);
    let backend = Backend::answering(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => b"HTTP/1.1 502 No\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => ok("delivered"),
    });
    let proxy = Setup::to(driver, backend.addr).start();
    assert_eq!(proxy.client().post(b"x").text(), "delivered");
}

fn an_outage_costs_no_more_than_its_budget(driver: Driver) {
    let (one, other) = (support::free_port(), support::free_port());
    let places = format!(
        "{{kind: io.l5d.static, prefix: /s, names: {{/pair: [127.0.0.1 {one}, 127.0.0.1 {other}]}}}}"
    );
    let proxy = Setup::dtab(driver, "/svc => /#/s/pair")
        .namers(&places)
        .client("requeueBudget: {minRetriesPerSec: 0, percentCanRetry: 0.2, ttlSecs: 60}")
        .start();
    let mut client = proxy.client();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 502);
    }
    // Only what was delivered pays for requeues: nothing was.
    assert_eq!(
        proxy.metric(r#"ringlink_upstream_connect_failures_total{rt="it"}"#),
        100.0
    );
}

fn failing_replicas_are_left_alone(driver: Driver) {
    let (ill, well) = (Backend::fixed(status("500 Ill")), Backend::named("well"));
    let accrual = "failureAccrual: {kind: io.l5d.consecutiveFailures, failures: 3, backoff: {kind: constant, ms: 60000}}";
    let proxy = pair(driver, &ill, &well).client(accrual).cores(2).start();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    let failed = (0..200)
        .filter(|turn| clients[turn % 4].get("/").status == 500)
        .count();
    assert_eq!(failed, 3, "all shards count together");
    // It is probed when its time has come, and is back when it is well.
    let recovers = recovering(3);
    let accrual = accrual.replace("60000", "200");
    let proxy = pair(driver, &recovers, &well).client(&accrual).start();
    let mut client = proxy.client();
    wait_for("the ejection", || {
        client.get("/");
        recovers.requests().len() == 3
    });
    wait_for("the probe", || {
        std::thread::sleep(Duration::from_millis(20));
        client.get("/").status == 200 && recovers.requests().len() > 4
    });
}

fn wall_ns(ahead: Duration) -> u128 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead).as_nanos()
}

fn with_deadline(client: &mut Client, ahead: Duration) -> support::Response {
    let (now, until) = (wall_ns(Duration::ZERO), wall_ns(ahead));
    client.ask(format!(
        "GET / HTTP/1.1\r\nHost: web\r\nl5d-ctx-deadline: {now} {until}\r\n\r\n"
    ))
}

fn deadlines_are_kept_and_passed_on(driver: Driver) {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(400));
        ok("late")
    });
    // Two proxies: the second is told what is left.
    let last = Setup::to(driver, backend.addr).start();
    let first = Setup::to(driver, last.addr).start();
    let started = Instant::now();
    let response = with_deadline(&mut first.client(), Duration::from_millis(150));
    assert_eq!(
        (response.status, response.field("l5d-err")),
        (504, Some("deadline-exceeded"))
    );
    assert!(started.elapsed() < Duration::from_millis(390));
    let response = with_deadline(&mut first.client(), Duration::from_secs(20));
    assert_eq!(response.status, 200);
    let requests = backend.requests();
    let told = requests[1].field("l5d-ctx-deadline").expect("a deadline");
    let until: u128 = told
        .split(' ')
        .nth(1)
        .expect("two times")
        .parse()
        .expect("a number");
    let left = until - wall_ns(Duration::ZERO);
    assert!(
        (18_000_000_000..20_000_000_000).contains(&left),
        "{left} ns are left"
    );
    // Nobody's time is limited by others' words: there was none, and nothing is configured.
    first.client().get("/");
    assert_eq!(backend.requests()[2].field("l5d-ctx-deadline"), None);
}

fn a_dead_request_is_never_dispatched(driver: Driver) {
    let backend = Backend::echo();
    let proxy = Setup::to(driver, backend.addr).start();
    let past = format!(
        "{} {}",
        wall_ns(Duration::ZERO),
        wall_ns(Duration::ZERO) - 1
    );
    let request = format!("GET / HTTP/1.1\r\nHost: web\r\nl5d-ctx-deadline: {past}\r\n\r\n");
    let response = proxy.client().ask(&request);
    assert_eq!(
        (response.status, response.field("l5d-err")),
        (504, Some("deadline-exceeded"))
    );
    assert!(backend.requests().is_empty());
    // Strangers are not believed.
    let proxy = Setup::to(driver, backend.addr)
        .server("clearContext: true")
        .start();
    assert_eq!(proxy.client().ask(request).status, 200);
}

fn policies_are_by_name(driver: Driver) {
    let slow = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(300));
        ok("late")
    });
    let proxy = Setup::to(driver, slow.addr)
        .service("kind: io.l5d.static, configs: [{prefix: /svc, totalTimeoutMs: 5000}, {prefix: /svc/hasty, totalTimeoutMs: 50}]")
        .client("kind: io.l5d.static, configs: [{prefix: /$/inet/*, connectTimeoutMs: 500}]")
        .start();
    let ask = |host: &str| {
        proxy
            .client()
            .ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .status
    };
    assert_eq!((ask("patient"), ask("hasty")), (200, 504));
}

/// A backend that answers when so many requests are there.
fn crowded(count: usize) -> Backend {
    let barrier = Arc::new(Barrier::new(count));
    Backend::answering(move |_| {
        barrier.wait();
        ok("all here")
    })
}

fn requests_at_once_are_limited(driver: Driver) {
    let backend = crowded(3);
    let proxy = Setup::to(driver, backend.addr)
        .server("maxConcurrentRequests: 2")
        .cores(2)
        .start();
    let mut waiting = [proxy.client(), proxy.client()];
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    }
    wait_for("both", || backend.requests().len() == 2);
    let refused = proxy.client().get("/");
    assert_eq!(
        (refused.status, refused.field("l5d-err")),
        (503, Some("overloaded"))
    );
    assert_eq!(refused.field("finagle-http-nack"), Some("true"));
    assert_eq!(refused.field("retry-after"), Some("0"));
    let posted = proxy.client().post(b"x");
    assert_eq!(posted.field("finagle-http-nonretryable-nack"), Some("true"));
    // A place is free again when its client leaves.
    drop(waiting);
    wait_for("a place", || {
        proxy.metric(r#"ringlink_requests_active{rt="it"}"#) == 0.0
    });
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

fn pending_requests_wait_for_a_place(driver: Driver) {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ok("served")
    });
    let server = "maxConcurrentRequests: 1, maxPendingRequests: 3";
    let proxy = Setup::to(driver, backend.addr)
        .server(server)
        .cores(2)
        .start();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    }
    wait_for("all", || {
        proxy.metric(r#"ringlink_requests_active{rt="it"}"#) == 4.0
    });
    let refused = proxy.client().get("/");
    assert_eq!(refused.status, 503);
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
    }
}

fn waiting_for_a_place_ends(driver: Driver) {
    let backend = Backend::echo();
    let server = "maxConcurrentRequests: 1, maxPendingRequests: 3, timeoutMs: 700";
    let proxy = Setup::to(driver, backend.addr).server(server).start();
    // Its body does not come: it keeps the place.
    let mut first = proxy.client();
    first.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\n");
    wait_for("the first", || {
        proxy.metric(r#"ringlink_requests_active{rt="it"}"#) == 1.0
    });
    let response = with_deadline(&mut proxy.client(), Duration::from_millis(100));
    assert_eq!(
        (response.status, response.field("l5d-err")),
        (504, Some("deadline-exceeded"))
    );
    let response = proxy.client().get("/");
    assert_eq!(
        (response.status, response.field("l5d-err")),
        (504, Some("request-timeout"))
    );
    assert!(backend.requests().is_empty());
}

fn room_at_a_replica_is_limited(driver: Driver) {
    let backend = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ok("served")
    });
    let client = "hostConnectionPool: {maxSize: 1, maxWaiters: 2}";
    let proxy = Setup::to(driver, backend.addr).client(client).start();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    }
    let mut answers: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let response = client.response();
            (
                response.status,
                response.field("l5d-err").map(str::to_owned),
            )
        })
        .collect();
    answers.sort();
    let full = (503, Some("too-many-waiters".to_owned()));
    assert_eq!(answers, [(200, None), (200, None), (200, None), full]);
    assert_eq!(backend.accepts(), 1);
}

fn like_requests_meet_at_one_replica(driver: Driver) {
    let (one, other) = (Backend::named("one"), Backend::named("other"));
    let balancer = "loadBalancer: {kind: ringHash, hashBy: {header: x-user}}";
    let proxy = pair(driver, &one, &other).client(balancer).start();
    let mut client = proxy.client();
    let mut ask = |user: usize| {
        client
            .ask(format!(
                "GET / HTTP/1.1\r\nHost: web\r\nX-User: {user}\r\n\r\n"
            ))
            .text()
    };
    let first: Vec<String> = (0..50).map(&mut ask).collect();
    let again: Vec<String> = (0..50).map(&mut ask).collect();
    assert_eq!(first, again);
    assert!(first.iter().any(|name| name == "one") && first.iter().any(|name| name == "other"));
}

fn every_balancer_serves(driver: Driver) {
    for kind in [
        "p2c",
        "ewma",
        "aperture",
        "heap",
        "roundRobin",
        "ringHash, hashBy: path",
    ] {
        let (one, other) = (Backend::named("one"), Backend::named("other"));
        let balancer = format!("loadBalancer: {{kind: {kind}}}");
        let proxy: Proxy = pair(driver, &one, &other)
            .client(&balancer)
            .cores(2)
            .start();
        let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
        for turn in 0..40 {
            assert_eq!(clients[turn % 4].get("/").status, 200, "{kind}");
        }
        assert_eq!(one.requests().len() + other.requests().len(), 40, "{kind}");
        if kind == "roundRobin" {
            assert!(one.requests().len().abs_diff(20) <= 4, "{kind}");
        }
    }
}
