//! Bugs on purpose, for the tests of the tests.
//!
//! A simulation that never fails proves nothing until it is shown to fail. Each [`Bug`] stands at
//! one place of the engine or the router behind `cfg(feature = "planted-bugs")`; a thread switches
//! one on, and `tests/simulation` must catch it.

use std::cell::Cell;

/// A planted bug, and what it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A refusal is written twice: two outcomes.
    AnsweredTwice,
    /// The end of a chunked response is not written: no outcome.
    EndLost,
    /// A response that broke off ends as if it were complete.
    CutLooksWhole,
    /// A connection goes back to the pool though its response is still to come.
    PooledEarly,
    /// A request that may not be repeated is.
    RepeatedUnsafely,
    /// An empty buffer is forgotten.
    BufferLeaked,
    /// The buffer of a send is received into before the send has ended.
    BufferReused,
    /// What a short send left over is dropped.
    ShortSendForgotten,
    /// A sender that waits for room is not woken.
    WakeLost,
    /// Receives that found no buffer do not try again.
    StarvedForgotten,
    /// A request on its way is not taken from its endpoint's count.
    CountLeaked,
    /// An accepted connection's descriptor is never closed.
    DescriptorLeaked,
    /// A router that a reload replaced is never let go.
    RouterLeaked,
    /// A router that is gone goes on wishing to know of its names.
    WishesKept,
    /// A retry is granted, and no budget charged.
    RetryUncharged,
    /// A requeue is granted, and no budget charged.
    RequeueUncharged,
    /// A request is sent although the limit on its time is over.
    SentLate,
    /// The deadline that a client gives is not kept.
    DeadlineForgotten,
    /// A body that is sent again lacks its first piece.
    PieceLost,
    /// A request that is over keeps its place at the server.
    PlaceLeaked,
    /// A request that waits for a place stays in the line.
    LineLeaked,
    /// A request that waited for room at a replica is counted for ever.
    WaiterLeaked,
    /// Room at a replica is not looked at.
    RoomIgnored,
    /// A probe that told nothing is never ended.
    ProbeKept,
    /// A request that may not be repeated is hedged.
    HedgedUnsafely,
    /// A hedge is sent, and no budget charged.
    HedgeUncharged,
    /// The attempt that was second goes on, and answers, too.
    HedgeAnswersToo,
}

impl Bug {
    pub const ALL: [Bug; 27] = [
        Bug::AnsweredTwice,
        Bug::EndLost,
        Bug::CutLooksWhole,
        Bug::PooledEarly,
        Bug::RepeatedUnsafely,
        Bug::BufferLeaked,
        Bug::BufferReused,
        Bug::ShortSendForgotten,
        Bug::WakeLost,
        Bug::StarvedForgotten,
        Bug::CountLeaked,
        Bug::DescriptorLeaked,
        Bug::RouterLeaked,
        Bug::WishesKept,
        Bug::RetryUncharged,
        Bug::RequeueUncharged,
        Bug::SentLate,
        Bug::DeadlineForgotten,
        Bug::PieceLost,
        Bug::PlaceLeaked,
        Bug::LineLeaked,
        Bug::WaiterLeaked,
        Bug::RoomIgnored,
        Bug::ProbeKept,
        Bug::HedgedUnsafely,
        Bug::HedgeUncharged,
        Bug::HedgeAnswersToo,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Switches one bug on in this thread, or all off.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is on.
#[must_use]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
