//! The manual is held to the tables: what is supported is documented, what is documented is
//! supported, and every example loads.

use std::collections::{BTreeMap, BTreeSet};

use super::super::keys::{BLOCKS, KINDS};
use super::{file, ok};

fn manual() -> String {
    file("docs/configuration.md")
}

/// Keys in the tables of the manual, by the title of their section.
fn documented(manual: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut title = None;
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("##") {
            let heading = heading.trim_start_matches('#').trim();
            title = match heading {
                "The top of the file" => Some(String::new()),
                _ => heading
                    .strip_prefix('`')
                    .and_then(|h| h.strip_suffix('`'))
                    .map(str::to_owned),
            };
        }
        let key = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once('`'));
        if let (Some(title), Some((key, _))) = (&title, key) {
            let added = found
                .entry(title.clone())
                .or_default()
                .insert(key.to_owned());
            assert!(added, "{title}: {key} is documented twice");
        }
    }
    found
}

#[test]
fn every_key_is_documented() {
    let known: BTreeMap<String, BTreeSet<String>> = BLOCKS
        .iter()
        .map(|b| {
            (
                b.title.to_owned(),
                b.keys.iter().map(|k| (*k).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(known.len(), BLOCKS.len(), "two blocks with one title");
    assert_eq!(documented(&manual()), known);
}

#[test]
fn every_row_is_complete() {
    for line in manual().lines().filter(|l| l.starts_with("| ")) {
        let cells = line.matches('|').count();
        assert!(matches!(cells, 3..=5), "{line}");
    }
}

#[test]
fn every_example_loads() {
    let manual = manual();
    let examples: Vec<_> = manual.split("```yaml\n").skip(1).collect();
    assert!(examples.len() >= 8);
    for example in examples {
        let (example, _) = example.split_once("```").expect("the example ends");
        ok(example);
    }
}

fn title(title: &str) -> String {
    match title {
        "" => "top".to_owned(),
        title => format!("`{title}`"),
    }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[test]
fn what_is_refused_is_listed() {
    let (mut keys, mut kinds, mut gone) = (String::new(), String::new(), String::new());
    for block in BLOCKS {
        if !block.not_yet.is_empty() {
            keys += &format!("| {} | {} |\n", title(block.title), quoted(block.not_yet));
        }
        for (old, instead) in block.gone {
            gone += &format!("| {} | `{old}` | {instead} |\n", title(block.title));
        }
    }
    for registry in KINDS {
        if !registry.not_yet.is_empty() {
            kinds += &format!("| {} | {} |\n", registry.what, quoted(registry.not_yet));
        }
        for (old, new) in registry.gone {
            gone += &format!("| {} | `{old}` | use `{new}` |\n", registry.what);
        }
    }
    let manual = manual();
    for table in [keys, kinds, gone] {
        assert!(
            manual.contains(&table),
            "the manual lacks this table:\n{table}"
        );
    }
}

#[test]
fn a_key_has_one_fate() {
    for block in BLOCKS {
        let gone = block.gone.iter().map(|(old, _)| old);
        let all: Vec<_> = block.keys.iter().chain(block.not_yet).chain(gone).collect();
        let unique: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), unique.len(), "{}", block.title);
    }
    for kinds in KINDS {
        for (_, block) in kinds.supported {
            assert!(
                BLOCKS.iter().any(|b| b.title == block.title),
                "{}",
                block.title
            );
            assert!(block.keys.contains(&kinds.key), "{}", block.title);
        }
    }
}
