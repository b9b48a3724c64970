//! The tools that people have: curl as a client, wrk as a load, nginx and Python as backends.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use support::proxy::{inet, temp_file};
use support::{Backend, Client, Driver, Setup, free_port, pattern, wait_for};

both_drivers!(
    curl_get_and_post,
    curl_waits_for_100,
    nginx_serves,
    wrk_sees_no_error,
    python_serves
);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--noproxy",
            "*",
        ])
        .args(arguments)
        .output()
        .expect("curl is installed by scripts/test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn listens(addr: SocketAddr) {
    wait_for("the server", || TcpStream::connect(addr).is_ok());
}

fn curl_get_and_post(driver: Driver) {
    let backend =
        Backend::answering(|request| support::backend::ok(&request.body.len().to_string()));
    let proxy = Setup::to(driver, backend.addr).start();
    let url = format!("http://{}/x", proxy.addr);
    assert_eq!(curl(&[&url]), "0");
    let file = temp_file("upload", &"u".repeat(300_000));
    let data = format!("@{}", file.display());
    assert_eq!(curl(&["--data-binary", &data, &url]), "300000");
    let chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"];
    let upload = [&chunked[..], &["--data-binary", &data, &url]].concat();
    assert_eq!(curl(&upload), "300000");
    assert_eq!(curl(&["-T", &file.to_string_lossy(), &url]), "300000");
    assert!(curl(&["-I", &url]).starts_with("HTTP/1.1 200"));
    assert_eq!(curl(&["--http1.0", &url]), "0");
    // As a forward proxy of plain HTTP: the absolute form.
    let via = format!("http://{}", proxy.addr);
    assert_eq!(
        curl(&["--noproxy", "", "--proxy", &via, "http://web/y"]),
        "0"
    );
    std::fs::remove_file(file).unwrap();
}

/// curl asks for the go-ahead and gets it at once, rather than giving up on it after its minute.
fn curl_waits_for_100(driver: Driver) {
    let backend = Backend::start(|conn| {
        while let Some(mut request) = conn.next_head() {
            if request.field("expect").is_some() {
                conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            conn.request_body(&mut request).unwrap();
            conn.send(support::backend::ok(&request.body.len().to_string()));
        }
    });
    let proxy = Setup::to(driver, backend.addr).start();
    let url = format!("http://{}/x", proxy.addr);
    let expect = ["--expect100-timeout", "50", "-H", "Expect: 100-continue"];
    let output = curl(&[&expect[..], &["--max-time", "20", "-d", "hello", &url]].concat());
    assert_eq!(output, "5");
}

/// nginx with a folder of files; `None` of its files outlives the test.
fn nginx() -> (Running, SocketAddr, PathBuf) {
    let port = free_port();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let folder = std::env::temp_dir().join(format!("ringlink-nginx-{port}"));
    std::fs::create_dir_all(folder.join("www")).unwrap();
    std::fs::write(folder.join("www/large"), pattern(3_000_000)).unwrap();
    std::fs::write(folder.join("www/text.txt"), "words ".repeat(5000)).unwrap();
    let at = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ access_log off; keepalive_requests 50; client_body_temp_path {at}/body;\n\
         proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         gzip on; gzip_proxied any; gzip_types *; root {at}/www;\n\
         server {{ listen 127.0.0.1:{port}; location /ok {{ return 200 \"ok\"; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let there = |path: &&&str| std::path::Path::new(path).exists();
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .iter()
        .find(there)
        .unwrap_or(&"nginx");
    let child = Command::new(program)
        .args(["-e", &format!("{at}/error.log"), "-c"])
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is installed by scripts/test");
    let running = Running(child);
    listens(addr);
    (running, addr, folder)
}

fn nginx_serves(driver: Driver) {
    let (_nginx, addr, folder) = nginx();
    let proxy = Setup::to(driver, addr).start();
    let mut client = proxy.client();
    // Past the number of requests that nginx serves on one connection, three times.
    for n in 0..160 {
        let response = client.get("/ok");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "ok"),
            "{n}"
        );
    }
    support::assert_same(&client.get("/large").body, &pattern(3_000_000), "a file");
    let range = client.ask("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=10-19\r\n\r\n");
    assert_eq!(
        (range.status, range.body),
        (206, pattern(20)[10..].to_vec())
    );
    // Chunked, since nginx does not know the length of what it compresses.
    let text = client.ask("GET /text.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(text.field("content-encoding"), Some("gzip"));
    assert!(text.body.starts_with(&[0x1f, 0x8b]));
    let tag = client
        .get("/text.txt")
        .field("etag")
        .expect("an etag")
        .to_owned();
    let same = format!("GET /text.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n");
    assert_eq!(client.ask(same).status, 304);
    assert_eq!(client.get("/none").status, 404);
    std::fs::remove_dir_all(folder).unwrap();
}

fn wrk_sees_no_error(driver: Driver) {
    let (_nginx, addr, folder) = nginx();
    let proxy = Setup::to(driver, addr).cores(2).start();
    let output = Command::new("wrk")
        .args(["-t", "2", "-c", "64", "-d", "3", "--timeout", "20"])
        .arg(format!("http://{}/ok", proxy.addr))
        .output()
        .expect("wrk is installed by scripts/test");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("Requests/sec"),
        "{text}"
    );
    assert!(
        !text.contains("Socket errors") && !text.contains("Non-2xx"),
        "{text}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// Python's server speaks HTTP/1.0 and closes after each response.
fn python_serves(driver: Driver) {
    let port = free_port();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let folder = std::env::temp_dir().join(format!("ringlink-python-{port}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), pattern(200_000)).unwrap();
    let child = Command::new("python3")
        .args([
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            &port.to_string(),
        ])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 is installed by scripts/test");
    let _python = Running(child);
    listens(addr);
    let proxy = Setup::dtab(driver, &format!("/svc => {}", inet(addr))).start();
    let mut client: Client = proxy.client();
    for _ in 0..20 {
        support::assert_same(&client.get("/file").body, &pattern(200_000), "a file");
    }
    assert_eq!(client.get("/none").status, 404);
    std::fs::remove_dir_all(folder).unwrap();
}
