//! What one seed decides before its world begins: who is in it, what goes wrong, how it ends, and
//! the configurations of its proxy.

use ringlink::engine::driver::sim::Faults;

use crate::chance::Rng;
use crate::policy::Policy;

const MILLI: u64 = 1_000_000;

/// What one seed decides.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub faults: Faults,
    /// Nothing goes wrong here, so every request must succeed.
    pub calm: bool,
    pub shards: usize,
    pub buffers: (u16, u32),
    pub backends: usize,
    pub mishaps: u64,
    /// Percent of responses that are failures.
    pub failing: u64,
    pub clients: usize,
    pub identifier: u64,
    pub max_connections: usize,
    /// The resolver fails, is slow, and changes its mind.
    pub flapping: bool,
    /// The configuration changes again and again.
    pub reloads: bool,
    /// Large bodies and slow readers.
    pub large: bool,
    pub fault_time: u64,
    pub ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Drained when everything has settled.
    Quiet,
    /// Drained in the middle of traffic, at this time.
    Drain(u64),
    /// Stopped in the middle of traffic, at this time.
    Stop(u64),
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let calm = rng.percent(20);
        let fault_time = rng.between(300, 4000) * MILLI;
        let middle = rng.between(1, fault_time / MILLI) * MILLI;
        let ending = match rng.next() % 20 {
            _ if calm => Ending::Quiet,
            0..3 => Ending::Drain(middle),
            3 => Ending::Stop(middle),
            _ => Ending::Quiet,
        };
        let counts: &[u16] = if calm { &[256] } else { &[16, 32, 64, 128] };
        Plan {
            seed,
            faults: if calm || rng.percent(20) {
                Faults::none()
            } else {
                Faults::from_seed(seed)
            },
            calm,
            shards: rng.between(1, 3) as usize,
            buffers: (rng.pick(counts), rng.pick(&[4096, 8192, 16384])),
            backends: rng.between(1, 4) as usize,
            mishaps: if calm { 0 } else { rng.pick(&[0, 5, 30]) },
            failing: if calm { 0 } else { rng.pick(&[0, 5, 40]) },
            clients: if rng.percent(10) {
                30
            } else {
                rng.between(2, 12) as usize
            },
            identifier: rng.next() % 5,
            max_connections: if !calm && rng.percent(20) { 3 } else { 1000 },
            flapping: !calm && rng.percent(40),
            large: rng.percent(15),
            reloads: rng.percent(30),
            fault_time,
            ending,
        }
    }

    /// Only backends fail here, if anything does.
    pub fn is_trusty(&self) -> bool {
        self.faults == Faults::none()
    }

    /// The policy under a variant of the configuration.
    pub fn policy(&self, variant: u64) -> Policy {
        let crowd = self.large || self.clients > 12;
        Policy::draw(self.seed, variant, self.calm, crowd)
    }

    /// The configuration; `variant` 0 is the first.
    pub fn yaml(&self, variant: u64) -> String {
        let identifier = match self.identifier {
            0 => "{kind: io.l5d.header.token}",
            1 => "{kind: io.l5d.header.token, header: x-svc}",
            2 => "{kind: io.l5d.path, segments: 1}",
            3 => "{kind: io.l5d.path, segments: 1, consume: true}",
            _ => "[{kind: io.l5d.header.token, header: x-absent}, {kind: io.l5d.path}]",
        };
        let policy = self.policy(variant);
        let drains = matches!(self.ending, Ending::Drain(_));
        let (short, idle) = match (self.calm, drains) {
            (true, _) => (12_000, 60_000),
            (false, true) => (1_500, 500_000),
            (false, false) => (1_500, 6_000),
        };
        format!(
            "routers:
- protocol: http
  servers:
  - {{
      port: 4140,
      ip: 10.0.1.1,
      headerReadTimeoutMs: {short},
      bodyTimeoutMs: {short},
      {server}
      serverSession: {{idleTimeMs: {idle}}}
    }}
  identifier: {identifier}
  bindingTimeoutMs: {binding}
  bindingCache: {{paths: {paths}}}
  maxHeadersKB: 8
  client: {{
    bodyTimeoutMs: {short},
    {client}
    hostConnectionPool: {{{pool} idleTimeMs: {pool_idle}, maxIdle: {max_idle}}}
  }}
  service: {{{service}}}
  dtab: |
    /svc => /$/inet ;
    /svc/a => /$/inet/{a}/80 ;
    /svc/b => /$/inet/b.sim/80 ;
    /svc/u => {u} ;
    /svc/lit => /$/inet/10.9.0.1/80 ;
    /svc/none => ! ;
",
            pool_idle = if variant % 3 == 2 { 1000 } else { 3000 },
            a = if variant % 4 == 3 { "c.sim" } else { "a.sim" },
            u = match variant % 3 {
                0 => "0.3 * /svc/a & 0.7 * /svc/b",
                1 => "/svc/b",
                _ => "/nothing | /svc/a",
            },
            binding = if self.calm { 10_000 } else { 800 },
            paths = match self.seed.is_multiple_of(7) {
                true => 2 + variant % 2,
                false => 100,
            },
            max_idle = match self.seed.is_multiple_of(5) {
                true => 1 + variant % 3,
                false => 16,
            },
            server = policy.server,
            client = policy.client,
            pool = policy.pool,
            service = policy.service,
        )
    }
}
