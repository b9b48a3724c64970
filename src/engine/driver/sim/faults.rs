//! What can go wrong in a simulated world, how often, and how often it did.
//!
//! Every fault is a probability of its own, so that a failing seed can be narrowed down by switching
//! faults off one at a time. [`Faults::from_seed`] takes a random *subset* with random strengths
//! (swarm testing): with everything on at once, the harsh faults hide the bugs of the mild ones.

/// The one source of chance of a simulated world (SplitMix64).
#[derive(Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; `n` is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }
}

/// Probabilities (0 to 1) of each fault, asked once per occasion. "Proxy" marks those that only
/// drivers of [`Role::Proxy`](super::Role::Proxy) suffer; the others touch every connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Proxy: a receive delivers a part of what it could.
    pub split_read: f64,
    /// Proxy: a send takes a part of what it could.
    pub short_send: f64,
    /// Proxy: a receive ends with `-ENOBUFS` although the pool has buffers (they came back since).
    pub enobufs: f64,
    /// Per receive and send asked for: the connection is reset within two milliseconds.
    pub reset: f64,
    pub connect_refused: f64,
    /// A connect never ends unless it is cancelled.
    pub connect_blackhole: f64,
    /// Every other packet takes up to this much longer.
    pub delay_ms_max: u32,
    /// Proxy: the completions of a turn are shuffled; those of one socket keep their order.
    pub reorder: f64,
    /// Proxy: a cancel takes up to 20 ms, and the operation goes on meanwhile.
    pub late_cancel: f64,
    /// Proxy: a FIN is held back for up to two seconds, but comes at once when a send is asked for
    /// on its socket.
    pub fin_when_picked: f64,
    /// Proxy: a turn brings nothing although something is ready.
    pub spurious_wake: f64,
    /// Proxy: an accept ends with `-EMFILE`; the connection stays in the backlog.
    pub accept_error: f64,
    /// The clock goes up to a minute further than asked.
    pub clock_jump: f64,
}

impl Faults {
    #[must_use]
    pub fn none() -> Faults {
        Faults::default()
    }

    /// A random subset of the faults, each with a random strength.
    #[must_use]
    pub fn from_seed(seed: u64) -> Faults {
        let mut rng = Rng::new(seed ^ 0x5DEE_CE66_D1CE_4E5B);
        let mut draw = |most: f64| {
            let strength = [0.01, 0.05, 0.2, 1.0][rng.index(4)];
            if rng.coin() { most * strength } else { 0.0 }
        };
        Faults {
            split_read: draw(0.9),
            short_send: draw(0.9),
            enobufs: draw(0.3),
            reset: draw(0.1),
            connect_refused: draw(0.3),
            connect_blackhole: draw(0.1),
            delay_ms_max: draw(500.0) as u32,
            reorder: draw(1.0),
            late_cancel: draw(1.0),
            fin_when_picked: draw(1.0),
            spurious_wake: draw(0.3),
            accept_error: draw(0.2),
            clock_jump: draw(0.01),
        }
    }
}

/// The kinds of [`Faults`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    SplitRead,
    ShortSend,
    NoBuffers,
    Reset,
    ConnectRefused,
    ConnectBlackhole,
    Delay,
    Reorder,
    LateCancel,
    FinWhenPicked,
    SpuriousWake,
    AcceptError,
    ClockJump,
}

impl Fault {
    pub const ALL: [Fault; 13] = [
        Fault::SplitRead,
        Fault::ShortSend,
        Fault::NoBuffers,
        Fault::Reset,
        Fault::ConnectRefused,
        Fault::ConnectBlackhole,
        Fault::Delay,
        Fault::Reorder,
        Fault::LateCancel,
        Fault::FinWhenPicked,
        Fault::SpuriousWake,
        Fault::AcceptError,
        Fault::ClockJump,
    ];
}

/// How often each fault was injected.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultStats([u64; Fault::ALL.len()]);

impl FaultStats {
    #[must_use]
    pub fn get(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(super) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }
}

impl std::fmt::Debug for FaultStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(Fault::ALL.iter().map(|fault| (fault, self.get(*fault))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_has_members_with_and_without_each_fault() {
        let members: Vec<Faults> = (0..64).map(Faults::from_seed).collect();
        assert!(members.iter().any(|f| f.reset > 0.0 && f.reorder == 0.0));
        assert!(members.iter().any(|f| f.reset == 0.0 && f.reorder > 0.0));
        assert_eq!(Faults::from_seed(5), Faults::from_seed(5));
    }
}
