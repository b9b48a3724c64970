//! Policy towards replicas: how long, how many, who, and what if they fail.

use std::time::Duration;

use super::accrual::accrual;
use super::by_prefix::policies;
use super::cursor::{Cursor, MOST};
use super::health::health_check;
use super::keys::policy as keys;
use super::loadbalancer::balancer;
use super::resolved::{ClientParams, Policies};
use super::retries::budget;
use super::value::Value;

/// The client of a router; `total` is the longest that any of its requests may take.
pub fn clients(given: Option<Value<'_>>, total: Option<Duration>) -> Policies<ClientParams> {
    policies(given, &keys::CLIENTS, &keys::CLIENT_ENTRY, |block| {
        params(block, total)
    })
}

fn params(block: &mut Cursor<'_>, total: Option<Duration>) -> ClientParams {
    let (balancer, hash) = block.get("loadBalancer").and_then(balancer).unzip();
    let pool = pool(block.block("hostConnectionPool", &keys::POOL));
    let mut session = block.block("clientSession", &keys::CLIENT_SESSION);
    let mut socket = block.block("socketOptions", &keys::CLIENT_SOCKET);
    // linkerd has two names for one thing, at two layers; the shorter one is what happens.
    let idle = [pool.idle_timeout, session.opt_ms("idleTimeMs")];
    let params = ClientParams {
        balancer,
        hash,
        connect_timeout: block.opt_ms("connectTimeoutMs"),
        attempt_timeout: attempt_timeout(block, total).map(Some),
        body_timeout: block.opt_ms("bodyTimeoutMs"),
        idle_timeout: idle.into_iter().flatten().min(),
        life_time: session.opt_ms("lifeTimeMs").map(Some),
        no_delay: socket.get("noDelay").and_then(|value| value.flag()),
        fail_fast: block.get("failFast").and_then(|value| value.flag()),
        health_check: block.get("healthCheck").and_then(health_check).map(Some),
        accrual: block.get("failureAccrual").and_then(accrual),
        requeue_budget: block.get("requeueBudget").map(budget),
        ..pool
    };
    session.finish();
    socket.finish();
    params
}

/// What a pool says. linkerd's largest number is its way to say that there is no limit.
fn pool(mut block: Cursor<'_>) -> ClientParams {
    let mut most = |key, range| block.get(key).and_then(|value| value.int(range));
    let (min, max) = (most("minSize", 0..=65536), most("maxSize", 1..=MOST));
    let idle = most("maxIdle", 0..=65536);
    let waiters = most("maxWaiters", 0..=MOST);
    for (other, limit) in [("maxSize", max), ("maxIdle", idle)] {
        if let (Some(min), Some(limit), Some(value)) = (min, limit, block.get("minSize"))
            && min > limit
        {
            value.wrong(format!("{min} is more than `{other}`, which is {limit}"));
        }
    }
    let limited = |n: &u64| *n < MOST;
    let pool = ClientParams {
        idle_timeout: block.opt_ms("idleTimeMs"),
        max_idle: idle.and_then(|n| usize::try_from(n).ok()),
        min_size: min.and_then(|n| usize::try_from(n).ok()),
        max_size: max.map(|n| {
            u32::try_from(n)
                .ok()
                .filter(|_| limited(&n))
                .unwrap_or(u32::MAX)
        }),
        max_waiters: waiters.map(|n| {
            usize::try_from(n)
                .ok()
                .filter(|_| limited(&n))
                .unwrap_or(usize::MAX)
        }),
        ..ClientParams::default()
    };
    block.finish();
    pool
}

/// An attempt that may outlast its request is a limit that never works: most likely somebody does
/// not know that the request has one.
fn attempt_timeout(block: &mut Cursor<'_>, total: Option<Duration>) -> Option<Duration> {
    let key = "requestAttemptTimeoutMs";
    let attempt = block.opt_ms(key)?;
    if let (Some(total), Some(value)) = (total.filter(|t| *t < attempt), block.get(key)) {
        let (attempt, total) = (attempt.as_millis(), total.as_millis());
        value.wrong_help(
            format!("{attempt} is more than the whole request has: {total}"),
            "raise `service.totalTimeoutMs`, or write 0 there for no limit",
        );
    }
    Some(attempt)
}
