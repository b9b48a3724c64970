//! Active health checks over real sockets: who is ill gets no requests, until it is well.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::backend::ok;
use support::{Backend, Driver, Proxy, Setup, wait_for};

both_drivers!(
    ill_replicas_get_no_requests,
    a_connection_is_enough_without_a_path,
    when_nobody_is_well_everybody_serves,
    a_reload_ends_the_checks,
);

/// A backend that answers its check as it is told.
fn patient(name: &'static str) -> (Backend, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&well);
    let backend = Backend::answering(move |request| {
        let is_check = request.line.starts_with("GET /up?deep=1 ");
        match is_check && !told.load(Ordering::SeqCst) {
            true => b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n".to_vec(),
            false => ok(name),
        }
    });
    (backend, well)
}

fn setup(driver: Driver, ports: [u16; 2], check: &str) -> Setup {
    let places = format!(
        "{{kind: io.l5d.static, prefix: /s, names: {{/pair: [127.0.0.1 {}, 127.0.0.1 {}]}}}}",
        ports[0], ports[1]
    );
    Setup::dtab(driver, "/svc => /#/s/pair")
        .namers(&places)
        .client(check)
}

const CHECK: &str =
    "healthCheck: {path: \"/up?deep=1\", intervalMs: 30, timeoutMs: 500, failures: 2}";

fn unhealthy(proxy: &Proxy) -> f64 {
    proxy.metric("ringlink_discovery_unhealthy_replicas")
}

/// How many of 30 requests each of these answered, and how many failed.
fn served(proxy: &Proxy, names: [&str; 2]) -> ([usize; 2], usize) {
    let mut counts = ([0; 2], 0);
    let mut client = proxy.client();
    for _ in 0..30 {
        let text = client.get("/").text();
        match names.iter().position(|name| *name == text) {
            Some(at) => counts.0[at] += 1,
            None => counts.1 += 1,
        }
    }
    counts
}

fn ill_replicas_get_no_requests(driver: Driver) {
    let ((one, well), (other, _)) = (patient("one"), patient("other"));
    let proxy = setup(driver, [one.addr.port(), other.addr.port()], CHECK).start();
    let both = served(&proxy, ["one", "other"]);
    assert!(
        both.0.iter().all(|count| *count > 0) && both.1 == 0,
        "{both:?}"
    );
    well.store(false, Ordering::SeqCst);
    wait_for("the diagnosis", || unhealthy(&proxy) == 1.0);
    assert_eq!(served(&proxy, ["one", "other"]), ([0, 30], 0));
    well.store(true, Ordering::SeqCst);
    wait_for("the recovery", || unhealthy(&proxy) == 0.0);
    let both = served(&proxy, ["one", "other"]);
    assert!(both.0.iter().all(|count| *count > 0), "{both:?}");
    let requests = other.requests();
    let check = requests
        .iter()
        .find(|one| one.line.contains("/up"))
        .expect("a check");
    assert_eq!(check.field("user-agent"), Some("ringlink-health-check"));
}

fn a_connection_is_enough_without_a_path(driver: Driver) {
    let (one, _) = patient("one");
    let gone = support::free_port();
    let check = "healthCheck: {intervalMs: 30, failures: 1}, requeueBudget: {minRetriesPerSec: 0, percentCanRetry: 0}";
    let proxy = setup(driver, [one.addr.port(), gone], check).start();
    // The first request brings the name into use.
    let _ = proxy.client().get("/");
    wait_for("the diagnosis", || unhealthy(&proxy) == 1.0);
    assert_eq!(served(&proxy, ["one", "none"]), ([30, 0], 0));
}

fn when_nobody_is_well_everybody_serves(driver: Driver) {
    let ((one, well), (other, well_too)) = (patient("one"), patient("other"));
    let proxy = setup(driver, [one.addr.port(), other.addr.port()], CHECK).start();
    well.store(false, Ordering::SeqCst);
    well_too.store(false, Ordering::SeqCst);
    let _ = proxy.client().get("/");
    wait_for("the diagnosis", || unhealthy(&proxy) == 2.0);
    let both = served(&proxy, ["one", "other"]);
    assert!(
        both.0.iter().all(|count| *count > 0) && both.1 == 0,
        "{both:?}"
    );
}

fn a_reload_ends_the_checks(driver: Driver) {
    let ((one, well), (other, _)) = (patient("one"), patient("other"));
    let ports = [one.addr.port(), other.addr.port()];
    let proxy = setup(driver, ports, CHECK).start();
    well.store(false, Ordering::SeqCst);
    let _ = proxy.client().get("/");
    wait_for("the diagnosis", || unhealthy(&proxy) == 1.0);
    let without = setup(driver, ports, "failFast: false").yaml(proxy.addr.port());
    let (status, said) = proxy.reload(&without);
    assert_eq!(status, 200, "{said}");
    wait_for("the end", || unhealthy(&proxy) == 0.0);
    wait_for("its requests", || served(&proxy, ["one", "other"]).0[0] > 0);
    let before = one.requests().len();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(one.requests().len(), before, "nobody asks any more");
}
