//! Admin: what an operator, a health check and a metrics collector ask of a running ringlink.
//!
//! A small axum server on the slow path, under linkerd's paths. It holds no state of its own:
//! metrics are asked from the shards when somebody looks, so nobody looking costs nothing.
//!
//! The server has no authentication and binds to loopback unless told otherwise. A web page in an
//! operator's browser can reach loopback, too, so what changes something refuses requests that a
//! page of another origin sends.
#![forbid(unsafe_code)]

mod delegator;
mod histogram;
mod metrics;
mod process;

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use crate::control::Running;
use crate::control::reload::ReloadError;
use crate::control::slow::Stop;

/// How long a shard may take to tell what it counted.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Admin {
    running: Running,
    stop: Stop,
    started: Instant,
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, running: Running, stop: Stop) {
    let admin = Admin {
        running,
        stop,
        started: Instant::now(),
    };
    let routes = Router::new()
        .route("/", get(index))
        .route("/admin", get(index))
        .route("/admin/ping", get(ping))
        .route("/metrics", get(prometheus))
        .route("/admin/metrics/prometheus", get(prometheus))
        .route("/config.json", get(config))
        .route("/bound-names.json", get(bound_names))
        .route("/delegator.json", get(delegator::get).post(delegator::post))
        .route("/admin/reload", post(reload))
        .route("/admin/shutdown", post(shut_down))
        .with_state(admin);
    // It ends only with the runtime: errors of single connections stay theirs.
    let served = match to_tokio(listener) {
        Ok(listener) => axum::serve(listener, routes).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!("the admin server ended: {error}");
    }
}

fn to_tokio(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

async fn ping() -> &'static str {
    "pong"
}

async fn config(State(admin): State<Admin>) -> Response {
    Json(admin.running.generation().config.to_json()).into_response()
}

/// linkerd's list of the names that namers can enumerate.
async fn bound_names(State(admin): State<Admin>) -> Response {
    match admin.running.namers(PATIENCE).await {
        Some(namers) => {
            let names: Vec<String> = namers.names().iter().map(ToString::to_string).collect();
            Json(names).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn prometheus(State(admin): State<Admin>) -> Response {
    let snapshots = admin.running.snapshots(PATIENCE).await;
    let discovery = admin.running.discovery(PATIENCE).await;
    let uptime = admin.started.elapsed();
    match metrics::text(&admin.running, snapshots, discovery, uptime) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!("metrics cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn shut_down(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if is_foreign(&headers) {
        return foreign();
    }
    admin.stop.ask();
    "shutting down\n".into_response()
}

/// Reads the configuration again; answers when every shard has it.
async fn reload(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if is_foreign(&headers) {
        return foreign();
    }
    let error = match admin.running.reload().await {
        Ok(generation) => return format!("generation {generation}\n").into_response(),
        Err(error) => error,
    };
    let status = match error {
        ReloadError::Source(_) => StatusCode::BAD_REQUEST,
        ReloadError::NeedsRestart(_) | ReloadError::Start(_) => StatusCode::CONFLICT,
        ReloadError::Stuck(_) | ReloadError::Ending => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n")).into_response()
}

fn foreign() -> Response {
    let text = "a page of another origin may not do this\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// Whether a browser sent this on behalf of a page that is not ours.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match headers.get(header::ORIGIN) {
        None => false,
        Some(_) => {
            let origin = text(header::ORIGIN).and_then(|origin| origin.split("//").nth(1));
            origin.is_none() || origin != text(header::HOST)
        }
    }
}

async fn index(State(admin): State<Admin>) -> Html<String> {
    use std::fmt::Write;
    let running = &admin.running;
    let mut routers = String::new();
    let generation = running.generation();
    for router in &generation.routers {
        let on: Vec<_> = router
            .servers
            .iter()
            .map(|server| server.addr.to_string())
            .collect();
        let label = escape(&router.config.label);
        // Writing to a string cannot fail.
        let _ = writeln!(
            routers,
            "<li>router <b>{label}</b> on {}</li>",
            on.join(", ")
        );
    }
    Html(format!(
        include_str!("index.html"),
        version = env!("CARGO_PKG_VERSION"),
        driver = running.driver(),
        shards = running.shard_count(),
        connections = running.loads().into_iter().sum::<usize>(),
        uptime = admin.started.elapsed().as_secs(),
        routers = routers,
    ))
}

/// Labels are the operator's own words; they may still hold a `<`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_our_own_pages_may_end_the_process() {
        let host = "127.0.0.1:9990";
        assert!(!is_foreign(&headers(host, None)));
        assert!(!is_foreign(&headers(host, Some("http://127.0.0.1:9990"))));
        for foreign in ["http://evil.example", "null", "http://127.0.0.1:80"] {
            assert!(is_foreign(&headers(host, Some(foreign))), "{foreign}");
        }
    }
}
