//! Reloads of a running proxy: what changes, what stays, and what a wrong file does (nothing).

mod support;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::proxy::inet;
use support::{Backend, Client, Driver, Proxy, Setup, free_port, wait_for};

both_drivers!(
    another_table_is_in_force_and_connections_stay,
    a_wrong_file_changes_nothing,
    servers_come_and_go,
    routers_come_and_go,
    what_needs_a_restart_is_refused,
    a_taken_port_changes_nothing,
    a_changed_file_is_followed,
    settings_take_effect,
    namers_that_stay_go_on,
    a_storm_fails_no_request,
);

fn get(client: &mut Client) -> (u16, String) {
    let response = client.get("/");
    (response.status, response.text())
}

fn ok(name: &str) -> (u16, String) {
    (200, name.to_owned())
}

fn start(driver: Driver, backend: &Backend) -> (Setup, Proxy) {
    let setup = Setup::to(driver, backend.addr).cores(2);
    (setup.clone(), setup.start())
}

/// The same setup, but that everything goes to another backend.
fn led_to(setup: &Setup, backend: &Backend) -> Setup {
    let mut setup = setup.clone();
    setup.dtab = format!("/svc => {}", inet(backend.addr));
    setup
}

fn another_table_is_in_force_and_connections_stay(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (setup, proxy) = start(driver, &red);
    let mut clients: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(get(client), ok("red"));
    }
    let port = proxy.addr.port();
    let answer = proxy.reload(&led_to(&setup, &blue).yaml(port));
    assert_eq!(answer, (200, "generation 2\n".to_owned()));
    for client in &mut clients {
        assert_eq!(get(client), ok("blue"));
    }
    // And by a signal, back again. What it had pooled is still there.
    let accepts = red.accepts();
    proxy.rewrite(&setup.yaml(port));
    hang_up(&proxy);
    wait_for("the reload", || get(&mut clients[0]) == ok("red"));
    for client in &mut clients {
        assert_eq!(get(client), ok("red"));
    }
    assert_eq!(red.accepts(), accepts, "the pool was lost");
    assert_eq!(proxy.metric("ringlink_config_generation"), 3.0);
    assert!(proxy.metric(r#"ringlink_requests_total{rt="it"}"#) >= 24.0);
    assert_eq!(proxy.metric(r#"ringlink_connections{rt="it"}"#), 8.0);
}

fn hang_up(proxy: &Proxy) {
    let pid = proxy.pid().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status();
    assert!(kill.expect("kill").success());
}

fn a_wrong_file_changes_nothing(driver: Driver) {
    let red = Backend::named("red");
    let (setup, proxy) = start(driver, &red);
    let mut client = proxy.client();
    assert_eq!(get(&mut client), ok("red"));
    let yaml = setup.yaml(proxy.addr.port());
    let (status, text) = proxy.reload(&yaml.replace("dtab:", "dtabb:"));
    assert_eq!(status, 400);
    assert!(
        text.contains(":8:3: routers[0].dtabb: unknown key `dtabb` (did you mean `dtab`?"),
        "{text}"
    );
    let (status, text) = proxy.reload("routers: [");
    assert_eq!(status, 400, "{text}");
    assert_eq!(get(&mut client), ok("red"));
    assert_eq!(proxy.metric("ringlink_config_behind"), 1.0);
    assert_eq!(
        proxy.metric(r#"ringlink_config_reloads_total{result="refused"}"#),
        2.0
    );
    assert_eq!(proxy.reload(&yaml).0, 200);
    assert_eq!(proxy.metric("ringlink_config_behind"), 0.0);
    assert_eq!(get(&mut client), ok("red"));
}

/// A router of two servers.
fn with_servers(setup: &Setup, ports: &[u16]) -> String {
    let servers: Vec<String> = ports
        .iter()
        .map(|port| format!("{{port: {port}}}"))
        .collect();
    let yaml = setup.yaml(1);
    yaml.replace(
        "servers: [{port: 1}]",
        &format!("servers: [{}]", servers.join(", ")),
    )
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn servers_come_and_go(driver: Driver) {
    let red = Backend::named("red");
    let (setup, proxy) = start(driver, &red);
    let (first, second) = (proxy.addr.port(), free_port());
    let mut stays = proxy.client();
    assert_eq!(get(&mut stays), ok("red"));
    assert_eq!(proxy.reload(&with_servers(&setup, &[first, second])).0, 200);
    let mut new: Vec<Client> = (0..4).map(|_| Client::connect(at(second))).collect();
    for client in &mut new {
        assert_eq!(get(client), ok("red"));
    }
    assert_eq!(get(&mut stays), ok("red"));
    // The first goes: its connections end in order, the others stay.
    assert_eq!(proxy.reload(&with_servers(&setup, &[second])).0, 200);
    assert!(stays.is_closed());
    wait_for("the port to close", || {
        TcpStream::connect(at(first)).is_err()
    });
    for client in &mut new {
        assert_eq!(get(client), ok("red"));
    }
    // And comes back, while the second moves to every address.
    let yaml = with_servers(&setup, &[first, second]);
    let wide = yaml.replace(
        &format!("{{port: {second}}}"),
        &format!("{{port: {second}, ip: 0.0.0.0}}"),
    );
    assert_eq!(proxy.reload(&wide).0, 200);
    assert_eq!(get(&mut proxy.client()), ok("red"));
    assert_eq!(get(&mut Client::connect(at(second))), ok("red"));
}

/// Routers by their labels, ports and backends.
fn routers(driver: Driver, of: &[(&str, u16, &Backend)]) -> String {
    let mut yaml = format!(
        "admin: {{port: 0}}\nengine: {{driver: {}, cores: 2}}\nrouters:\n",
        driver.name()
    );
    for (label, port, backend) in of {
        let to = inet(backend.addr);
        yaml.push_str(&format!(
            "- {{protocol: http, label: {label}, servers: [{{port: {port}}}], dtab: /svc => {to}}}\n"
        ));
    }
    yaml
}

fn routers_come_and_go(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (one, two) = (free_port(), free_port());
    let proxy = Proxy::spawn(&routers(driver, &[("a", one, &red)]), at(one));
    wait_for("the start", || proxy.said().contains("admin: http"));
    let mut client = proxy.client();
    assert_eq!(get(&mut client), ok("red"));
    let both = routers(driver, &[("b", two, &blue), ("a", one, &red)]);
    assert_eq!(proxy.reload(&both).0, 200);
    let mut other = Client::connect(at(two));
    assert_eq!((get(&mut client), get(&mut other)), (ok("red"), ok("blue")));
    assert_eq!(proxy.metric(r#"ringlink_requests_total{rt="a"}"#), 2.0);
    // The servers change hands: connections stay, and go where their new router leads them.
    let crossed = routers(driver, &[("b", one, &blue), ("a", two, &red)]);
    assert_eq!(proxy.reload(&crossed).0, 200);
    assert_eq!((get(&mut client), get(&mut other)), (ok("blue"), ok("red")));
    // A router under another name is another router; its predecessor's server goes on.
    let renamed = routers(driver, &[("c", one, &red)]);
    assert_eq!(proxy.reload(&renamed).0, 200);
    assert_eq!(get(&mut client), ok("red"));
    assert!(other.is_closed());
    assert_eq!(proxy.metric(r#"ringlink_requests_total{rt="c"}"#), 1.0);
    assert!(!proxy.admin().get("/metrics").text().contains(r#"rt="a""#));
}

fn what_needs_a_restart_is_refused(driver: Driver) {
    let red = Backend::named("red");
    let (setup, proxy) = start(driver, &red);
    let yaml = setup.yaml(proxy.addr.port());
    let (status, text) = proxy.reload(&yaml.replace("cores: 2", "cores: 1"));
    assert_eq!(
        (status, text.as_str()),
        (
            409,
            "`engine` cannot change while ringlink runs: restart it\n"
        )
    );
    let (status, text) = proxy.reload(&yaml.replace("admin: {port: 0", "admin: {port: 19990"));
    assert_eq!(status, 409);
    assert!(
        text.starts_with("`admin.ip` and `admin.port` cannot change"),
        "{text}"
    );
    // The limit on connections is no part of what the engine is built on.
    let other = yaml.replace("cores: 2", "cores: 2, maxConnections: 2");
    assert_eq!(proxy.reload(&other).0, 200);
    let mut clients = [proxy.client(), proxy.client()];
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(get(client), ok("red")));
    let mut more: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    for client in &mut more {
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    }
    // Each shard may have accepted one that it did not expect.
    let mut waiting = more.iter_mut();
    let waiting = waiting.by_ref().filter_map(|client| {
        let waits = client.is_silent_for(Duration::from_millis(100));
        waits.then_some(())
    });
    assert!(waiting.count() >= 6, "the limit is not in force");
    assert_eq!(proxy.reload(&yaml).0, 200);
    for mut client in more {
        assert_eq!(client.response().status, 200);
    }
}

fn a_taken_port_changes_nothing(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (setup, proxy) = start(driver, &red);
    let first = proxy.addr.port();
    let (status, text) = proxy.reload(&with_servers(
        &led_to(&setup, &blue),
        &[first, red.addr.port()],
    ));
    assert_eq!(status, 409);
    let expected = format!("router it cannot listen on {}: ", red.addr);
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(get(&mut proxy.client()), ok("red"));
}

fn a_changed_file_is_followed(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let setup = Setup::to(driver, red.addr);
    let on = |setup: &Setup, port| {
        setup
            .yaml(port)
            .replace("admin: {", "admin: {reloadOnChange: true, ")
    };
    let port = free_port();
    let proxy = Proxy::spawn(&on(&setup, port), at(port));
    wait_for("the start", || proxy.said().contains("admin: http"));
    let mut client = proxy.client();
    assert_eq!(get(&mut client), ok("red"));
    proxy.rewrite(&on(&led_to(&setup, &blue), port));
    wait_for("the change", || get(&mut client) == ok("blue"));
    proxy.rewrite("what?");
    wait_for("the refusal", || {
        proxy.said().contains("not reloaded, nothing has changed")
    });
    // The next one says that files are followed no longer.
    proxy.rewrite(&setup.yaml(port));
    wait_for("the change", || get(&mut client) == ok("red"));
    proxy.rewrite(&on(&led_to(&setup, &blue), port));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(get(&mut client), ok("red"));
}

fn settings_take_effect(driver: Driver) {
    let slow = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(300));
        support::backend::ok("late")
    });
    let (setup, proxy) = start(driver, &slow);
    let port = proxy.addr.port();
    let mut client = proxy.client();
    assert_eq!(get(&mut client), ok("late"));
    let hasty = setup.clone().client("requestAttemptTimeoutMs: 50");
    // A request in flight is judged by what was in force when it began.
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    wait_for("the request", || slow.requests().len() == 2);
    assert_eq!(proxy.reload(&hasty.yaml(port)).0, 200);
    assert_eq!(client.response().status, 200);
    assert_eq!(get(&mut client).0, 504);
    let other = setup.router("identifier: {kind: io.l5d.header.token, header: x-svc}");
    assert_eq!(proxy.reload(&other.yaml(port)).0, 200);
    assert_eq!(get(&mut client).0, 400);
    let named = client.ask("GET / HTTP/1.1\r\nHost: web\r\nX-Svc: any\r\n\r\n");
    assert_eq!(named.status, 200);
}

fn namers_that_stay_go_on(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = std::env::temp_dir().join(format!(
        "ringlink-reload-{}-{}",
        std::process::id(),
        driver.name()
    ));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |backend: &Backend| {
        let fresh = dir.join(".fresh");
        std::fs::write(&fresh, format!("127.0.0.1 {}\n", backend.addr.port())).unwrap();
        std::fs::rename(fresh, dir.join("web")).unwrap();
    };
    write(&red);
    let files = format!("{{kind: io.l5d.fs, rootDir: {}}}", dir.display());
    let setup = Setup::dtab(driver, "/svc => /#/io.l5d.fs")
        .namers(&files)
        .cores(2);
    let proxy = setup.clone().start();
    let port = proxy.addr.port();
    let mut client = proxy.client();
    assert_eq!(get(&mut client), ok("red"));
    let accepts = red.accepts();
    // Another namer comes before it, and the file's own stays the same.
    let more = format!(
        "{{kind: io.l5d.static, prefix: /fixed, names: {{/web: [{} {}]}}}}, {files}",
        blue.addr.ip(),
        blue.addr.port()
    );
    assert_eq!(proxy.reload(&setup.clone().namers(&more).yaml(port)).0, 200);
    assert_eq!(get(&mut client), ok("red"));
    assert_eq!(red.accepts(), accepts, "the pool was lost");
    // The table leads elsewhere, and the file is not forgotten meanwhile.
    let mut fixed = setup.clone().namers(&more);
    fixed.dtab = "/svc => /#/fixed".to_owned();
    assert_eq!(proxy.reload(&fixed.yaml(port)).0, 200);
    assert_eq!(get(&mut client), ok("blue"));
    assert_eq!(proxy.reload(&setup.yaml(port)).0, 200);
    assert_eq!(get(&mut client), ok("red"));
    write(&blue);
    wait_for("the file", || get(&mut client) == ok("blue"));
    // A table whose namer is not there fails, rather than to go on by the one before.
    let mut without = setup.clone().namers("");
    without.dtab = "/svc => /#/absent".to_owned();
    assert_eq!(proxy.reload(&without.yaml(port)).0, 200);
    let response = client.get("/");
    assert_eq!(
        (response.status, response.field("l5d-err")),
        (502, Some("binding-failed"))
    );
    std::fs::remove_dir_all(dir).unwrap();
}

/// Reload after reload of everything that can change, under load: no request fails, no connection
/// ends.
fn a_storm_fails_no_request(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (setup, proxy) = start(driver, &red);
    let (port, spare) = (proxy.addr.port(), free_port());
    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let load = || {
            let mut client = proxy.client();
            while !stop.load(Ordering::Relaxed) {
                let (status, name) = get(&mut client);
                assert!(
                    status == 200 && ["red", "blue"].contains(&name.as_str()),
                    "{status} {name}"
                );
                served.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for turn in 0..200u16 {
            let backend = if turn % 2 == 0 { &blue } else { &red };
            let setup =
                led_to(&setup, backend).client(&format!("connectTimeoutMs: {}", 500 + turn));
            let ports = if turn % 3 == 0 {
                vec![port, spare]
            } else {
                vec![port]
            };
            let yaml = with_servers(&setup, &ports);
            let yaml = match turn % 5 {
                4 => yaml.replace("label: it", "label: other"),
                _ => yaml,
            };
            let (status, text) = proxy.reload(&yaml);
            assert_eq!(status, 200, "{text}");
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no request failed");
        }
    });
    let served = served.into_inner();
    println!("200 reloads in {:?}, {served} requests", started.elapsed());
    assert!(served > 200);
}
