//! The policies that a world's routers go by: drawn from the seed, and drawn anew, all but the
//! budgets, for each reload.
//!
//! A *gentle* policy refuses nobody who asks properly, so that a world in which nothing goes wrong
//! can still be held to answering everybody. Any other has limits that are met all the time.

use crate::chance::{Rng, mix};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// Longer than anything takes, ms.
const NO_LIMIT: u64 = 1_000_000;

/// A retry budget.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    ttl_secs: u64,
    per_sec: u64,
    share: f64,
}

impl Budget {
    fn draw(rng: &mut Rng, least: u64) -> Budget {
        Budget {
            // Longer than most worlds live: what it pays for can be told exactly.
            ttl_secs: rng.pick(&[60, 60, 60, 10, 1]),
            per_sec: rng.pick(&[0, 0, 1, 10]).max(least),
            share: rng.pick(&[0.0, 0.1, 0.2, 0.5, 1.0, 3.0]),
        }
    }

    fn yaml(self) -> String {
        format!(
            "{{ttlSecs: {}, minRetriesPerSec: {}, percentCanRetry: {}}}",
            self.ttl_secs, self.per_sec, self.share
        )
    }

    /// The most that so many budgets of this kind grant in all, by so many requests over so many
    /// ns: in any nine tenths of a ttl the reserve, and the share of the requests of one ttl.
    pub fn most(self, budgets: u64, requests: u64, ran_ns: u64) -> u64 {
        let windows = ran_ns.div_ceil(self.ttl_secs * SECOND / 10 * 9).max(1);
        let reserve = self.ttl_secs * self.per_sec * windows * budgets;
        // A request may pay in two windows that overlap.
        let paying = requests * windows.min(2);
        match self.share > 0.0 {
            true => reserve + paying * 1000 / (1000.0 / self.share) as u64,
            false => reserve,
        }
    }
}

/// Which methods are sent again after a failure, by the classifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Retried {
    #[default]
    Nothing,
    Reads,
    Idempotent,
    Writes,
}

impl Retried {
    pub fn permits(self, method: &str) -> bool {
        self >= match method {
            "GET" | "HEAD" => Retried::Reads,
            "PUT" | "DELETE" => Retried::Idempotent,
            "POST" => Retried::Writes,
            _ => return false,
        }
    }
}

/// What holds of a policy, or of all that were in force in a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub retried: Retried,
    /// Time limits in ms: of requests, of attempts, of the server.
    limits: [u64; 3],
    /// Requests in flight at one replica.
    pub at_once: u32,
    /// Idempotent requests may be sent twice at once.
    pub hedges: bool,
}

impl Bounds {
    /// The longest that a replica may be told a request has, ns. A reload changes one limit after
    /// the other.
    pub fn longest(&self) -> u64 {
        self.limits.into_iter().min().unwrap_or(0) * MILLI
    }

    pub fn widen(&mut self, other: Bounds) {
        self.retried = self.retried.max(other.retried);
        for (mine, other) in self.limits.iter_mut().zip(other.limits) {
            *mine = other.max(*mine);
        }
        self.at_once = self.at_once.max(other.at_once);
        self.hedges |= other.hedges;
    }
}

/// What a world's configuration says of policy.
#[derive(Clone, Debug)]
pub struct Policy {
    pub bounds: Bounds,
    /// In a world without faults it refuses nobody.
    pub is_lenient: bool,
    pub retries: Budget,
    pub requeues: Budget,
    /// Keys of the server, the client, its pool, and the service, each with a comma behind it.
    pub server: String,
    pub client: String,
    pub pool: String,
    pub service: String,
}

impl Policy {
    /// `crowd`: there are so many requests at once that whoever waits may wait for long.
    pub fn draw(seed: u64, variant: u64, gentle: bool, crowd: bool) -> Policy {
        let mut fixed = Rng::new(seed ^ 0xB0D6E7);
        let least = if gentle { 100 } else { 0 };
        let requeues = Budget::draw(&mut fixed, least);
        let retries = Budget::draw(&mut fixed, 0);
        let mut rng = Rng::new(mix(seed ^ 0x9071C4) ^ variant);
        if !gentle && seed.is_multiple_of(8) {
            return Policy::plain();
        }
        let mut policy = Policy {
            bounds: Bounds::default(),
            is_lenient: gentle,
            retries,
            requeues,
            server: String::new(),
            client: format!(
                "loadBalancer: {}, failureAccrual: {}, failFast: {}, requeueBudget: {}, ",
                balancer(&mut rng),
                accrual(&mut rng),
                rng.percent(30),
                requeues.yaml(),
            ),
            pool: String::new(),
            service: String::new(),
        };
        policy.limits(&mut rng, gentle, crowd);
        policy.room(&mut rng, gentle, crowd);
        policy.again(&mut rng);
        policy
    }

    /// Time limits, and defaults.
    fn plain() -> Policy {
        let budget = Budget {
            ttl_secs: 10,
            per_sec: 10,
            share: 0.2,
        };
        Policy {
            bounds: Bounds {
                retried: Retried::Nothing,
                limits: [3000, 1500, NO_LIMIT],
                at_once: u32::MAX,
                hedges: false,
            },
            is_lenient: true,
            retries: budget,
            requeues: budget,
            server: String::new(),
            client: "requestAttemptTimeoutMs: 1500, connectTimeoutMs: 400, ".to_owned(),
            pool: String::new(),
            service: "totalTimeoutMs: 3000".to_owned(),
        }
    }

