//! A client's connection: request after request, until one side has had enough.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::config::resolved;
use crate::engine::{Segment, Shard, Socket, Timer};
use crate::http::h1::HeadReader;
use crate::http::{Method, Version};

use super::Router;
use super::admission::Places;
use super::exchange::{Outcome, Walk, after};
use super::h1::inbound::{Connection, HeadOutcome, Request, write_refusal};
use super::pump::HIGH_WATER;
use super::refusal::Refusal;
use super::server::Server;
use super::settings::Settings;

/// How long a connection that is being closed is still read, so that the client gets to see the
/// last response rather than a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What follows a request on its connection.
enum Next {
    KeepAlive,
    /// Everything was read and answered: close when it was sent.
    Close,
    /// The client may still be sending: close gently.
    Linger,
    /// Cut at once.
    Abort,
}

/// Serves one connection to its end.
pub async fn serve(shard: &Shard, server: &Rc<Server>, socket: Socket) {
    let timer = Timer::new(shard);
    let mut connection = Connection::new(socket);
    let next = loop {
        if !wait_for_request(shard, server, &mut connection, &timer).await {
            return;
        }
        // What is in force now, for the whole request.
        let (router, server_settings) = server.now();
        let settings = router.settings();
        let by = By {
            router: &router,
            settings: &settings,
            server: &server_settings,
            at: server,
            draining: &server.draining,
        };
        let (connection, timer) = (&mut connection, &timer);
        let request = router
            .futures
            .pin(move || serve_request(by, connection, timer));
        match request.await {
            Next::KeepAlive => {}
            next => break next,
        }
    };
    match next {
        Next::KeepAlive | Next::Abort => {}
        Next::Close => {
            flush(shard, &connection, &timer).await;
            // Closed with bytes unread (requests after the last one), the connection is reset, and
            // the reset may overtake the response.
            if !connection.wire().is_quiet() {
                linger(shard, &mut connection, &timer).await;
            }
        }
        Next::Linger => linger(shard, &mut connection, &timer).await,
    }
}

/// Waits for the first bytes of a request; false when the connection is over.
async fn wait_for_request(
    shard: &Shard,
    server: &Server,
    connection: &mut Connection,
    timer: &Timer,
) -> bool {
    let idle_timeout = server.now().1.idle_timeout;
    timer.set(after(shard.now(), idle_timeout));
    poll_fn(|_| {
        // A client that asks on without taking its answers waits. When the shard drains, the last
        // byte leaving is what ends the wait, so that is what has to wake this task.
        let draining = server.draining.get();
        let limit = if draining { 0 } else { HIGH_WATER };
        match connection.socket().poll_unsent(limit) {
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(())) => {
                if let Poll::Ready(readable) = connection.poll_readable() {
                    return Poll::Ready(readable);
                }
                if draining {
                    return Poll::Ready(false);
                }
            }
            Poll::Pending => {}
        }
        if timer.is_expired() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// What a request is served by.
#[derive(Clone, Copy)]
pub struct By<'b> {
    pub router: &'b Router,
    pub settings: &'b Settings,
    pub server: &'b resolved::Server,
    pub at: &'b Server,
    /// Its server ends: the connection closes after the answer.
    pub draining: &'b Cell<bool>,
}

async fn serve_request(by: By<'_>, connection: &mut Connection, timer: &Timer) -> Next {
    let By {
        router,
        settings,
        server,
        draining,
        at,
    } = by;
    let (mut head, mut response) = router.heads();
    let mut reader = HeadReader::new();
    let mut waited = false;
    let read = poll_fn(|_| {
        let read = connection.poll_head(&mut reader, &settings.limits, &mut head);
        if read.is_pending() {
            if !waited {
                waited = true;
                timer.set(after(router.shard.now(), server.head_timeout));
            } else if timer.is_expired() {
                let text = "the request's head did not come in time";
                let refusal = Refusal::client(408, "head-timeout", text);
                return Poll::Ready(HeadOutcome::Refused(refusal));
            }
        }
        read
    })
    .await;
    let keep_alive = match read {
        HeadOutcome::Complete { keep_alive } => keep_alive,
        HeadOutcome::Closed => return Next::Abort,
        HeadOutcome::Refused(refusal) => {
            refuse_head(router, server, connection, refusal);
            return Next::Linger;
        }
    };
    let started = router.shard.now();
    let stats = &router.stats;
    stats.requests.set(stats.requests.get() + 1);
    stats.active_requests.set(stats.active_requests.get() + 1);
    let _active = super::Active(&stats.active_requests);
    let mut request = Request::new(connection, &head, keep_alive, &settings.limits);
    let outcome = if head.method == Method::Connect && !server.allow_connect {
        let text = "CONNECT is not enabled on this server";
        Outcome::Refused(Refusal::client(405, "connect-refused", text))
    } else {
        let mut walk = Walk {
            by,
            head: &mut head,
            response: &mut response,
            request: &mut request,
            timer,
            started,
            due: crate::engine::NEVER,
            total: None,
            places: Places::default(),
            mirrored: None,
        };
        let outcome = walk.run().await;
        walk.teach();
        if let Some(mirrored) = walk.mirrored.take() {
            mirrored.go(at);
        }
        outcome
    };
    let next = match outcome {
        Outcome::Answered => {
            stats.count_status(response.status);
            after_response(&request)
        }
        Outcome::Refused(refusal) => {
            router.count_refusal(&refusal);
            let refusal = veiled(server, refusal);
            request.refuse(&router.shard, &refusal, draining.get());
            after_response(&request)
        }
        Outcome::Tunnelled => Next::Close,
        Outcome::ClientGone => {
            stats.client_gone.set(stats.client_gone.get() + 1);
            Next::Abort
        }
        Outcome::Truncated => {
            stats.count_status(response.status);
            stats.truncated.set(stats.truncated.get() + 1);
            request.cut();
            Next::Abort
        }
    };
    router.keep_heads((head, response));
    stats.record_latency(router.shard.now() - started);
    next
}

fn after_response(request: &Request<'_>) -> Next {
    if request.keeps_alive() {
        Next::KeepAlive
    } else if request.is_received() {
        Next::Close
    } else {
        Next::Linger
    }
}

/// What a client gets to see of a refusal: strangers only its status.
fn veiled(server: &resolved::Server, refusal: Refusal) -> Refusal {
    match server.clear_context {
        true => refusal.veiled(),
        false => refusal,
    }
}

/// Answers a head that could not be read. There is no telling where the next one would begin.
fn refuse_head(
    router: &Router,
    server: &resolved::Server,
    connection: &Connection,
    refusal: Refusal,
) {
    let stats = &router.stats;
    stats.requests.set(stats.requests.get() + 1);
    router.count_refusal(&refusal);
    let refusal = veiled(server, refusal);
    let mut bytes = router.shard.vector();
    write_refusal(&mut bytes, &refusal, Version::Http11, false, false);
    connection.socket().write(Segment::Owned(bytes));
}

/// Waits until everything written was sent.
async fn flush(shard: &Shard, connection: &Connection, timer: &Timer) {
    timer.set(after(shard.now(), LINGER * 5));
    poll_fn(|_| {
        if connection.socket().poll_unsent(0).is_ready() || timer.is_expired() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Closes our side and reads on for a while.
async fn linger(shard: &Shard, connection: &mut Connection, timer: &Timer) {
    flush(shard, connection, timer).await;
    connection.socket().shutdown_write();
    timer.set(after(shard.now(), LINGER));
    poll_fn(|_| {
        if connection.poll_discard().is_ready() || timer.is_expired() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
