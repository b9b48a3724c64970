//! Tunnels: after a 101 (or a CONNECT let through) the connection carries bytes both ways that are
//! no longer HTTP's business. Each direction has back-pressure, and ends on its own: one side's end
//! of stream is passed on when everything before it was sent.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::engine::{Segment, Shard, Timer};

use super::exchange::after;
use super::h1::wire::Wire;
use super::pump::HIGH_WATER;

/// A tunnel in which nothing moves for so long is cut. Generous: what runs in tunnels (WebSocket)
/// has keep-alives of its own, and cutting silent ones is what users of proxies complain about.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    /// The source has ended; what it sent is still on its way.
    Ending,
    Ended,
}

/// Carries bytes until both directions have ended, or one breaks.
pub async fn run(shard: &Shard, client: &mut Wire, backend: &mut Wire, timer: &Timer) {
    let mut up = Direction::Open;
    let mut down = Direction::Open;
    timer.set(after(shard.now(), IDLE));
    poll_fn(|_| {
        let sent = poll_direction(&mut up, client, backend);
        let received = poll_direction(&mut down, backend, client);
        let (Ok(sent), Ok(received)) = (sent, received) else {
            return Poll::Ready(());
        };
        if sent || received {
            timer.set(after(shard.now(), IDLE));
        }
        if (up == Direction::Ended && down == Direction::Ended) || timer.is_expired() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Moves what can be moved one way; tells whether anything moved.
fn poll_direction(direction: &mut Direction, from: &mut Wire, to: &mut Wire) -> Result<bool, ()> {
    let mut moved = false;
    while *direction == Direction::Open {
        match to.socket.poll_unsent(HIGH_WATER) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(()),
            Poll::Pending => return Ok(moved),
        }
        match from.poll_bytes() {
            Poll::Pending => return Ok(moved),
            Poll::Ready(Ok(Some(bytes))) => to.socket.write(Segment::Buf(bytes)),
            Poll::Ready(Ok(None)) => *direction = Direction::Ending,
            Poll::Ready(Err(_)) => return Err(()),
        }
        moved = true;
    }
    if *direction == Direction::Ending {
        match to.socket.poll_unsent(0) {
            Poll::Ready(Ok(())) => {
                to.socket.shutdown_write();
                *direction = Direction::Ended;
                moved = true;
            }
            Poll::Ready(Err(_)) => return Err(()),
            Poll::Pending => {}
        }
    }
    Ok(moved)
}
