//! Aperture: each shard uses only as many endpoints as its traffic can keep busy.
//!
//! Every shard of every proxy connecting to every endpoint of a large set makes shards × proxies ×
//! endpoints connections, nearly all idle, none warm, and load measured on them means nothing. So a
//! shard works within a window. A controller widens it while the requests under way per endpoint
//! are above a band, and narrows it below (Finagle's and linkerd's aperture). Inside the window two
//! random choices decide.
//!
//! Which endpoints are in the window is not random, as in linkerd: there, random subsets of many
//! clients overlap as chance has it, and some endpoints get several times what others get. Here the
//! endpoints lie on a ring, in the order of a hash of their addresses that is the same in every
//! process, each as long as its share; the shards of a process stand around the ring at equal
//! distances, starting at the process's own place; and a window is the stretch from where its shard
//! stands (the idea of Finagle's deterministic aperture). As long as the windows of a process do not
//! reach each other they share no endpoint. From then on they are rounded up to whole multiples of
//! the distance between shards, and so each point of the ring is in equally many windows: with
//! members at the ends of a window drawn by the part that lies in it, the load is exactly even.
//!
//! An endpoint that falls ill has no share and no length, and the window reaches further by as
//! much. One that joins or leaves moves the ends of windows by less than its length. Connections to
//! those that fell out are not closed here: they are idle, and the pool lets idle ones go.

use std::sync::Arc;

use super::config::{self, Place, nanos};
use super::endpoint::Endpoint;
use super::hash;
use super::method::{Ask, Method, Start};
use super::p2c::{self, Load};
use super::rng::scale;
use super::roster::{Drawn, Roster, Sight};
use super::shares::{Shares, Span};

/// The order of endpoints on the ring, the same in every process.
pub(super) fn arrange(members: &mut [(Arc<Endpoint>, u64)]) {
    members.sort_by_cached_key(|(endpoint, _)| (hash::address(endpoint.addr), endpoint.addr));
}

/// A fraction of 2^64 as one of another number.
fn part(fraction: u64, whole: u64) -> u64 {
    scale(fraction, whole as usize) as u64
}

/// Where a shard's window begins, and how wide it is.
#[derive(Debug)]
pub(super) struct Aperture {
    band: Band,
    /// The endpoint in which the shard stands.
    index: usize,
    /// How far into it, as a fraction of 2^64.
    offset: u64,
    shards: u64,
}

impl Aperture {
    /// The window of a shard, which goes on from the one that it had.
    pub fn new(config: &config::Aperture, start: &Start<'_>) -> Aperture {
        let band = Band::new(config, start.roster.len());
        let band = match start.before.and_then(|before| before.band()) {
            Some(before) => band.continuing(before),
            None => band,
        };
        Aperture::placed(band, start.place, start.roster.shares())
    }

    fn placed(band: Band, place: Place, shares: &Shares) -> Aperture {
        let stand = part(place.coordinate(), shares.total());
        let (index, offset) = match shares.total() {
            0 => (0, 0),
            _ => {
                let index = shares.find(stand);
                let into = u128::from(stand - shares.before(index)) << 64;
                (index, (into / u128::from(shares.get(index))) as u64)
            }
        };
        Aperture {
            band,
            index,
            offset,
            shards: place.shards.max(1) as u64,
        }
    }

    /// The window at present.
    fn span(&self, roster: &Roster) -> Span {
        let shares = roster.shares();
        let (total, present) = (shares.total(), shares.present().max(1) as u64);
        if total == 0 {
            return shares.span();
        }
        let size = (self.band.size as u64).min(present);
        // Whether the windows of all shards would reach around the ring, if all are like this one.
        let covering = size * self.shards > present;
        let (numerator, denominator) = if covering {
            ((size * self.shards).div_ceil(present), self.shards)
        } else {
            (size, present)
        };
        let length = u128::from(total) * u128::from(numerator.min(denominator));
        let length = (length / u128::from(denominator)) as u64;
        let begin = shares.before(self.index);
        // Windows that share nothing need no fractions: they hold whole endpoints.
        let start = if covering {
            begin + part(self.offset, shares.get(self.index))
        } else {
            begin
        };
        Span {
            start: if start >= total { start - total } else { start },
            length: length.max(1),
        }
    }
}

impl Method for Aperture {
    fn draw(&mut self, roster: &mut Roster, ask: &mut Ask<'_>, sight: Sight) -> Option<Drawn> {
        let span = self.span(roster);
        p2c::draw(roster, span, Load::Outstanding, sight, ask)
    }

