//! A map of the file, read key by key against its table.
//!
//! Strictness lives here, once: opening a map checks every key in it (unknown, written twice, known
//! but not supported yet, of an older linkerd), so a decoder above only says what it takes. That is
//! why the tables in [`keys`](super::keys) are data and this is not serde: serde stops at the
//! first problem, cannot tell "unknown" from "not yet", and loses positions.
//!
//! A cursor may stand on nothing (the map was left out): every key is then absent and every
//! default applies, so an optional block needs no second code path. `null` is absent, too: a block
//! whose last line was commented out is a block left out.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use super::keys::{Block, Kinds};
use super::value::{Spot, Value, shown};
use super::yaml::{Kind, Mark, Node};

/// The most that a key without a bound of its own may say: linkerd's numbers have 31 bits.
pub const MOST: u64 = i32::MAX as u64;
/// The longest time that a key may say: 24 days.
const LONGEST_MS: u64 = MOST;

pub struct Cursor<'a> {
    block: &'static Block,
    value: Option<Value<'a>>,
    asked: Vec<&'static str>,
}

impl<'a> Cursor<'a> {
    /// Over a map that was left out.
    pub fn nowhere(block: &'static Block) -> Self {
        Cursor {
            block,
            value: None,
            asked: Vec::new(),
        }
    }

    /// The title of its table.
    pub fn title(&self) -> &'static str {
        self.block.title
    }

    /// Over a map; what is wrong with its keys is told at once.
    pub fn open(value: Value<'a>, block: &'static Block) -> Self {
        let value = value.map().map(|pairs| {
            check_keys(&value, pairs, block);
            value
        });
        Cursor {
            block,
            value,
            asked: Vec::new(),
        }
    }

    /// The value of a key, unless it is absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.block.keys.contains(&key), "{key} is in no table");
        self.asked.push(key);
        let of = self.value.as_ref()?;
        let (_, node) = find(of.map()?, key)?;
        (!node.is_null()).then(|| Value {
            context: of.context,
            node,
            place: join(&of.place, key),
        })
    }

    /// As [`Cursor::get`]; its absence from a map that is there is a problem.
    pub fn required(&mut self, key: &'static str, help: &str) -> Option<Value<'a>> {
        let found = self.get(key);
        if let (None, Some(of)) = (&found, &self.value) {
            let help = (!help.is_empty()).then(|| help.to_owned());
            let problem = of.spot().problem(format!("`{key}` is missing"), help);
            of.context.tell(problem);
        }
        found
    }

    /// Where a key's value stands, or its map if it is absent. `None` if nothing was written.
    pub fn spot(&self, key: &'static str) -> Option<Spot> {
        let of = self.value.as_ref()?;
        Some(match find(of.map()?, key) {
            Some((_, node)) => Spot {
                at: node.at,
                place: join(&of.place, key),
            },
            None => of.spot(),
        })
    }

    pub fn block(&mut self, key: &'static str, block: &'static Block) -> Cursor<'a> {
        match self.get(key) {
            Some(value) => Cursor::open(value, block),
            None => Cursor::nowhere(block),
        }
    }

    /// A map that says its kind; absent or wrong, it is as if left out.
    pub fn kind(
        &mut self,
        key: &'static str,
        kinds: &'static Kinds,
        default: Option<&'static str>,
    ) -> Cursor<'a> {
        let opened = self.get(key).and_then(|v| open_kind(v, kinds, default));
        opened.map_or_else(
            || Cursor::nowhere(kinds.supported[0].1),
            |(_, cursor)| cursor,
        )
    }

    /// A whole number that its key's range makes fit `T`.
    pub fn int<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: T,
    ) -> T {
        let given = self.get(key).and_then(|v| v.int(range));
        given.and_then(|n| T::try_from(n).ok()).unwrap_or(default)
    }

    /// A number that may have a fraction.
    pub fn decimal(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        self.get(key)?.decimal(range)
    }

    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.get(key).and_then(|v| v.flag()).unwrap_or(default)
    }

    /// Milliseconds, at least 1.
    pub fn ms(&mut self, key: &'static str, default: u64) -> Duration {
        self.opt_ms(key).unwrap_or(Duration::from_millis(default))
    }

    /// Milliseconds, at least 1; no default.
    pub fn opt_ms(&mut self, key: &'static str) -> Option<Duration> {
        self.ms_from(key, 1)
    }

    pub fn ms_from(&mut self, key: &'static str, least: u64) -> Option<Duration> {
        let given = self.get(key)?.int(least..=LONGEST_MS)?;
        Some(Duration::from_millis(given))
    }

    /// Ends the reading. Debug builds hold the table to it: a key that the table calls supported
    /// and no decoder asks for would be accepted and ignored.
    pub fn finish(self) {
        for key in self.block.keys {
            let selects_block = matches!(*key, "kind" | "protocol");
            debug_assert!(
                selects_block || self.asked.contains(key),
                "{}.{key} is in the table, but is not read",
                self.block.title
            );
        }
    }
}

