//! Power of two choices: of two random replicas, the less loaded (Mitzenmacher, "The power of two
//! choices in randomized load balancing", 2001).
//!
//! It comes close to the exact minimum for two reads instead of one per replica, and it does so
//! without a herd: shards that act on the same slightly stale counts still choose among different
//! pairs. Health goes before load, since a dead host is idle and would win every comparison.
//!
//! Weights count twice: replicas are drawn by weight, so that idle ones get their share, and the
//! load of one is what it carries for its weight, so that busy ones do. The two are always
//! distinct: a pair of one and the same would be a plain random choice.

use super::endpoint::Endpoint;
use super::method::{Ask, Method};
use super::roster::{Drawn, Roster, Sight};
use super::shares::Span;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Requests under way.
    Outstanding,
    /// What they would take by the peak-EWMA cost with this time constant: see [`super::ewma`].
    PeakEwma { decay_ns: u64 },
}

impl Load {
    /// The load of an endpoint that carries `capacity` times as much as the average.
    pub fn of(self, endpoint: &Endpoint, capacity: f64, now_ns: u64) -> f64 {
        match self {
            Load::Outstanding => f64::from(endpoint.outstanding()) / capacity,
            Load::PeakEwma { decay_ns } => endpoint.ewma_load(now_ns, decay_ns, capacity),
        }
    }
}

/// Two choices among all.
#[derive(Debug)]
pub(super) struct TwoChoices(pub Load);

impl Method for TwoChoices {
    fn draw(&mut self, roster: &mut Roster, ask: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        let span = roster.shares().span();
        draw(roster, span, self.0, sight, ask)
    }
}

/// Draws two members of a stretch and takes the better; `None` if nobody there has a share.
pub(super) fn draw(
    roster: &mut Roster,
    span: Span,
    load: Load,
    sight: Sight,
    ask: &mut Ask<'_>,
) -> Option<Drawn> {
    let first = roster.shares().draw(span, (ask.random)())?;
    let second = roster.shares().draw_other(span, first, (ask.random)());
    let mut seen = |index| Drawn {
        index,
        status: roster.look(index, sight),
    };
    let first = seen(first);
    let Some(second) = second.map(seen) else {
        return Some(first);
    };
    Some(better(roster, first, second, load, sight))
}

/// The healthier of two; of equals the less loaded; of equals the first.
fn better(roster: &Roster, first: Drawn, second: Drawn, load: Load, sight: Sight) -> Drawn {
    let rank = |drawn: Drawn| {
        let (endpoint, capacity) = (
            &roster.member(drawn.index).endpoint,
            roster.capacity(drawn.index),
        );
        (drawn.status, load.of(endpoint, capacity, sight.now_ns))
    };
    if rank(second) < rank(first) {
        second
    } else {
        first
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::shares::UNIT;
    use super::*;

    /// The one that fell ill unseen is drawn, and loses though it is idle; not so in a panic.
    #[test]
    fn health_goes_before_load() {
        let endpoint = |port| Arc::new(Endpoint::new(([10, 0, 0, 1], port).into()));
        for ill in 0..2 {
            for panic in [false, true] {
                let members = vec![(endpoint(0), UNIT), (endpoint(1), UNIT)];
                members[ill].0.busy_until(9);
                members[1 - ill].0.begin();
                let mut roster = Roster::new(members);
                let sight = Sight {
                    now_ns: 1,
                    panic,
                    slow_start_ns: 0,
                };
                let ask = &mut Ask {
                    random: &mut || 0,
                    hash: None,
                };
                let span = roster.shares().span();
                let drawn = draw(&mut roster, span, Load::Outstanding, sight, ask).unwrap();
                let winner = if panic { ill } else { 1 - ill };
                assert_eq!(drawn.index, winner);
            }
        }
    }
}
