//! Retry budgets: retries are paid for by requests, so that a failing service gets a bounded share
//! of load on top and not a multiple of it.
//!
//! Every request deposits, every retry withdraws what `percentCanRetry` says it costs, and a reserve
//! lets the few requests of a quiet service be retried too; what was deposited or withdrawn is
//! forgotten after `ttlSecs`. These are Finagle's rules and numbers (`RetryBudget`).
//!
//! One budget serves all shards. The other way, a budget per shard of a part of the whole, was
//! rejected: the reserve of ten retries a second does not divide by sixteen, and the shard whose
//! clients meet the failure is poor while the others sit on theirs; lending them back and forth
//! costs more than the one shared addition per request that this costs.
//!
//! **Bound.** A withdrawal is counted first and then checked against all that were counted, and
//! taken back if it was too much. Of two that race for the last retry one sees the other, so the
//! budget is never overdrawn, whatever the number of shards; they may see each other and both be
//! refused, so as many retries as there are shards may be refused that were covered. In time:
//! withdrawals are remembered for at least nine tenths of the ttl and deposits for at most the whole,
//! so that the retries in any nine tenths of a ttl are never more than the reserve and the share of
//! the requests in one ttl.

use std::sync::atomic::{Ordering::SeqCst, fence};

use crossbeam_utils::CachePadded;

use super::window::Window;

/// What one request deposits; retries cost a whole number of its thousandths.
const DEPOSIT: f64 = 1_000.0;
const NS_PER_SEC: u64 = 1_000_000_000;
/// The share of what is left that the requeues of one request may use up.
const SHARE_PER_REQUEST: f64 = 0.2;

/// How many retries are allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Seconds for which deposits and withdrawals count: 1 to 60.
    pub ttl_secs: u32,
    /// Retries per second that need no requests to pay for them.
    pub min_retries_per_sec: u32,
    /// Retries per request: 0 to 1000; 0.2 allows one for every five requests.
    pub percent_can_retry: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig {
            ttl_secs: 10,
            min_retries_per_sec: 10,
            percent_can_retry: 0.2,
        }
    }
}

/// See the module's head. Times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct Budget {
    deposit: u64,
    cost: u64,
    reserve: i128,
    // Apart: every request writes the one, and only retries the other.
    deposits: CachePadded<Window>,
    withdrawals: CachePadded<Window>,
}

impl Budget {
    /// A budget with nothing but its reserve. A share beyond what [`BudgetConfig`] allows counts as
    /// the nearest that it does.
    #[must_use]
    pub fn new(config: &BudgetConfig) -> Budget {
        let ttl = u64::from(config.ttl_secs.clamp(1, 60));
        // Whatever is not more than 0, or no number, lets only the reserve be used.
        let pays = config.percent_can_retry > 0.0;
        let cost = if pays {
            // Rounds down, and saturates.
            (DEPOSIT / config.percent_can_retry.min(DEPOSIT)) as u64
        } else {
            1
        };
        let reserve = u64::from(config.min_retries_per_sec) * ttl;
        Budget {
            deposit: if pays { DEPOSIT as u64 } else { 0 },
            cost,
            reserve: i128::from(reserve) * i128::from(cost),
            deposits: CachePadded::new(Window::new(ttl * NS_PER_SEC)),
            withdrawals: CachePadded::new(Window::new(ttl * NS_PER_SEC)),
        }
    }

    /// Counts a request, which pays for a part of a retry.
    #[inline(never)]
    pub fn deposit(&self, now_ns: u64) {
        if self.deposit > 0 {
            self.deposits.add(now_ns);
        }
    }

    /// Asks for one retry. False if the budget is used up; then nothing changed.
    #[must_use]
    pub fn withdraw(&self, now_ns: u64) -> bool {
        // Reads first: when everything fails, all shards come here and find nothing.
        self.left(now_ns) >= i128::from(self.cost) && self.claim(now_ns)
    }

