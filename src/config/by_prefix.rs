//! `io.l5d.global` and `io.l5d.static`: parameters for all names, or for those that a prefix fits.

use super::cursor::{Cursor, open_kind};
use super::keys::{Block, Kinds};
use super::resolved::Policies;
use super::value::Value;
use crate::naming::Pattern;

/// What a `client` or a `service` says: `params` reads the parameters, which both kinds have.
pub fn policies<W: Default>(
    given: Option<Value<'_>>,
    kinds: &'static Kinds,
    entry: &'static Block,
    mut params: impl FnMut(&mut Cursor<'_>) -> W,
) -> Policies<W> {
    match given.and_then(|value| open_kind(value, kinds, Some("io.l5d.global"))) {
        Some(("io.l5d.static", mut block)) => {
            let configs = block.required("configs", "a list of parameters, each with a `prefix`");
            let items = configs.and_then(|value| value.list()).unwrap_or_default();
            let entries = items.into_iter().filter_map(|item| {
                let mut block = Cursor::open(item, entry);
                let pattern = pattern(&mut block);
                let wishes = params(&mut block);
                block.finish();
                Some((pattern?, wishes))
            });
            let entries = entries.collect();
            block.finish();
            Policies::Static(entries)
        }
        Some((_, mut block)) => {
            let wishes = params(&mut block);
            block.finish();
            Policies::Global(wishes)
        }
        None => Policies::default(),
    }
}

fn pattern(block: &mut Cursor<'_>) -> Option<Pattern> {
    let value = block.required("prefix", "how the names begin that it is for; / for all")?;
    match Pattern::parse(value.text("a pattern")?) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            value.wrong(why);
            None
        }
    }
}
