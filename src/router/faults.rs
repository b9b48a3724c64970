//! Faults on purpose: some requests of a service wait, or fail, before they are sent.
//!
//! To callers it is as if the service did it: a request that waits has its place there, and its wait
//! ends with its deadline, with the time that the service has, and with its client.

use std::future::poll_fn;
use std::task::Poll;

use super::deadline;
use super::exchange::{Outcome, Walk};
use super::identify::conditions::{headers_fit, method_fits};
use super::refusal::Refusal;
use crate::config::resolved::FaultRule;
use crate::http::RequestHead;

impl Walk<'_, '_> {
    /// Does to the request what the first rule that fits says, if that is drawn.
    ///
    /// # Errors
    /// How it ended by that.
    pub(super) async fn suffer(&mut self, rules: &[FaultRule]) -> Result<(), Outcome> {
        let Some(rule) = rules.iter().find(|rule| fits(rule, self.head)) else {
            return Ok(());
        };
        let router = self.by.router;
        let fault = rule.faults.draw(&mut || router.random());
        if fault.delay_ns > 0 {
            self.delay(fault.delay_ns).await?;
        }
        match fault.abort {
            None => Ok(()),
            Some(status) => {
                let text = "it was made to fail on purpose, by `faults` of the service";
                let refusal = Refusal::proxy(status, "fault-injected", text);
                Err(Outcome::Refused(refusal))
            }
        }
    }

    async fn delay(&mut self, ns: u64) -> Result<(), Outcome> {
        let shard = &self.by.router.shard;
        let (over, until) = (shard.now().saturating_add(ns), self.due());
        self.timer.set(over.min(until));
        poll_fn(|_| {
            let now = shard.now();
            if now >= over {
                return Poll::Ready(Ok(()));
            }
            if now >= self.due {
                return Poll::Ready(Err(Outcome::Refused(deadline::exceeded())));
            }
            if now >= until {
                let text = "the service was made slow on purpose, and did not respond in time";
                let refusal = Refusal::proxy(504, "request-timeout", text);
                return Poll::Ready(Err(Outcome::Refused(refusal)));
            }
            self.poll_client_gone().map(|()| Err(Outcome::ClientGone))
        })
        .await
    }
}

fn fits(rule: &FaultRule, head: &RequestHead) -> bool {
    let path_fits = rule.path.as_ref().is_none_or(|prefix| {
        let rest = head.path().strip_prefix(prefix.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    });
    path_fits && method_fits(&rule.methods, head) && headers_fit(&rule.headers, head)
}