    /// Withdraws if that is covered, whatever happened since somebody looked.
    fn claim(&self, now_ns: u64) -> bool {
        self.withdrawals.add(now_ns);
        // Of two shards that count into different slots, at the turn of one, one must see the other.
        fence(SeqCst);
        let is_covered = self.left(now_ns) >= 0;
        if !is_covered {
            self.withdrawals.take_back(now_ns);
        }
        is_covered
    }

    /// The retries that could be made now.
    #[must_use]
    pub fn balance(&self, now_ns: u64) -> u64 {
        let retries = self.left(now_ns).max(0) / i128::from(self.cost);
        u64::try_from(retries).unwrap_or(u64::MAX)
    }

    /// How often one request may be requeued by its client at most: a fifth of the balance, rounded
    /// up, so that no single request uses up what is there for all.
    #[must_use]
    pub fn requeues_per_request(&self, now_ns: u64) -> u64 {
        (self.balance(now_ns) as f64 * SHARE_PER_REQUEST).ceil() as u64
    }

    fn left(&self, now_ns: u64) -> i128 {
        let paid = i128::from(self.deposits.sum(now_ns)) * i128::from(self.deposit);
        let spent = i128::from(self.withdrawals.sum(now_ns)) * i128::from(self.cost);
        paid + self.reserve - spent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use proptest::prelude::*;

    use super::super::tests::{SHARDS, race};
    use super::*;

    fn config(ttl_secs: u32, min_retries_per_sec: u32, percent_can_retry: f64) -> BudgetConfig {
        BudgetConfig {
            ttl_secs,
            min_retries_per_sec,
            percent_can_retry,
        }
    }

    /// How many retries are granted in a row.
    fn drain(budget: &Budget, now_ns: u64) -> u64 {
        (0..).take_while(|_| budget.withdraw(now_ns)).count() as u64
    }

    #[test]
    fn grants_what_the_reference_says() {
        // ttl, minimum, percent; requests; retries.
        let table = [
            (10, 10, 0.2, 0, 100),
            (10, 10, 0.2, 4, 100),
            (10, 10, 0.2, 5, 101),
            (10, 10, 0.2, 1_000, 300),
            (10, 0, 0.2, 1_000, 200),
            (10, 0, 1.0, 7, 7),
            (10, 0, 2.0, 7, 14),
            // A retry costs floor(1000 / 3) = 333.
            (10, 0, 3.0, 1, 3),
            (10, 0, 3.0, 333, 1_000),
            (10, 0, 1_000.0, 1, 1_000),
            // Percent 0: only the reserve. Both 0: none.
            (1, 5, 0.0, 1_000, 5),
            (60, 5, 0.0, 1_000, 300),
            (10, 0, 0.0, 1_000, 0),
            // Beyond the range: the nearest that is within.
            (0, 5, 0.0, 0, 5),
            (99, 5, 0.0, 0, 300),
            (10, 0, 5_000.0, 1, 1_000),
            (10, 0, -1.0, 1_000, 0),
            (10, 0, f64::NAN, 1_000, 0),
            // So dear that no number of requests pays for one.
            (10, 2, 1e-300, 1_000, 20),
        ];
        for (ttl, minimum, percent, requests, retries) in table {
            let budget = Budget::new(&config(ttl, minimum, percent));
            (0..requests).for_each(|_| budget.deposit(1));
            assert_eq!(
                budget.balance(1),
                retries,
                "{ttl} {minimum} {percent} {requests}"
            );
            assert_eq!(
                drain(&budget, 1),
                retries,
                "{ttl} {minimum} {percent} {requests}"
            );
            assert_eq!(budget.balance(1), 0);
        }
    }

    #[test]
    fn deposits_and_withdrawals_are_forgotten() {
        let budget = Budget::new(&config(10, 1, 1.0));
        (0..50).for_each(|_| budget.deposit(0));
        assert_eq!(drain(&budget, 0), 60);
        assert_eq!(budget.balance(9 * NS_PER_SEC), 0);
        assert_eq!(
            budget.balance(10 * NS_PER_SEC),
            10,
            "the reserve is always there"
        );
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let budget = Budget::new(&config(10, 0, 0.5));
        budget.deposit(0);
        assert!(!budget.withdraw(0) && !budget.withdraw(0));
        budget.deposit(0);
        assert!(budget.withdraw(0));
    }

    #[test]
    fn one_request_gets_a_fifth() {
        let requeues = |minimum| Budget::new(&config(10, minimum, 0.0)).requeues_per_request(0);
        assert_eq!([0, 1, 2, 10].map(requeues), [0, 2, 4, 20]);
        let budget = Budget::new(&config(10, 0, 1.0));
        let deposit_and_ask = |_| {
            budget.deposit(0);
            budget.requeues_per_request(0)
        };
        assert_eq!([1, 2, 3, 4, 5, 6].map(deposit_and_ask), [1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn who_looked_too_early_is_refused() {
        let budget = Budget::new(&config(10, 0, 1.0));
        (0..3).for_each(|_| budget.deposit(0));
        assert_eq!(drain(&budget, 0), 3);
        // Had seen one left, in the same slot or at the turn to the next.
        assert!(!budget.claim(0) && !budget.claim(NS_PER_SEC));
        budget.deposit(0);
        assert_eq!(budget.balance(0), 1, "nothing was lost by it");
        assert!(budget.claim(NS_PER_SEC) && !budget.claim(0));
    }

    #[test]
    fn is_never_overdrawn_by_shards_that_race() {
        const ROUNDS: usize = 2_000;
        // Shards race for the last retry, with clocks on both sides of a slot's end.
        let budgets: Vec<_> = (0..ROUNDS)
            .map(|_| (Budget::new(&config(1, 1, 0.0)), AtomicU64::new(0)))
            .collect();
        race(ROUNDS, |shard, round| {
            let (budget, granted) = &budgets[round];
            let now = 10 * NS_PER_SEC + (shard as u64 % 2) * NS_PER_SEC / 10;
            granted.fetch_add(u64::from(budget.withdraw(now)), Relaxed);
        });
        for (round, (budget, granted)) in budgets.iter().enumerate() {
            let granted = granted.load(Relaxed);
            // What the race refused wrongly is still there.
            let left = drain(budget, 10 * NS_PER_SEC);
            assert_eq!(granted + left, 1, "{granted} in round {round}");
        }
    }

    #[test]
    fn loses_no_deposit_between_threads() {
        let budget = Budget::new(&config(10, 0, 1.0));
        race(20, |_, _| {
            (0..50_000).for_each(|_| budget.deposit(NS_PER_SEC))
        });
        assert_eq!(budget.balance(NS_PER_SEC), 1_000_000 * SHARDS as u64);
    }

    proptest! {
        /// The bound of the module's head, over any sequence of requests and retries.
        #[test]
        fn retries_never_exceed_the_reserve_and_the_share(
            minimum in 0..5u32,
            percent in prop_oneof![Just(0.0), 0.01..3.0f64],
            steps in prop::collection::vec((0..300u64, any::<bool>()), 1..300),
        ) {
            let budget = Budget::new(&config(1, minimum, percent));
            let cost = if percent > 0.0 { (1_000.0 / percent).floor() } else { 1.0 };
            let reserve = f64::from(minimum) * cost;
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            let since = |times: &[u64], from: u64| {
                times.iter().filter(|time| **time >= from).count() as f64
            };
            for (ms, is_retry) in steps {
                now += ms * 1_000_000;
                if !is_retry {
                    budget.deposit(now);
                    requests.push(now);
                } else if budget.withdraw(now) {
                    retries.push(now);
                    let paid = since(&requests, now.saturating_sub(NS_PER_SEC)) * 1_000.0;
                    let spent = since(&retries, now.saturating_sub(NS_PER_SEC * 9 / 10)) * cost;
                    let paid = if percent > 0.0 { paid } else { 0.0 };
                    prop_assert!(spent <= paid + reserve, "{} of {}", spent, paid + reserve);
                }
            }
        }
    }
}
