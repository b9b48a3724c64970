//! What the drawn policy permits: how often a request may arrive, what the budgets pay for, and
//! what a head that is sent to a replica may say of its time.
//!
//! Backends count what arrived. That is less than what was sent, since heads get lost on their way,
//! and a request that was sent again since its pooled connection had been closed costs nothing; so
//! an arrival counts as paid for only where nothing else can explain it. The router's own counters
//! are held to the same bounds: they tell of requeues that never got as far as a backend.

use std::collections::BTreeMap;

use crate::ledger::{Arrival, Asked, Ledger, Outcome, Unseen};
use crate::policy::{Bounds, Budget};
use crate::wire::Head;

/// Attempts at one request, whatever the budgets say: those that are judged, and one on a new
/// connection for a pooled one that had been closed.
const MOST_ATTEMPTS: usize = 26;

/// What of a run is judged by its budgets.
pub struct Run {
    /// Nothing but backends fails here: what they sent came.
    pub trusty: bool,
    pub ran_ns: u64,
    pub retries: Budget,
    pub requeues: Budget,
    /// Retry budgets that there were, for each logical name.
    pub services: BTreeMap<String, u64>,
    /// Requeue budgets.
    pub clients: u64,
    /// As the routers that are left count them.
    pub counted_retries: u64,
    pub counted_requeues: u64,
    pub counted_hedges: u64,
}

/// Judges how often the requests of a run arrived.
pub fn judge(ledger: &Ledger, run: &Run) {
    let bounds = ledger.bounds.get();
    let mut names: BTreeMap<String, (u64, Paid)> = BTreeMap::new();
    let (mut requests, mut sum) = (0, Paid::default());
    for (id, asked) in ledger.all() {
        if let Some(wrong) = repeated(&asked, bounds) {
            ledger.violation(format!("request {id} {wrong}: {:?}", asked.arrivals));
        }
        // Which of two attempts at once was what, arrivals do not tell.
        let paid = paid(&asked, run.trusty && !bounds.hedges);
        sum.add(paid);
        requests += 1;
        let (of_name, paid_by_name) = names.entry(asked.service).or_default();
        *of_name += 1;
        paid_by_name.add(paid);
    }
    let mut granted = 0;
    for (name, (requests, paid)) in &names {
        let budgets = run.services.get(name).copied().unwrap_or(0);
        let most = run.retries.most(budgets, *requests, run.ran_ns);
        granted += most;
        if paid.retries > most {
            let found = paid.retries;
            ledger.violation(format!(
                "{found} retries of `{name}` arrived, of {most} paid for"
            ));
        }
    }
    let requeued = run.requeues.most(run.clients, requests, run.ran_ns);
    for (what, found, most) in [
        ("repeats arrived", sum.repeats, granted + requeued),
        ("requeues arrived", sum.requeues, requeued),
        ("requeues were counted", run.counted_requeues, requeued),
        (
            "retries and hedges were counted",
            run.counted_retries + run.counted_hedges,
            granted,
        ),
    ] {
        if found > most {
            ledger.violation(format!("{found} {what}, of {most} paid for"));
        }
    }
}

/// At least so many arrivals were paid for by a budget.
#[derive(Clone, Copy, Default)]
struct Paid {
    /// By either.
    repeats: u64,
    retries: u64,
    requeues: u64,
}

impl Paid {
    fn add(&mut self, other: Paid) {
        self.repeats += other.repeats;
        self.retries += other.retries;
        self.requeues += other.requeues;
    }
}

/// What can only have arrived because a budget paid for it.
fn paid(asked: &Asked, trusty: bool) -> Paid {
    let arrivals = &asked.arrivals;
    let count =
        |is: &dyn Fn(&Arrival) -> bool| arrivals.iter().filter(|one| is(one)).count() as u64;
    let extra = (arrivals.len() as u64).saturating_sub(1);
    // An answer that was lost looks like a pooled connection that was closed, which costs nothing.
    let free = count(&|one| one.reused && !(trusty && one.whole && one.began));
    let repeats = extra.saturating_sub(free);
    if !trusty {
        return Paid {
            repeats,
            ..Paid::default()
        };
    }
    let is_nack = |one: &Arrival| one.unseen == Some(Unseen::Nack);
    let nacked = count(&is_nack);
    // These are requeued or passed on; an answer that came too late was a failure for the service.
    let requeueable = count(&|one| is_nack(one) && one.in_time);
    let passed_on = u64::from(asked.outcome == Some(Outcome::Answered(503)));
    let failed = count(&|one| {
        let went_well = one.in_time && one.status.is_some_and(|status| status < 500);
        !is_nack(one) && !went_well || is_nack(one) && !one.in_time
    });
    Paid {
        repeats,
        retries: repeats.saturating_sub(nacked),
        requeues: requeueable
            .saturating_sub(passed_on)
            .min(repeats.saturating_sub(failed)),
    }
}

/// What is wrong with how often a request arrived.
fn repeated(asked: &Asked, bounds: Bounds) -> Option<String> {
    let count = asked.arrivals.len();
    let most = MOST_ATTEMPTS * if bounds.hedges { 2 } else { 1 };
    if count > most {
        return Some(format!("arrived {count} times"));
    }
    if bounds.retried.permits(asked.method) || bounds.hedges && asked.idempotent {
        return None;
    }
    // What was looked at, or may have been.
    let seen = || asked.arrivals.iter().filter(|one| one.unseen.is_none());
    let looked_at = seen().count();
    if !asked.idempotent {
        return (looked_at > 1).then(|| "is not idempotent and arrived twice".to_owned());
    }
    // The first may come to light after the second: it lay unread when its connection broke.
    if seen().filter(|one| !one.reused).count() > 1 {
        return Some("was repeated after it was sent on a new connection".to_owned());
    }
    // A pooled connection may turn out to be closed each time that the request is sent, which is
    // once more for each time that nobody looked at it.
    (looked_at > 2 + (count - looked_at)).then(|| format!("arrived {count} times"))
}

/// What is wrong with what a backend is told of a request's time.
pub fn overdue(head: &Head, asked: &Asked, bounds: Bounds) -> Option<String> {
    let Some((sent, due)) = told(head) else {
        return Some(format!("has no deadline: {head:?}"));
    };
    if sent >= due {
        return Some(format!("was sent at {sent}, its time being over at {due}"));
    }
    let (left, longest) = (due - sent, bounds.longest());
    if left > longest {
        return Some(format!(
            "was sent with {left} ns left, of at most {longest}"
        ));
    }
    match asked.deadline {
        Some(given) if due > given => Some(format!("was given until {given}, not until {due}")),
        _ => None,
    }
}

/// When a head was sent, and until when its answer is waited for, by the wall clock in ns.
pub fn told(head: &Head) -> Option<(u64, u64)> {
    let (sent, due) = head.get("l5d-ctx-deadline")?.split_once(' ')?;
    Some((sent.parse().ok()?, due.parse().ok()?))
}
