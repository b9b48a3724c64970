//! The proxy under test: the real binary, its configuration, its end.

use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Client, PATIENCE, free_port};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Uring,
    Epoll,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Driver::Uring => "io_uring",
            Driver::Epoll => "epoll",
        }
    }
}

/// A configuration in the making. The strings are what goes into the braces of YAML flow maps.
#[derive(Clone)]
pub struct Setup {
    pub driver: Driver,
    pub cores: usize,
    pub dtab: String,
    pub server: String,
    pub client: String,
    pub service: String,
    /// Whole lines of the router.
    pub router: String,
    /// The items of the list of namers.
    pub namers: String,
    pub grace_ms: u64,
}

impl Setup {
    /// Everything goes to one address.
    pub fn to(driver: Driver, backend: SocketAddr) -> Setup {
        Setup::dtab(driver, &format!("/svc => {}", inet(backend)))
    }

    pub fn dtab(driver: Driver, dtab: &str) -> Setup {
        Setup {
            driver,
            cores: 1,
            dtab: dtab.to_owned(),
            server: String::new(),
            client: String::new(),
            service: String::new(),
            router: String::new(),
            namers: String::new(),
            grace_ms: 10_000,
        }
    }

    pub fn server(mut self, keys: &str) -> Setup {
        self.server = keys.to_owned();
        self
    }

    pub fn client(mut self, keys: &str) -> Setup {
        self.client = keys.to_owned();
        self
    }

    pub fn service(mut self, keys: &str) -> Setup {
        self.service = keys.to_owned();
        self
    }

    pub fn router(mut self, line: &str) -> Setup {
        self.router = format!("{}  {line}\n", self.router);
        self
    }

    pub fn namers(mut self, items: &str) -> Setup {
        self.namers = items.to_owned();
        self
    }

    pub fn cores(mut self, cores: usize) -> Setup {
        self.cores = cores;
        self
    }

    pub fn grace_ms(mut self, ms: u64) -> Setup {
        self.grace_ms = ms;
        self
    }

    pub fn yaml(&self, port: u16) -> String {
        let mut yaml = String::new();
        let Setup {
            cores, grace_ms, ..
        } = self;
        let driver = self.driver.name();
        let comma = if self.server.is_empty() { "" } else { ", " };
        writeln!(yaml, "admin: {{port: 0, shutdownGraceMs: {grace_ms}}}").unwrap();
        writeln!(yaml, "engine: {{driver: {driver}, cores: {cores}}}").unwrap();
        writeln!(yaml, "namers: [{}]", self.namers).unwrap();
        writeln!(yaml, "routers:\n- protocol: http\n  label: it").unwrap();
        writeln!(yaml, "  servers: [{{port: {port}{comma}{}}}]", self.server).unwrap();
        writeln!(yaml, "  dtab: \"{}\"", self.dtab).unwrap();
        writeln!(yaml, "  client: {{{}}}", self.client).unwrap();
        writeln!(yaml, "  service: {{{}}}", self.service).unwrap();
        yaml.push_str(&self.router);
        yaml
    }

    /// Starts the proxy and waits until it is up.
    pub fn start(self) -> Proxy {
        for _ in 0..5 {
            if let Some(proxy) = self.try_start(free_port()) {
                return proxy;
            }
        }
        panic!("the proxy's port was taken five times in a row");
    }

    /// `None` when the port was taken meanwhile.
    fn try_start(&self, port: u16) -> Option<Proxy> {
        let mut proxy = Proxy::spawn(&self.yaml(port), SocketAddr::from(([127, 0, 0, 1], port)));
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = proxy.child.try_wait().expect("wait") {
                let said = proxy.said();
                assert!(
                    said.contains("in use"),
                    "the proxy ended at start: {status}\n{said}"
                );
                return None;
            }
            // The last thing it does before it is up: whoever counts its descriptors or its memory
            // from here on counts nothing that starting still adds.
            if proxy.said().contains("admin: http") {
                return Some(proxy);
            }
            assert!(Instant::now() < end, "no start: {}", proxy.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How an address is written in a dtab.
pub fn inet(addr: SocketAddr) -> String {
    format!("/$/inet/{}/{}", addr.ip(), addr.port())
}

/// The binary under test; `RINGLINK_BIN` names another build of it.
pub fn binary() -> PathBuf {
    std::env::var_os("RINGLINK_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_ringlink").into(), PathBuf::from)
}

/// Writes a file that is unique to this process and call.
pub fn temp_file(name: &str, text: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ringlink-test-{}-{n}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).expect("a temporary file");
    path
}

/// A running proxy; killed when dropped. A panic within it fails the test then.
pub struct Proxy {
    pub addr: SocketAddr,
    child: Child,
    output: Arc<Mutex<String>>,
    config: PathBuf,
}

impl Proxy {
    pub fn spawn(yaml: &str, addr: SocketAddr) -> Proxy {
        let config = temp_file("config.yaml", yaml);
        let mut child = Command::new(binary())
            .arg(&config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the proxy's binary");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        Proxy {
            addr,
            child,
            output,
            config,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the admin server, which said where it listens.
    pub fn admin(&self) -> Client {
        let said = self.said();
        let (_, rest) = said.split_once("admin: http://").expect("the address");
        let (addr, _) = rest.split_once('/').expect("the address's end");
        Client::connect(addr.parse().expect("an address"))
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Puts another configuration in the place of its file, at once.
    pub fn rewrite(&self, yaml: &str) {
        let fresh = temp_file("fresh.yaml", yaml);
        std::fs::rename(fresh, &self.config).expect("renamed");
    }

    /// Puts another configuration in force, or tries to: status and text of the answer.
    pub fn reload(&self, yaml: &str) -> (u16, String) {
        self.rewrite(yaml);
        let request = "POST /admin/reload HTTP/1.1\r\nHost: admin\r\n\r\n";
        let answer = self.admin().ask(request);
        (answer.status, answer.text())
    }

    /// The value of a metric, by its name and labels as they are written.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.admin().get("/metrics").text();
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ')
            .next()
            .expect("a value")
            .parse()
            .expect("a number")
    }

    /// What the proxy printed so far.
    pub fn said(&self) -> String {
        self.output.lock().expect("no panic").clone()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.expect("kill").success());
    }

    /// The status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait")
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        super::wait_for("the proxy's end", || {
            status = self.ended();
            status.is_some()
        });
        status.expect("ended")
    }

    /// Resident bytes.
    pub fn rss(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.pid());
        let text = std::fs::read_to_string(path).expect("statm");
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .expect("rss")
            .parse()
            .expect("number");
        pages * 4096
    }

    /// Private bytes: what this process alone costs in user memory.
    pub fn private(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid());
        let text = std::fs::read_to_string(path).expect("smaps_rollup");
        text.lines()
            .filter(|line| line.starts_with("Private_"))
            .map(|line| {
                let kb = line.split_whitespace().nth(1).expect("a figure");
                kb.parse::<u64>().expect("number") * 1024
            })
            .sum()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("fd")
            .count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("the proxy said:\n{said}");
        } else {
            assert!(!said.contains("panicked at"), "the proxy panicked:\n{said}");
        }
    }
}

fn collect(mut from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..n]);
            into.lock().expect("no panic").push_str(&text);
        }
    });
}
