//! A request at a replica: counted there for as long as it lives, and judged once when it is over.
//!
//! Whatever becomes of the request, cancelled halfway or not, dropping this tells the balancer and
//! failure accrual how it went. A client that leaves says nothing of the replica: unlike linkerd, which
//! counts that as a failure, so that impatient clients eject healthy hosts.

use std::rc::Rc;
use std::sync::Arc;

use super::client::Client;
use crate::balance::{Endpoint, Outcome};
use crate::engine::Shard;
#[cfg(feature = "planted-bugs")]
use crate::engine::planted::{Bug, planted};
use crate::resilience::gate::Status;

/// See the module's head.
pub struct InFlight {
    pub endpoint: Arc<Endpoint>,
    client: Rc<Client>,
    shard: Shard,
    began: u64,
    /// When the head of the response came.
    answered: Option<u64>,
    outcome: Outcome,
    /// For its backoff, should it be ejected.
    random: u64,
    is_probe: bool,
    /// It was sent although the endpoint was to be avoided, since all were.
    is_despite: bool,
}

impl InFlight {
    /// Sends a request to an endpoint that was picked.
    #[must_use]
    pub fn begin(client: &Rc<Client>, shard: &Shard, endpoint: Arc<Endpoint>) -> InFlight {
        let now = shard.now();
        client.begin(&endpoint, now);
        let is_probe = endpoint.accrual().begin_probe(now);
        InFlight {
            is_probe,
            is_despite: !is_probe && endpoint.accrual().status(now) == Status::Busy,
            endpoint,
            client: Rc::clone(client),
            shard: shard.clone(),
            began: now,
            answered: None,
            outcome: Outcome::Abandoned,
            random: 0,
        }
    }

    /// When it was sent.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.began
    }

    /// The head of its response came, and that was a good one.
    pub fn succeed(&mut self) {
        self.answered = Some(self.shard.now());
        self.outcome = Outcome::Success;
    }

    /// The head of its response came and tells of a failure, or one came in its place. The random bits
    /// are for its backoff, should it be ejected.
    pub fn fail(&mut self, random: u64) {
        self.answered = Some(self.shard.now());
        self.outcome = Outcome::Failure;
        self.random = random;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::CountLeaked) {
            return;
        }
        let now = self.shard.now();
        let latency = self.answered.unwrap_or(now).saturating_sub(self.began);
        self.client.end(&self.endpoint, self.outcome, latency, now);
        let (cell, rules) = (self.endpoint.accrual(), self.client.rules());
        match self.outcome {
            Outcome::Success if self.is_despite => {
                rules.accrual.on_success_despite(cell, now);
            }
            Outcome::Success => {
                rules.accrual.on_success(cell, now, self.is_probe);
            }
            Outcome::Failure => {
                let ejected = rules
                    .accrual
                    .on_failure(cell, now, self.random, self.is_probe);
                if let Some(ejected) = ejected {
                    tracing::info!(
                        client = %self.client.target.id,
                        endpoint = %self.endpoint.addr,
                        ms = ejected.for_ns / 1_000_000,
                        "too many failures: it gets no requests for a while"
                    );
                }
            }
            #[cfg(feature = "planted-bugs")]
            Outcome::Abandoned if planted(Bug::ProbeKept) => {}
            Outcome::Abandoned => cell.on_ignored(self.is_probe),
        }
    }
}
