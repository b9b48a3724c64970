//! Fault injection: to find out what the callers of a service do when it is slow or broken.
//!
//! Delay and failure are drawn apart, so that a request may have both, in that order: a backend that
//! times out is slow first and fails then.

use super::draw::happens;

const NS_PER_MS: u64 = 1_000_000;

/// What is done to a part of the requests. By default nothing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FaultConfig {
    pub abort: Option<AbortConfig>,
    pub delay: Option<DelayConfig>,
}

/// Requests that are answered by the proxy and sent to nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct AbortConfig {
    /// Which part of them: 0 to 1.
    pub fraction: f64,
    /// The status that they get.
    pub status: u16,
}

/// Requests that wait first.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayConfig {
    /// Which part of them: 0 to 1.
    pub fraction: f64,
    /// How long.
    pub ms: u64,
}

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fault {
    /// First it waits this long.
    pub delay_ns: u64,
    /// Then it gets this status, or is sent if there is none.
    pub abort: Option<u16>,
}

impl FaultConfig {
    /// Draws what is done to a request; one draw of random bits for each kind that is configured.
    pub fn draw(&self, random: &mut impl FnMut() -> u64) -> Fault {
        let delay = self.delay.as_ref();
        let delay = delay.filter(|delay| happens(random(), delay.fraction));
        let abort = self.abort.as_ref();
        let abort = abort.filter(|abort| happens(random(), abort.fraction));
        Fault {
            delay_ns: delay.map_or(0, |delay| delay.ms.saturating_mul(NS_PER_MS)),
            abort: abort.map(|abort| abort.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::dice;
    use super::*;

    fn config(abort: f64, delay: f64) -> FaultConfig {
        FaultConfig {
            abort: Some(AbortConfig {
                fraction: abort,
                status: 503,
            }),
            delay: Some(DelayConfig {
                fraction: delay,
                ms: 20,
            }),
        }
    }

    #[test]
    fn nothing_by_default_and_without_a_draw() {
        let fault = FaultConfig::default().draw(&mut || unreachable!("nothing to draw"));
        assert_eq!(fault, Fault::default());
    }

    #[test]
    fn always_and_never() {
        let mut random = dice(1);
        for _ in 0..1_000 {
            let both = config(1.0, 1.0).draw(&mut random);
            let expected = Fault {
                delay_ns: 20_000_000,
                abort: Some(503),
            };
            assert_eq!(both, expected);
            assert_eq!(config(0.0, 0.0).draw(&mut random), Fault::default());
        }
    }

    #[test]
    fn the_two_are_drawn_apart() {
        let (config, mut random) = (config(0.5, 0.2), dice(2));
        let mut seen = [[0u32; 2]; 2];
        for _ in 0..100_000 {
            let fault = config.draw(&mut random);
            let (aborted, delayed) = (fault.abort.is_some(), fault.delay_ns > 0);
            seen[usize::from(aborted)][usize::from(delayed)] += 1;
        }
        let expected = [[40_000, 10_000], [40_000, 10_000]];
        for (seen, expected) in seen.iter().flatten().zip(expected.iter().flatten()) {
            assert!(seen.abs_diff(*expected) < 800, "{seen} of {expected}");
        }
    }
}