    fn counts(&self) -> bool {
        true
    }

    fn begin(&mut self, now_ns: u64) {
        self.band.begin(now_ns);
    }

    fn end(&mut self, now_ns: u64) {
        self.band.end(now_ns);
    }

    fn band(&self) -> Option<&Band> {
        Some(&self.band)
    }
}

/// Keeps the requests under way per endpoint of the window within a band, as linkerd does: they
/// feed a moving average at every start and end of a request, and the window changes by at most one
/// endpoint each time.
#[derive(Debug, Clone)]
pub(super) struct Band {
    low: f64,
    high: f64,
    window_ns: u64,
    least: usize,
    most: usize,
    /// Endpoints in the window.
    size: usize,
    outstanding: u64,
    average: f64,
    /// When the average was last updated.
    stamp_ns: Option<u64>,
}

impl Band {
    /// The controller for a set of `most` endpoints, at its narrowest.
    pub fn new(config: &config::Aperture, most: usize) -> Band {
        let least = config.min_aperture.clamp(1, most.max(1));
        Band {
            low: config.low_load,
            high: config.high_load,
            window_ns: nanos(config.smooth_window),
            least,
            most: most.max(1),
            size: least,
            outstanding: 0,
            average: 0.0,
            stamp_ns: None,
        }
    }

    /// The same for another set, going on from where `before` is.
    pub fn continuing(self, before: &Band) -> Band {
        Band {
            size: before.size.clamp(self.least, self.most),
            outstanding: before.outstanding,
            average: before.average,
            stamp_ns: before.stamp_ns,
            ..self
        }
    }

