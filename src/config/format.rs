//! Texts with variables, taken apart when the file is loaded.

use super::value::{Value, shown};

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// As written.
    pub text: String,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// The path of the request.
    Path,
    /// The query of the request with its `?`; nothing if it has none.
    Query,
    /// The host of the request, without port.
    Host,
    /// The address of the client.
    ClientIp,
    /// The id by which traces know the request.
    RequestId,
}

/// A variable's name and what it stands for.
pub type Variable = (&'static str, Part);

/// What can be said of where a request goes.
pub const PLACE: &[Variable] = &[
    ("path", Part::Path),
    ("query", Part::Query),
    ("host", Part::Host),
];

/// What can be said of a request and who sent it.
pub const REQUEST: &[Variable] = &[
    ("host", Part::Host),
    ("path", Part::Path),
    ("query", Part::Query),
    ("client_ip", Part::ClientIp),
    ("request_id", Part::RequestId),
];

/// Takes the text of a value apart. `$$` is a dollar.
pub fn format(value: &Value<'_>, text: &str, known: &[Variable]) -> Option<Format> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let (word, after) = after.split_at(end.unwrap_or(after.len()));
        let Some((_, part)) = known.iter().find(|(name, _)| *name == word) else {
            let names: Vec<_> = known.iter().map(|(name, _)| format!("${name}")).collect();
            value.wrong_help(
                format!("unknown variable `${}`", shown(word)),
                format!("known: {}; write $$ for `$`", names.join(", ")),
            );
            return None;
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(part.clone());
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Some(Format {
        text: text.to_owned(),
        parts,
    })
}

impl Format {
    #[must_use]
    pub fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }
}
