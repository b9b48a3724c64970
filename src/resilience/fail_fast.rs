//! Fail fast: an endpoint that refuses a connection is avoided at once, until one is made.
//!
//! A refused connect says more than a failed request and needs no five of its kind. linkerd marks the
//! endpoint Busy and reconnects in the background, after exponentially jittered delays from one
//! second to 32. Here nothing runs in the background: when the delay is over, the next request that
//! the balancer sends there makes the connection, and is the only one to try ([`super::gate`]).
//!
//! Off by default, as in linkerd: behind one virtual address, or with one endpoint, it turns one lost
//! packet into a second without service.

use super::accrual::AccrualCell;
use super::backoff::Backoff;
use super::gate::{Ejected, State};

/// For how long an endpoint is avoided after a failed connect.
#[derive(Clone, Debug, PartialEq)]
pub struct FailFast {
    pub backoff: Backoff,
}

impl Default for FailFast {
    fn default() -> Self {
        FailFast {
            backoff: Backoff::ExponentialJittered {
                start_ms: 1_000,
                max_ms: 32_000,
            },
        }
    }
}

impl FailFast {
    /// A connect failed. Says so if that is why the endpoint is Busy from now on.
    pub fn on_connect_failure(
        &self,
        cell: &AccrualCell,
        now_ns: u64,
        random: u64,
    ) -> Option<Ejected> {
        let gate = &cell.connects;
        // While it is shut, more failures are no news. Once a probe is out, any connect that fails
        // is as recent as the probe's.
        let from = match gate.state(now_ns) {
            State::Alive => State::Alive,
            State::ProbeClosed => State::ProbeClosed,
            State::Dead | State::ProbeOpen => return None,
        };
        gate.eject(from, now_ns, &self.backoff, random)
    }

    /// A connection was made, by whichever request. True if that revived the endpoint.
    pub fn on_connected(&self, cell: &AccrualCell) -> bool {
        cell.connects.open_at_once()
    }
}

#[cfg(test)]
mod tests {
    use super::super::accrual::{Accrual, AccrualConfig};
    use super::super::gate::Status;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn one_refusal_is_enough() {
        let (fail_fast, cell) = (FailFast::default(), AccrualCell::default());
        let ejected = fail_fast.on_connect_failure(&cell, 0, 0);
        assert_eq!(ejected, Some(Ejected { for_ns: SECOND }));
        assert_eq!(fail_fast.on_connect_failure(&cell, 0, 0), None, "no news");
        assert_eq!(cell.status(SECOND - 1), Status::Busy);
        assert_eq!(
            cell.state(0),
            State::Alive,
            "failure accrual knows nothing of it"
        );
        assert_eq!(cell.status(SECOND), Status::Open);
        assert!(cell.begin_probe(SECOND) && !cell.begin_probe(SECOND));
        assert_eq!(cell.status(SECOND), Status::Busy);
        assert!(fail_fast.on_connected(&cell));
        assert_eq!(cell.status(SECOND), Status::Open);
        assert!(!fail_fast.on_connected(&cell));
    }

    #[test]
    fn delays_grow_to_32_seconds() {
        let (fail_fast, cell) = (FailFast::default(), AccrualCell::default());
        let mut now = 0;
        for most in [1, 2, 4, 8, 16, 32, 32] {
            let ejected = fail_fast.on_connect_failure(&cell, now, u64::MAX).unwrap();
            assert!(ejected.for_ns <= most * SECOND);
            assert!(ejected.for_ns >= most * SECOND - 1);
            now += ejected.for_ns;
            assert!(cell.begin_probe(now));
        }
    }

    #[test]
    fn a_probe_that_tells_nothing_is_given_back() {
        let (fail_fast, cell) = (FailFast::default(), AccrualCell::default());
        fail_fast.on_connect_failure(&cell, 0, 0).unwrap();
        assert!(cell.begin_probe(SECOND));
        cell.on_ignored(true);
        assert!(cell.begin_probe(SECOND));
    }

    #[test]
    fn a_probe_on_a_connection_that_was_there_settles_it() {
        let accrual = Accrual::new(&AccrualConfig::default());
        let (fail_fast, cell) = (FailFast::default(), AccrualCell::default());
        fail_fast.on_connect_failure(&cell, 0, 0).unwrap();
        assert!(cell.begin_probe(SECOND));
        assert_eq!(accrual.on_failure(&cell, SECOND, 0, true), None);
        assert!(
            cell.begin_probe(SECOND),
            "a failed response says nothing of connects"
        );
        accrual.on_success(&cell, SECOND, true);
        assert!(!fail_fast.on_connected(&cell), "known already");
        // A failed connect is told to both, and stays told.
        fail_fast.on_connect_failure(&cell, SECOND, 0).unwrap();
        accrual.on_failure(&cell, SECOND, 0, true);
        assert_eq!(cell.status(SECOND), Status::Busy);
    }

    #[test]
    fn a_connection_made_elsewhere_revives_before_the_delay_is_over() {
        let (fail_fast, cell) = (FailFast::default(), AccrualCell::default());
        fail_fast.on_connect_failure(&cell, 0, 0).unwrap();
        assert!(fail_fast.on_connected(&cell));
        assert_eq!(cell.status(1), Status::Open);
    }
}