/// Opens a map that says its kind, by the kind's own table. `None`: the kind is wrong, not
/// supported, or missing without a default; the problem is told, the rest of the map is not read.
pub fn open_kind<'a>(
    value: Value<'a>,
    kinds: &'static Kinds,
    default: Option<&'static str>,
) -> Option<(&'static str, Cursor<'a>)> {
    let pairs = value.map()?;
    let given = find(pairs, kinds.key).filter(|(_, node)| !node.is_null());
    let name = match given {
        None if default.is_none() => {
            let message = format!("`{}` is missing", kinds.key);
            value.wrong_help(message, format!("one of: {}", kinds.names()));
            return None;
        }
        None => default?,
        Some((_, node)) => {
            let kind = Value {
                context: value.context,
                node,
                place: join(&value.place, kinds.key),
            };
            known_kind(&kind, kinds)?
        }
    };
    let (name, block) = kinds.find(name)?;
    Some((name, Cursor::open(value, block)))
}

fn known_kind<'a>(kind: &Value<'a>, kinds: &'static Kinds) -> Option<&'a str> {
    let name = kind.text(&format!("the {} of the {}", kinds.key, kinds.what))?;
    let (what, name_shown) = (kinds.what, shown(name));
    if kinds.find(name).is_some() {
        return Some(name);
    }
    if let Some(new) = kinds.replaced(name) {
        kind.wrong_help(
            format!("{what} `{name_shown}` is of an older linkerd"),
            format!("now `{new}`"),
        );
    } else if kinds.is_not_yet(name) {
        kind.wrong_help(
            format!("{what} `{name_shown}` is not supported yet"),
            format!("supported: {}", kinds.names()),
        );
    } else {
        let all = kinds.names();
        let help = match kinds.nearest(name) {
            Some(near) => format!("did you mean `{near}`? known here: {all}"),
            None => format!("known here: {all}"),
        };
        kind.wrong_help(format!("unknown {what} `{name_shown}`"), help);
    }
    None
}

fn find<'a>(pairs: &'a [(Rc<Node>, Rc<Node>)], key: &str) -> Option<(&'a Node, &'a Node)> {
    let (key, value) = pairs.iter().find(|(k, _)| key_text(k) == Some(key))?;
    Some((key, value))
}

fn key_text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar(text, _) => Some(text),
        _ => None,
    }
}

fn join(place: &str, key: &str) -> String {
    match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    }
}

fn check_keys(of: &Value<'_>, pairs: &[(Rc<Node>, Rc<Node>)], block: &'static Block) {
    let mut seen: HashMap<&str, Mark> = HashMap::new();
    for (node, _) in pairs {
        let Some(key) = key_text(node) else {
            let spot = Spot {
                at: node.at,
                place: of.place.clone(),
            };
            let message = format!("a key must be text, found {}", node.describe());
            of.context.tell(spot.problem(message, None));
            continue;
        };
        let spot = Spot {
            at: node.at,
            place: join(&of.place, &shown(key)),
        };
        if let Some(first) = seen.get(key) {
            let help = format!("first at {}:{}", first.line, first.column);
            let message = format!("duplicate key `{}`", shown(key));
            of.context.tell(spot.problem(message, Some(help)));
            continue;
        }
        seen.insert(key, node.at);
        if let Some((message, help)) = block.refuses(key) {
            of.context.tell(spot.problem(message, help));
        }
    }
}
