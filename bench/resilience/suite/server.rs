//! Replicas: a queue, a number of workers, and everything that can be wrong with them.

use std::collections::VecDeque;

use ringlink::balance::rng::{Rng, fraction};

use super::clock::MS;

/// How long the work of one request takes.
#[derive(Clone, Copy)]
pub enum Work {
    /// Exponential, with this mean in ns: many cheap requests and some dear ones.
    Exponential(u64),
    /// Log-normal, with this median in ns and this standard deviation of the logarithm.
    LogNormal(u64, f64),
}

impl Work {
    pub fn draw(self, rng: &mut Rng) -> u64 {
        // From the other side: more than 0, so that it has a logarithm.
        let uniform = 1.0 - fraction(rng.next_u64());
        match self {
            Work::Exponential(mean) => (mean as f64 * -uniform.ln()) as u64,
            Work::LogNormal(median, sigma) => {
                let angle = std::f64::consts::TAU * fraction(rng.next_u64());
                let normal = (-2.0 * uniform.ln()).sqrt() * angle.cos();
                (median as f64 * (sigma * normal).exp()) as u64
            }
        }
    }
}

/// From a time on, until another.
pub type Span = (u64, u64);

/// What is wrong with a replica, and when.
#[derive(Clone, Default)]
pub struct Faults {
    /// Work takes so many times as long.
    pub slow: Vec<(Span, f64)>,
    /// It stands still; in order, apart from each other.
    pub pauses: Vec<Span>,
    /// Nobody listens: connects are refused at once.
    pub refuses: Vec<Span>,
    /// Nobody is there: packets vanish.
    pub vanishes: Vec<Span>,
    /// It answers this part of the requests with an error, after [`ERROR_NS`].
    pub errs: Vec<(Span, f64)>,
}

/// How long it takes to fail.
pub const ERROR_NS: u64 = MS / 2;

/// One replica.
pub struct Server {
    pub work: Work,
    pub workers: usize,
    pub faults: Faults,
    pub busy: usize,
    /// Attempts that wait for a worker.
    pub queue: VecDeque<usize>,
    /// Attempts that came, as far as they are counted.
    pub arrived: u64,
}

impl Server {
    pub fn new(work: Work, workers: usize) -> Server {
        Server {
            work,
            workers,
            faults: Faults::default(),
            busy: 0,
            queue: VecDeque::new(),
            arrived: 0,
        }
    }

    /// The work of a request that begins now.
    pub fn draw(&self, now: u64, rng: &mut Rng) -> u64 {
        let slow = self.faults.slow.iter().find(|(span, _)| within(*span, now));
        let work = self.work.draw(rng) as f64;
        (work * slow.map_or(1.0, |(_, factor)| *factor)) as u64
    }

    /// When work is done that begins now, with the pauses that fall into it.
    pub fn finish(&self, now: u64, work: u64) -> u64 {
        let mut end = now + work;
        for &(from, until) in &self.faults.pauses {
            if until > now && from < end {
                end += until - from.max(now);
            }
        }
        end
    }

    pub fn refuses(&self, now: u64) -> bool {
        self.faults.refuses.iter().any(|span| within(*span, now))
    }

    pub fn vanished(&self, now: u64) -> bool {
        self.faults.vanishes.iter().any(|span| within(*span, now))
    }

    pub fn errs(&self, now: u64, rng: &mut Rng) -> bool {
        let mut errs = self.faults.errs.iter();
        errs.find(|(span, _)| within(*span, now))
            .is_some_and(|(_, part)| fraction(rng.next_u64()) < *part)
    }
}

fn within((from, until): Span, now: u64) -> bool {
    (from..until).contains(&now)
}
