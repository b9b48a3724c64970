//! Discovery: namers behind running proxies, and what they make of change.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::proxy::Proxy;
use support::{Backend, Client, Driver, PATIENCE, Setup};

both_drivers!(
    files,
    directories_and_residuals,
    files_that_change,
    bad_files_change_nothing,
    names_that_come_and_go,
    swapped_links,
    written_out,
    rewritten,
    later_namers_first,
    strange_names,
);

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str, driver: Driver) -> Dir {
        let name = format!("ringlink-{}-{}-{name}", std::process::id(), driver.name());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("a directory");
        Dir(path)
    }

    /// Writes a file beside its place and renames it there.
    fn put(&self, name: &str, text: &str) {
        let fresh = self.0.join(".fresh");
        fs::write(&fresh, text).expect("written");
        fs::rename(fresh, self.0.join(name)).expect("renamed");
    }

    fn serves(&self, name: &str, backends: &[&Backend]) {
        let lines = backends.iter().map(|backend| line(backend.addr));
        self.put(name, &lines.collect::<String>());
    }

    fn namer(&self) -> String {
        format!("{{kind: io.l5d.fs, rootDir: {}}}", self.0.display())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn line(addr: SocketAddr) -> String {
    format!("{} {}\n", addr.ip(), addr.port())
}

fn start(driver: Driver, dtab: &str, namers: &[&str]) -> Proxy {
    let setup = Setup::dtab(driver, dtab).cores(2);
    setup.namers(&namers.join(", ")).start()
}

fn get(client: &mut Client, host: &str) -> String {
    let response = client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    match response.status {
        200 => response.text(),
        status => format!("{status} {}", response.why()),
    }
}

/// Waits until every one of some requests in turn is answered like this.
fn soon(proxy: &Proxy, host: &str, expected: &[&str]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answers = answers(proxy, host);
        if answers == expected {
            return;
        }
        assert!(Instant::now() < end, "{answers:?} and not {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What some requests over connections to both shards are answered, each answer once.
fn answers(proxy: &Proxy, host: &str) -> Vec<String> {
    let mut answers: Vec<String> = (0..4)
        .flat_map(|_| {
            let mut client = proxy.client();
            (0..10)
                .map(move |_| get(&mut client, host))
                .collect::<Vec<_>>()
        })
        .collect();
    answers.sort();
    answers.dedup();
    answers
}

const NOBODY: &str = "502 no-hosts-available";

fn files(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = Dir::new("files", driver);
    dir.serves("red", &[&red]);
    dir.put(
        "both",
        &format!(
            "# both\n\n{}{} # the second",
            line(red.addr),
            line(blue.addr).trim()
        ),
    );
    let proxy = start(driver, "/svc => /#/io.l5d.fs", &[&dir.namer()]);
    assert_eq!(answers(&proxy, "red"), ["red"]);
    assert_eq!(answers(&proxy, "both"), ["blue", "red"]);
    assert_eq!(answers(&proxy, "green"), [NOBODY]);
}

fn directories_and_residuals(driver: Driver) {
    let red = Backend::named("red");
    let dir = Dir::new("residuals", driver);
    fs::create_dir(dir.0.join("sub")).unwrap();
    dir.serves("sub/red", &[&red]);
    let dtab = "/svc/a => /#/io.l5d.fs/sub/red/more/of/it; /svc/b => /#/io.l5d.fs/sub; \
                /svc/c => /#/io.l5d.fs/late/red";
    let proxy = start(driver, dtab, &[&dir.namer()]);
    assert_eq!(answers(&proxy, "a"), ["red"]);
    assert_eq!(answers(&proxy, "b"), [NOBODY]);
    assert_eq!(answers(&proxy, "c"), [NOBODY]);
    fs::create_dir(dir.0.join("late")).unwrap();
    soon(&proxy, "c", &[NOBODY]);
    dir.serves("late/red", &[&red]);
    soon(&proxy, "c", &["red"]);
    fs::remove_dir_all(dir.0.join("sub")).unwrap();
    soon(&proxy, "a", &[NOBODY]);
    fs::create_dir(dir.0.join("sub")).unwrap();
    dir.serves("sub/red", &[&red]);
    soon(&proxy, "a", &["red"]);
}

fn files_that_change(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = Dir::new("change", driver);
    dir.serves("web", &[&red]);
    let proxy = start(driver, "/svc => /#/io.l5d.fs", &[&dir.namer()]);
    assert_eq!(answers(&proxy, "web"), ["red"]);
    dir.serves("web", &[&blue]);
    soon(&proxy, "web", &["blue"]);
    // Written where it stands.
    fs::write(dir.0.join("web"), line(red.addr)).unwrap();
    soon(&proxy, "web", &["red"]);
    for turn in 0..50 {
        let (backend, name) = [(&blue, "blue"), (&red, "red")][turn % 2];
        dir.serves("web", &[backend]);
        soon(&proxy, "web", &[name]);
    }
    let weighted = format!("{} * 0", line(red.addr).trim());
    dir.put("web", &format!("{weighted}\n{}", line(blue.addr)));
    soon(&proxy, "web", &["blue"]);
}

fn bad_files_change_nothing(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = Dir::new("bad", driver);
    dir.serves("web", &[&red]);
    dir.serves("mark", &[&red]);
    let proxy = start(driver, "/svc => /#/io.l5d.fs", &[&dir.namer()]);
    assert_eq!(answers(&proxy, "web"), ["red"]);
    assert_eq!(answers(&proxy, "mark"), ["red"]);
    let large = "# nothing but a comment\n".repeat(30_000) + &line(blue.addr);
    let bad = [
        "",
        "127.0.0.1",
        "127.0.0.1 80 80\n",
        "\u{0}\u{1}\n",
        "# gone\n",
        &large,
    ];
    for (turn, text) in bad.into_iter().enumerate() {
        dir.put("web", text);
        // What happens is told in its order: once this is seen, the other was.
        let (backend, name) = [(&blue, "blue"), (&red, "red")][turn % 2];
        dir.serves("mark", &[backend]);
        soon(&proxy, "mark", &[name]);
        assert_eq!(answers(&proxy, "web"), ["red"], "{turn}");
    }
    assert_eq!(gauge(&proxy, "stale_sets"), 1.0);
    assert!(gauge(&proxy, "stale_seconds") > 0.0);
    dir.serves("web", &[&blue]);
    soon(&proxy, "web", &["blue"]);
    assert_eq!(gauge(&proxy, "stale_sets"), 0.0);
    assert_eq!(gauge(&proxy, "replicas"), 2.0);
    let tree = proxy.admin().get("/delegator.json?path=/svc/web").text();
    assert!(tree.contains(r#""id":"/#/io.l5d.fs/web""#), "{tree}");
    let names = proxy.admin().get("/bound-names.json").text();
    assert_eq!(names, r#"["/#/io.l5d.fs/mark","/#/io.l5d.fs/web"]"#);
}

/// One of the metrics of discovery.
fn gauge(proxy: &Proxy, name: &str) -> f64 {
    let metrics = proxy.admin().get("/metrics").text();
    let start = format!("ringlink_discovery_{name} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
    value.expect("the metric").parse().expect("a number")
}

fn names_that_come_and_go(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = Dir::new("names", driver);
    dir.serves("blue", &[&blue]);
    let dtab = "/svc => /#/io.l5d.fs/blue; /svc => /#/io.l5d.fs";
    let proxy = start(driver, dtab, &[&dir.namer()]);
    assert_eq!(answers(&proxy, "web"), ["blue"]);
    for _ in 0..3 {
        dir.serves("web", &[&red]);
        soon(&proxy, "web", &["red"]);
        fs::remove_file(dir.0.join("web")).unwrap();
        soon(&proxy, "web", &["blue"]);
    }
    fs::remove_file(dir.0.join("blue")).unwrap();
    soon(&proxy, "web", &[NOBODY]);
}

/// As Kubernetes updates a volume: every file is a link through one that is swapped.
fn swapped_links(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let dir = Dir::new("links", driver);
    for (version, backend) in [("..1", &red), ("..2", &blue)] {
        fs::create_dir(dir.0.join(version)).unwrap();
        dir.serves(&format!("{version}/web"), &[backend]);
    }
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, dir.0.join("..new")).unwrap();
        fs::rename(dir.0.join("..new"), dir.0.join(name)).unwrap();
    };
    link("..1", "..data");
    link("..data/web", "web");
    let proxy = start(driver, "/svc => /#/io.l5d.fs", &[&dir.namer()]);
    assert_eq!(answers(&proxy, "web"), ["red"]);
    link("..2", "..data");
    soon(&proxy, "web", &["blue"]);
    link("..1", "..data");
    soon(&proxy, "web", &["red"]);
}

fn written_out(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let (a, b) = (line(red.addr), line(blue.addr));
    let namer = format!(
        "{{kind: static, prefix: /fixed, names: {{/a: ['{}'], /a/b: ['{}', '{} * 0']}}}}",
        a.trim(),
        b.trim(),
        a.trim()
    );
    let dtab = "/svc/a => /#/fixed/a/x; /svc/b => /#/fixed/a/b/x; /svc/c => /#/fixed/c";
    let proxy = start(driver, dtab, &[&namer]);
    assert_eq!(answers(&proxy, "a"), ["red"]);
    assert_eq!(answers(&proxy, "b"), ["blue"]);
    assert_eq!(answers(&proxy, "c"), [NOBODY]);
}

fn rewritten(driver: Driver) {
    let red = Backend::named("red");
    let dir = Dir::new("rewritten", driver);
    dir.serves("red", &[&red]);
    let rewrite = "{kind: io.l5d.rewrite, prefix: /hosts, pattern: '/{name}.example', \
                   name: '/srv/{name}'}";
    let dtab = "/srv => /#/io.l5d.fs; /svc => /#/hosts";
    let proxy = start(driver, dtab, &[&dir.namer(), rewrite]);
    assert_eq!(answers(&proxy, "red.example"), ["red"]);
    assert_eq!(answers(&proxy, "red"), [NOBODY]);
    assert_eq!(answers(&proxy, "blue.example"), [NOBODY]);
}

fn later_namers_first(driver: Driver) {
    let (red, blue) = (Backend::named("red"), Backend::named("blue"));
    let namer = |name: &str, backend: &Backend| {
        let at = line(backend.addr);
        format!(
            "{{kind: static, prefix: /x, names: {{{name}: ['{}']}}}}",
            at.trim()
        )
    };
    let namers = [namer("/a", &red), namer("/b", &red), namer("/b", &blue)];
    let namers: Vec<&str> = namers.iter().map(String::as_str).collect();
    let proxy = start(driver, "/svc => /#/x; /svc/d => /#/y", &namers);
    assert_eq!(answers(&proxy, "a"), ["red"]);
    assert_eq!(answers(&proxy, "b"), ["blue"]);
    assert_eq!(answers(&proxy, "c"), [NOBODY]);
    assert_eq!(answers(&proxy, "d"), ["502 binding-failed"]);
}

/// Whoever sends requests chooses names: none leads out of the directory.
fn strange_names(driver: Driver) {
    let red = Backend::named("red");
    let dir = Dir::new("strange", driver);
    dir.serves("red", &[&red]);
    fs::create_dir(dir.0.join("sub")).unwrap();
    let root = format!(
        "{{kind: io.l5d.fs, rootDir: {}}}",
        dir.0.join("sub").display()
    );
    let dtab = "/svc => /#/io.l5d.fs/x | /#/io.l5d.fs; /svc/up => /#/io.l5d.fs/../red";
    let proxy = start(driver, dtab, &[&root]);
    let long = "x".repeat(300);
    for host in ["..", ".", "up", long.as_str()] {
        assert_eq!(answers(&proxy, host), [NOBODY], "{host}");
    }
    // A pipe would keep whoever opens it waiting.
    let pipe = dir.0.join("sub/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    assert_eq!(answers(&proxy, "pipe"), [NOBODY]);
}