    /// Endpoints in the window, before it is rounded.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn begin(&mut self, now_ns: u64) {
        self.outstanding += 1;
        self.adjust(now_ns);
    }

    pub fn end(&mut self, now_ns: u64) {
        // The end of a request that began in a zone that was gone in between has no beginning here.
        self.outstanding = self.outstanding.saturating_sub(1);
        self.adjust(now_ns);
    }

    fn adjust(&mut self, now_ns: u64) {
        let outstanding = self.outstanding as f64;
        let kept = self.stamp_ns.map_or(0.0, |stamp| {
            let elapsed = now_ns.saturating_sub(stamp) as f64;
            (-elapsed / self.window_ns.max(1) as f64).exp()
        });
        self.average = outstanding * (1.0 - kept) + self.average * kept;
        self.stamp_ns = Some(self.stamp_ns.map_or(now_ns, |stamp| stamp.max(now_ns)));
        let load = self.average / self.size as f64;
        if load >= self.high && self.size < self.most {
            self.size += 1;
        } else if load <= self.low && self.size > self.least {
            self.size -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::shares::UNIT;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn band(least: usize, most: usize) -> Band {
        let config = config::Aperture {
            min_aperture: least,
            ..config::Aperture::default()
        };
        Band::new(&config, most)
    }

    /// The controller against the formula, done step by step.
    #[test]
    fn controls_by_the_formula() {
        let mut band = band(1, 4);
        let mut rng = super::super::rng::Rng::new(5);
        let (mut now, mut outstanding, mut ema, mut size) = (0u64, 0i32, 0.0f64, 1usize);
        let (mut widest, mut narrowest_again) = (0, false);
        for step in 0..20_000 {
            // Twelve, then nothing, then twelve: up to the top and down again.
            let wanted = if step / 2_000 % 2 == 0 { 12 } else { 0 };
            let elapsed = rng.below(SECOND / 50);
            now += elapsed;
            if outstanding < wanted || outstanding == 0 {
                band.begin(now);
                outstanding += 1;
            } else {
                band.end(now);
                outstanding -= 1;
            }
            let w = if step == 0 {
                0.0
            } else {
                (-(elapsed as f64) / (5.0 * SECOND as f64)).exp()
            };
            ema = f64::from(outstanding) * (1.0 - w) + ema * w;
            let load = ema / size as f64;
            if load >= 2.0 && size < 4 {
                size += 1;
            } else if load <= 0.5 && size > 1 {
                size -= 1;
            }
            assert_eq!(band.size(), size, "step {step}");
            widest = widest.max(size);
            narrowest_again |= widest == 4 && size == 1;
        }
        assert!(narrowest_again);
    }

    #[test]
    fn a_band_stays_within_its_set() {
        assert_eq!(band(5, 3).size(), 3);
        assert_eq!(band(0, 0).size(), 1);
        let mut wide = band(1, 100);
        for n in 1..=50 {
            wide.begin(n * SECOND);
        }
        let size = wide.size();
        assert!((15..25).contains(&size), "{size}");
        assert_eq!(band(1, 10).continuing(&wide).size(), 10);
        assert_eq!(band(60, 100).continuing(&wide).size(), 60);
        for _ in 0..60 {
            wide.end(50 * SECOND);
        }
        assert_eq!(wide.outstanding, 0);
    }

    const SIGHT: Sight = Sight {
        now_ns: 1,
        panic: false,
        slow_start_ns: 0,
    };

    fn roster(n: u16) -> Roster {
        let endpoint = |port| Arc::new(Endpoint::new(([10, 0, 0, 1], port).into()));
        Roster::new((0..n).map(|port| (endpoint(port), UNIT)).collect())
    }

    fn aperture(roster: &Roster, shard: usize, size: usize) -> Aperture {
        let place = Place {
            shard,
            shards: 4,
            process_seed: u64::MAX / 7,
        };
        let mut aperture = Aperture::placed(band(1, roster.len()), place, roster.shares());
        aperture.band.size = size;
        aperture
    }

    /// How often each endpoint is inside the windows of four shards, in fractions.
    fn coverage(roster: &Roster, size: usize) -> Vec<f64> {
        let mut covered = vec![0.0; roster.len()];
        for shard in 0..4 {
            let span = aperture(roster, shard, size).span(roster);
            // A thousand points per endpoint.
            let points = span.length * 1000 / UNIT;
            for k in 0..points {
                let point = (span.start + (2 * k + 1) * UNIT / 2000) % roster.shares().total();
                covered[roster.shares().find(point)] += 0.001;
            }
        }
        covered
    }

    #[test]
    fn narrow_windows_share_nobody() {
        let roster = roster(30);
        for size in [1, 2, 7] {
            let covered = coverage(&roster, size);
            let full = covered.iter().filter(|c| (**c - 1.0).abs() < 0.01).count();
            let none = covered.iter().filter(|c| **c < 0.01).count();
            assert_eq!((full, none), (4 * size, 30 - 4 * size), "{covered:?}");
        }
    }

    #[test]
    fn wide_windows_cover_evenly() {
        let roster = roster(30);
        for (size, times) in [(8, 2.0), (15, 2.0), (16, 3.0), (23, 4.0), (30, 4.0)] {
            let covered = coverage(&roster, size);
            let even = covered.iter().all(|c| (c - times).abs() < 0.01);
            assert!(even, "{size}: {covered:?}");
        }
    }

    #[test]
    fn the_window_reaches_over_the_ill() {
        let mut roster = roster(30);
        let aperture = aperture(&roster, 0, 3);
        let inside = |roster: &Roster| -> Vec<usize> {
            let span = aperture.span(roster);
            let member = |k| {
                let point = span.start + k * UNIT + UNIT / 2;
                roster.shares().find(point % roster.shares().total())
            };
            (0..span.length / UNIT).map(member).collect()
        };
        let before = inside(&roster);
        assert_eq!(before.len(), 3);
        roster.member(before[1]).endpoint.busy_until(9);
        roster.look(before[1], SIGHT);
        assert_eq!(inside(&roster), [before[0], before[2], before[2] + 1]);
        roster.member(before[0]).endpoint.busy_until(9);
        roster.look(before[0], SIGHT);
        let moved = [before[2], before[2] + 1, before[2] + 2];
        assert_eq!(inside(&roster), moved);
    }

    #[test]
    fn nobody_well_is_an_empty_window() {
        let mut roster = roster(2);
        let aperture = aperture(&roster, 0, 1);
        for i in 0..2 {
            roster.member(i).endpoint.close();
            roster.look(i, SIGHT);
        }
        assert_eq!(aperture.span(&roster).length, 0);
        let empty = Roster::new(Vec::new());
        let aperture = Aperture::placed(band(1, 0), Place::default(), empty.shares());
        assert_eq!(aperture.span(&empty).length, 0);
    }

    #[test]
    fn idle_time_counts_for_the_average() {
        let mut band = band(1, 100);
        band.begin(0);
        let window = Duration::from_secs(5).as_nanos() as u64;
        band.begin(window);
        let expected = 2.0 * (1.0 - (-1.0f64).exp()) + (-1.0f64).exp();
        assert!((band.average - expected).abs() < 1e-12);
    }
}
