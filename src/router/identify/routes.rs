//! The route table: which route a request takes, without trying them one by one.
//!
//! Routes are ordered and the first that fits wins, so the index never decides; it only names
//! candidates, and the lowest order number among those that fit is the answer that a scan would
//! give (the property test below holds it to that). A request has few candidates however long the
//! table is: its host is looked up as it is and by each of its parent domains, and below each its
//! path, whole and by each prefix that ends at a slash. Regular expressions cannot be looked up;
//! they are tried last, in groups that one automaton tests at once, and only while their order is
//! lower than what was found already.
//!
//! One table belongs to one shard: regular expressions keep scratch memory, which threads would
//! have to lock.

use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use super::conditions::{HostName, conditions_fit};
use crate::config::resolved::{HostPattern, PathPattern, Route};
use crate::http::RequestHead;

/// Regular expressions that one automaton tests at once.
const GROUP: usize = 64;
/// Memory of a group's automaton.
const GROUP_BYTES: usize = 4 << 20;

type Lookup<V> = HashMap<Box<[u8]>, V, foldhash::fast::FixedState>;

/// A table of routes and its index.
pub struct Table {
    routes: Arc<[Route]>,
    anywhere: Place,
    hosts: Lookup<Place>,
    /// By parent domain, of `*.parent`.
    below: Lookup<Place>,
    /// Labels of the longest parent domain.
    deepest: usize,
    has_patterns: bool,
}

/// The routes of one host, by their paths. Lists are in order.
#[derive(Default)]
struct Place {
    any: Vec<u32>,
    exact: Lookup<Vec<u32>>,
    prefixes: Lookup<Vec<u32>>,
    /// Whether there is a prefix of this length.
    lengths: Vec<bool>,
    patterns: Vec<(u32, Regex)>,
    groups: Vec<Group>,
}

/// Some regular expressions.
struct Group {
    /// Tells whether any of them matches; without it, each is tried.
    filter: Option<RegexSet>,
    patterns: Vec<(u32, Regex)>,
}

impl Table {
    /// Indexes routes.
    #[must_use]
    pub fn new(routes: &Arc<[Route]>) -> Table {
        let mut table = Table {
            routes: Arc::clone(routes),
            anywhere: Place::default(),
            hosts: Lookup::default(),
            below: Lookup::default(),
            deepest: 0,
            has_patterns: false,
        };
        for (order, route) in (0u32..).zip(routes.iter()) {
            table.has_patterns |= matches!(route.path, PathPattern::Regex(_));
            if route.hosts.is_empty() {
                table.anywhere.add(order, &route.path);
            }
            for host in &route.hosts {
                let place = match host {
                    HostPattern::Exact(name) => table.hosts.entry(name.as_bytes().into()),
                    HostPattern::Below(name) => {
                        table.deepest = table.deepest.max(name.split('.').count());
                        table.below.entry(name.as_bytes().into())
                    }
                };
                place.or_default().add(order, &route.path);
            }
        }
        let named = table.hosts.values_mut().chain(table.below.values_mut());
        named.for_each(Place::finish);
        table.anywhere.finish();
        table
    }

    /// The first route that fits a request.
    #[must_use]
    pub fn find(&self, head: &RequestHead) -> Option<&Route> {
        self.routes.get(self.position(head)?)
    }

    /// The index of the first route that fits a request.
    #[must_use]
    pub fn position(&self, head: &RequestHead) -> Option<usize> {
        let path = head.path();
        let host = HostName::of(head.authority());
        let fits = |order: u32| conditions_fit(&self.routes[order as usize], head);
        let mut best = u32::MAX;
        self.for_each_place(&host, |place| place.look_up(path, &mut best, &fits));
        if self.has_patterns {
            self.for_each_place(&host, |place| place.search(path, &mut best, &fits));
        }
        (best != u32::MAX).then_some(best as usize)
    }

    fn for_each_place(&self, host: &HostName, mut visit: impl FnMut(&Place)) {
        let host = host.as_bytes();
        visit(&self.anywhere);
        if let Some(place) = self.hosts.get(host) {
            visit(place);
        }
        let dots = memchr::memrchr_iter(b'.', host).take(self.deepest);
        for dot in dots.filter(|dot| *dot > 0) {
            if let Some(place) = self.below.get(&host[dot + 1..]) {
                visit(place);
            }
        }
    }
}

impl Place {
    fn add(&mut self, order: u32, path: &PathPattern) {
        let list = match path {
            PathPattern::Any => &mut self.any,
            PathPattern::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathPattern::Prefix(prefix) => {
                let lengths = self.lengths.len().max(prefix.len() + 1);
                self.lengths.resize(lengths, false);
                self.lengths[prefix.len()] = true;
                self.prefixes.entry(prefix.as_bytes().into()).or_default()
            }
            PathPattern::Regex(regex) => {
                self.patterns.push((order, regex.clone()));
                return;
            }
        };
        list.push(order);
    }

    /// Groups the regular expressions.
    fn finish(&mut self) {
        let patterns = std::mem::take(&mut self.patterns);
        let group = |patterns: &[(u32, Regex)]| {
            let texts = patterns.iter().map(|(_, regex)| regex.as_str());
            let filter = RegexSetBuilder::new(texts)
                .unicode(false)
                .size_limit(GROUP_BYTES)
                .dfa_size_limit(GROUP_BYTES)
                .build();
            Group {
                filter: filter.ok().filter(|_| patterns.len() > 1),
                patterns: patterns.to_vec(),
            }
        };
        self.groups = patterns.chunks(GROUP).map(group).collect();
    }

    /// Lowers `best` to the first route of this host whose path is the request's, or a prefix of
    /// it, and that fits.
    fn look_up(&self, path: &[u8], best: &mut u32, fits: &impl Fn(u32) -> bool) {
        first(&self.any, best, fits);
        if let Some(list) = self.exact.get(path) {
            first(list, best, fits);
        }
        if self.prefixes.is_empty() || path.first() != Some(&b'/') {
            return;
        }
        let ends = memchr::memchr_iter(b'/', path).chain([path.len()]);
        for end in ends.take_while(|end| *end < self.lengths.len()) {
            if self.lengths[end]
                && let Some(list) = self.prefixes.get(&path[..end])
            {
                first(list, best, fits);
            }
        }
    }

    /// Lowers `best` to the first route whose regular expression matches and that fits.
    fn search(&self, path: &[u8], best: &mut u32, fits: &impl Fn(u32) -> bool) {
        for group in &self.groups {
            let begins = group.patterns.first().map_or(u32::MAX, |(order, _)| *order);
            if begins >= *best {
                return;
            }
            let passes = group.filter.as_ref().is_none_or(|set| set.is_match(path));
            let patterns = group.patterns.iter().filter(|_| passes);
            for (order, regex) in patterns.take_while(|(order, _)| order < best) {
                if regex.is_match(path) && fits(*order) {
                    *best = *order;
                    return;
                }
            }
        }
    }
}

/// Lowers `best` to the first of a list that fits.
fn first(list: &[u32], best: &mut u32, fits: &impl Fn(u32) -> bool) {
    let better = list.iter().take_while(|order| **order < *best);
    let found = better.copied().find(|order| fits(*order));
    *best = found.unwrap_or(*best);
}

#[cfg(test)]
mod tests;
