//! The deadline that travels with a request (`l5d-ctx-deadline`).
//!
//! linkerd carried it; ringlink keeps it. A request whose time is over is answered 504 and never
//! dispatched, an attempt is cut when it ends, retries and their pauses are bounded by it, and what
//! is left goes on to the replica. A proxy that is the first to limit a request begins one, so that
//! the rest of the chain stops when nobody waits any more.

use crate::engine::Shard;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::http::{Fields, Name, Names};
use crate::resilience::deadline::{Clocks, Deadline, MAX_TEXT, NEVER};

use super::refusal::Refusal;

const TAKEN: Names = Names::of(&[Name::L5dCtxDeadline]);

fn clocks(shard: &Shard) -> Clocks {
    Clocks {
        wall_ns: shard.wall_clock_ns(),
        monotonic_ns: shard.now(),
    }
}

/// The deadline that a request brings, which has these names: when it is, on the shard's clock;
/// [`NEVER`] if it brings none. Of several the earliest counts; what is none is ignored, as in
/// linkerd. A client that is not `believed` has none to give.
pub fn given(fields: &Fields, names: Names, shard: &Shard, believed: bool) -> u64 {
    #[cfg(feature = "planted-bugs")]
    let believed = believed && !planted(Bug::DeadlineForgotten);
    if !believed || !names.meets(TAKEN) {
        return NEVER;
    }
    let given = fields.iter().filter(|(id, ..)| *id == Name::L5dCtxDeadline);
    let deadlines = given.filter_map(|(_, _, value)| Deadline::parse(value.trim_ascii()));
    let deadline = deadlines.reduce(Deadline::combine);
    deadline.map_or(NEVER, |deadline| deadline.due(clocks(shard)))
}

/// Takes the deadline off a request; the same as [`given`].
pub fn take(fields: &mut Fields, names: Names, shard: &Shard, believed: bool) -> u64 {
    let due = given(fields, names, shard, believed);
    if names.meets(TAKEN) {
        fields.remove_all(TAKEN);
    }
    due
}

/// Writes the line that tells the replica when the request's time is over; none for one without.
pub fn put_line(due: u64, shard: &Shard, out: &mut Vec<u8>) {
    if let Some(deadline) = Deadline::from_due(due, clocks(shard)) {
        let mut buffer = [0; MAX_TEXT];
        out.extend_from_slice(b"l5d-ctx-deadline: ");
        out.extend_from_slice(deadline.write(&mut buffer));
        out.extend_from_slice(b"\r\n");
    }
}

/// The answer to a request whose time is over.
#[must_use]
pub fn exceeded() -> Refusal {
    Refusal::proxy(
        504,
        "deadline-exceeded",
        "the request's deadline has passed",
    )
}
