//! The demo's services: what a developer would write, and nothing that knows of ringlink but the
//! one address that all requests go to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::client;

/// How long a service waits for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ports that the demo would like to have; 0 is any.
#[derive(Clone, Copy)]
pub struct Ports {
    pub proxy: u16,
    pub admin: u16,
    web: u16,
    word: u16,
    gen_v1: u16,
    gen_v2: u16,
}

impl Ports {
    pub const USUAL: Ports = Ports {
        proxy: 4140,
        admin: 9990,
        web: 7001,
        word: 7002,
        gen_v1: 7003,
        gen_v2: 7004,
    };
    pub const FREE: Ports = Ports {
        proxy: 0,
        admin: 0,
        web: 0,
        word: 0,
        gen_v1: 0,
        gen_v2: 0,
    };
}

/// Listens on a port, or on any if that one is taken.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
}

/// The services, bound, then served on a thread of their own.
pub struct Backends {
    pub web_addr: SocketAddr,
    pub word_addr: SocketAddr,
    pub gen_v1_addr: SocketAddr,
    pub gen_v2_addr: SocketAddr,
    listeners: Vec<TcpListener>,
}

impl Backends {
    pub fn bind(ports: Ports) -> io::Result<Backends> {
        let wanted = [ports.web, ports.word, ports.gen_v1, ports.gen_v2];
        let listeners = wanted
            .into_iter()
            .map(listen)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Backends {
            web_addr: listeners[0].local_addr()?,
            word_addr: listeners[1].local_addr()?,
            gen_v1_addr: listeners[2].local_addr()?,
            gen_v2_addr: listeners[3].local_addr()?,
            listeners,
        })
    }

    /// Starts serving; the services reach each other through `proxy`.
    pub fn serve(self, proxy: SocketAddr) -> io::Result<()> {
        let listeners = self.listeners;
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let services = [
            web(proxy),
            word(proxy),
            generator("world"),
            generator("world, says v2"),
        ];
        std::thread::Builder::new()
            .name("services".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    for (listener, service) in listeners.into_iter().zip(services) {
                        tokio::spawn(serve_until_quit(listener, service));
                    }
                    // The thread ends with the process.
                    std::future::pending::<()>().await;
                });
            })?;
        Ok(())
    }
}

/// Serves until `POST /quit`, which stands for a crash that somebody may cause.
async fn serve_until_quit(listener: TcpListener, service: Router) {
    let quit = Arc::new(Notify::new());
    let asked = Arc::clone(&quit);
    let service = service.route(
        "/quit",
        post(move || async move {
            quit.notify_one();
            "bye\n"
        }),
    );
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("a demo service cannot run: {error}"),
    };
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(async move { asked.notified().await });
    if let Err(error) = served.await {
        tracing::error!("a demo service ended: {error}");
    }
}

fn web(proxy: SocketAddr) -> Router {
    Router::new().route(
        "/",
        get(move || async move { passed_on(ask(proxy, "word").await) }),
    )
}

fn word(proxy: SocketAddr) -> Router {
    let answer = move || async move {
        let whom = ask(proxy, "gen").await.map(|whom| format!("hello, {whom}"));
        passed_on(whom)
    };
    Router::new().route("/", get(answer))
}

fn generator(word: &'static str) -> Router {
    Router::new().route("/", get(move || async move { format!("{word}\n") }))
}

fn passed_on(answer: Result<String, String>) -> Response {
    match answer {
        Ok(text) => text.into_response(),
        Err(why) => (StatusCode::BAD_GATEWAY, format!("{why}\n")).into_response(),
    }
}

/// Asks a service by its name.
async fn ask(proxy: SocketAddr, name: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(proxy).await?;
        let request = client::request("GET", name, "/");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        client::parse(&answer)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(response)) if response.status == 200 => Ok(response.body),
        Ok(Ok(response)) => Err(format!(
            "{name} said {}: {}",
            response.status, response.body
        )),
        Ok(Err(error)) => Err(format!("{name} cannot be asked: {error}")),
        Err(_) => Err(format!("{name} did not answer in time")),
    }
}
