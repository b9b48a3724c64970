//! Namers: who answers for the names below `/#/`.

use std::path::PathBuf;
use std::sync::Arc;

use super::cursor::{Cursor, open_kind};
use super::keys;
use super::resolved::{Namer, NamerKind};
use super::transformers::filters;
use super::value::{Value, shown};
use crate::naming::{Path, Pattern, Place, Template};

/// The namers, in the order of the file.
pub fn namers(given: Option<Value<'_>>) -> Vec<Namer> {
    let items = given.and_then(|value| value.list()).unwrap_or_default();
    items.into_iter().filter_map(namer).collect()
}

fn namer(value: Value<'_>) -> Option<Namer> {
    let (name, mut block) = open_kind(value.clone(), &keys::NAMERS, None)?;
    let prefix = block.get("prefix");
    let prefix_given = prefix.is_some();
    let prefix = prefix.map_or_else(
        || Some(Path::of_segment(name.as_bytes())),
        |prefix| prefix.path(),
    );
    block.flag("experimental", false);
    let transformers = match name {
        "io.l5d.rewrite" => Vec::new(),
        _ => filters(block.get("transformers")),
    };
    let kind = match name {
        "io.l5d.fs" => fs(&mut block),
        "io.l5d.static" => fixed(&mut block),
        _ => {
            if !prefix_given {
                block.required(
                    "prefix",
                    "the names that it rewrites: those below /# and this",
                );
            }
            rewrite(&mut block)
        }
    };
    block.finish();
    let prefix = prefix?;
    if prefix.is_empty() {
        value.wrong("the prefix `/` leaves nothing to other namers");
        return None;
    }
    let kind = kind?;
    Some(Namer {
        prefix,
        kind,
        transformers,
    })
}

fn fs(block: &mut Cursor<'_>) -> Option<NamerKind> {
    let value = block.required("rootDir", "the directory of its files")?;
    let root = PathBuf::from(value.text("a directory")?);
    if !root.is_dir() {
        let message = format!("`{}` is not a directory", shown(&root.to_string_lossy()));
        value.wrong_help(message, "a relative path begins where ringlink was started");
        return None;
    }
    Some(NamerKind::Fs { root })
}

fn fixed(block: &mut Cursor<'_>) -> Option<NamerKind> {
    let value = block.required("names", "a map from names to lists of `host port`")?;
    let mut names = Vec::new();
    for (key, node) in value.map()? {
        let value_of = |node, place: &str| Value {
            context: value.context,
            node,
            place: place.to_owned(),
        };
        let key = value_of(key, &value.place);
        let text = key.text("a name")?;
        let items = value_of(node, &format!("{}.{text}", value.place));
        let name = key.path();
        if name.as_ref().is_some_and(Path::is_empty) {
            key.wrong("a name has at least one segment");
        }
        let places: Vec<Place> = items.list()?.iter().filter_map(place).collect();
        names.extend(name.map(|name| (name, Arc::from(places))));
    }
    Some(NamerKind::Static { names })
}

fn place(value: &Value<'_>) -> Option<Place> {
    let text = value.text("`host port`")?;
    match Place::parse(text) {
        Ok(Some(place)) => Some(place),
        Ok(None) => {
            value.wrong("expected `host port`, found a comment");
            None
        }
        Err(why) => {
            value.wrong(why);
            None
        }
    }
}

fn rewrite(block: &mut Cursor<'_>) -> Option<NamerKind> {
    let pattern = block.required("pattern", "which names it rewrites, such as /{service}/api");
    let name = block.required("name", "what they become, such as /srv/{service}");
    let given = pattern?;
    let told = |value: &Value<'_>, error: String| value.wrong(error);
    let pattern = Pattern::parse(given.text("a pattern")?);
    let pattern = pattern.map_err(|error| told(&given, error)).ok()?;
    let given = name?;
    let name = Template::parse(given.text("a path")?, &pattern);
    let name = name.map_err(|error| told(&given, error)).ok()?;
    Some(NamerKind::Rewrite { pattern, name })
}
