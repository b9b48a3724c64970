//! The language, case by case. Every table names what it is about; a failing case prints itself.

mod binding;
mod explaining;
mod lookup;
mod machine;
mod properties;
mod syntax;
mod utilities;

use super::{Dtab, NameTree, Path, bind};

fn dtab(text: &str) -> Dtab {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn path(text: &str) -> Path {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn tree(text: &str) -> NameTree<Path> {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// What a name binds to, as text: bound names by their id, with `+residual` if there is one.
fn bound(table: &str, name: &str) -> String {
    match bind(&dtab(table), &path(name)) {
        Ok(tree) => tree
            .map(|bound| match bound.residual.is_empty() {
                true => bound.id.to_string(),
                false => format!("{}+{}", bound.id, bound.residual),
            })
            .to_string(),
        Err(error) => format!("error: {error}"),
    }
}

/// Cases of (table, name, what it binds to).
fn check_bound(cases: &[(&str, &str, &str)]) {
    for (table, name, expected) in cases {
        assert_eq!(bound(table, name), *expected, "{name} by {table}");
    }
}