    /// How long things may take, and how many may be served at once.
    fn limits(&mut self, rng: &mut Rng, gentle: bool, crowd: bool) {
        let (attempt, total, server) = match gentle {
            true => (12_000, 100_000, None),
            false => {
                let total = rng.pick(&[3000, 3000, 1500, 600, 250]);
                let server = rng.percent(20).then(|| rng.between(100, 2000));
                (rng.pick(&[total, total / 2, total / 5]), total, server)
            }
        };
        let connect = if gentle {
            10_000
        } else {
            rng.pick(&[400, 400, 80])
        };
        self.client.push_str(&format!(
            "requestAttemptTimeoutMs: {attempt}, connectTimeoutMs: {connect}, "
        ));
        self.service.push_str(&format!("totalTimeoutMs: {total}, "));
        if let Some(limit) = server {
            self.server.push_str(&format!("timeoutMs: {limit}, "));
        }
        self.bounds.limits = [total, attempt, server.unwrap_or(NO_LIMIT)];
        if rng.percent(30) && !(gentle && crowd) {
            let most = if crowd { 5 } else { rng.pick(&[1, 2, 5]) };
            let waiting = match gentle {
                true => 1_000_000,
                false => rng.pick(&[0, 1, 3, 100]),
            };
            self.server.push_str(&format!(
                "maxConcurrentRequests: {most}, maxPendingRequests: {waiting}, "
            ));
        }
    }

    /// Room at replicas, and how long connections are kept.
    fn room(&mut self, rng: &mut Rng, gentle: bool, crowd: bool) {
        self.bounds.at_once = u32::MAX;
        if rng.percent(40) && !(gentle && crowd) {
            let most = match gentle {
                true => rng.pick(&[2, 4]),
                false => rng.pick(&[1, 2, 4]),
            };
            self.bounds.at_once = most;
            self.pool.push_str(&format!("maxSize: {most}, "));
            if !gentle {
                let waiters = rng.pick(&[0, 1, 5, 100]);
                self.pool.push_str(&format!("maxWaiters: {waiters}, "));
            }
        }
        if rng.percent(20) {
            let ms = rng.between(50, 3000);
            let session = format!("clientSession: {{lifeTimeMs: {ms}}}, ");
            self.client.push_str(&session);
        }
    }

    /// What is sent again, and after what time.
    fn again(&mut self, rng: &mut Rng) {
        let (kind, retried) = rng.pick(&[
            ("nonRetryable5XX", Retried::Nothing),
            ("allSuccessful", Retried::Nothing),
            ("retryableRead5XX", Retried::Reads),
            ("retryableIdempotent5XX", Retried::Idempotent),
            ("retryableAll5XX", Retried::Writes),
        ]);
        self.bounds.retried = retried;
        let backoff = backoff(rng, 60);
        let kept = rng.pick(&[0, 100, 5_000, 65_536, 300_000]);
        self.service.push_str(&format!(
            "responseClassifier: {{kind: io.l5d.http.{kind}}}, \
             retries: {{budget: {}, backoff: {backoff}, bufferBytes: {kept}}}",
            self.retries.yaml()
        ));
        if rng.percent(30) {
            self.bounds.hedges = true;
            let (percentile, delay) = (rng.pick(&[50, 90]), rng.pick(&[0, 1, 20]));
            self.service.push_str(&format!(
                ", hedge: {{percentile: {percentile}, minDelayMs: {delay}, minSamples: 1}}"
            ));
        }
    }
}

fn balancer(rng: &mut Rng) -> String {
    let kind = match rng.next() % 7 {
        0 | 1 => "kind: p2c",
        2 => "kind: ewma, decayTimeMs: 500",
        3 => "kind: aperture, minAperture: 1, smoothWindowMs: 200",
        4 => "kind: heap",
        5 => "kind: roundRobin",
        _ => rng.pick(&[
            "kind: ringHash, hashBy: path",
            "kind: ringHash, hashBy: {header: x-answer}, loadFactor: 1.1",
        ]),
    };
    let mut text = format!(
        "{{{kind}, maxEffort: {}, panicThresholdPercent: {}",
        rng.pick(&[1, 2, 5]),
        rng.pick(&[0, 50, 100])
    );
    if rng.percent(20) {
        text.push_str(", slowStartMs: 500");
    }
    text + "}"
}

fn accrual(rng: &mut Rng) -> String {
    let kind = match rng.next() % 8 {
        0..4 => format!(
            "kind: io.l5d.consecutiveFailures, failures: {}",
            rng.between(1, 4)
        ),
        4 | 5 => format!(
            "kind: io.l5d.successRate, successRate: {}, requests: {}",
            rng.pick(&[0.3, 0.9]),
            rng.between(1, 8)
        ),
        6 => "kind: io.l5d.successRateWindowed, successRate: 0.8, window: 1".to_owned(),
        _ => "kind: none".to_owned(),
    };
    format!("{{{kind}, backoff: {}}}", backoff(rng, 1000))
}

/// One that waits for so many ms at most.
fn backoff(rng: &mut Rng, most: u64) -> String {
    match rng.percent(50) {
        true => format!("{{kind: constant, ms: {}}}", rng.between(0, most)),
        false => {
            let min = rng.between(1, most / 2);
            format!("{{kind: jittered, minMs: {min}, maxMs: {most}}}")
        }
    }
}
