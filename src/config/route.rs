//! Routes as resolved: what a request must look like, and what becomes of it.
//!
//! Plain data with its texts checked: whoever matches requests against it, index or plain scan,
//! need not doubt that a path is a path or that a redirect fits on one line.

use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use super::format::Format;
use super::rules::Rules;
use crate::naming::Path;

/// One entry of `io.l5d.routes`. What it does not speak of may be anything.
#[derive(Debug, Clone)]
pub struct Route {
    /// Any of these; all, if there are none.
    pub hosts: Vec<HostPattern>,
    pub path: PathPattern,
    /// Any of these; all, if there are none.
    pub methods: Vec<String>,
    /// Each of these.
    pub headers: Vec<(String, Wanted)>,
    /// Each of these parameters, as they are written in the query, without decoding.
    pub query: Vec<(String, Wanted)>,
    pub action: Action,
    /// What becomes of its heads, after the router's own rules.
    pub rules: Rules,
}

/// What hosts a route is about: in lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com`: every host that ends with `.example.com`.
    Below(String),
}

/// What paths a route is about. Compared as they are sent, byte by byte.
#[derive(Debug, Clone)]
pub enum PathPattern {
    /// No condition, so that `OPTIONS *` fits, too.
    Any,
    /// This path and those that go on after it with a slash. Never ends with one: all paths are
    /// below the empty prefix.
    Prefix(String),
    Exact(String),
    Regex(Regex),
}

/// What a header or a parameter must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Present,
    Value(String),
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// It goes to a name, its matched prefix (or whole exact path) replaced if that is asked for.
    /// Like a prefix, a replacement never ends with a slash.
    Name { name: Path, rewrite: Option<String> },
    /// It is sent elsewhere.
    Redirect { to: Format, status: u16 },
    /// It is answered.
    Respond(Fixed),
}

/// A response that is always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    pub status: u16,
    pub body: String,
    pub content_type: String,
}

impl Route {
    /// The route in the language of the file.
    pub(super) fn to_json(&self) -> Value {
        let mut json = Map::new();
        if !self.hosts.is_empty() {
            let host = |host: &HostPattern| match host {
                HostPattern::Exact(name) => json!(name),
                HostPattern::Below(name) => json!(format!("*.{name}")),
            };
            json.insert("host".into(), self.hosts.iter().map(host).collect());
        }
        let slash = |text: &str| if text.is_empty() { "/" } else { text }.to_owned();
        let path = match &self.path {
            PathPattern::Any => None,
            PathPattern::Prefix(prefix) => Some(("path", slash(prefix))),
            PathPattern::Exact(path) => Some(("exact", path.clone())),
            PathPattern::Regex(regex) => Some(("regex", regex.as_str().to_owned())),
        };
        json.extend(path.map(|(key, text)| (key.to_owned(), json!(text))));
        if !self.methods.is_empty() {
            json.insert("methods".into(), json!(self.methods));
        }
        for (key, wanted) in [("headers", &self.headers), ("query", &self.query)] {
            if !wanted.is_empty() {
                json.insert(key.into(), conditions(wanted));
            }
        }
        match &self.action {
            Action::Name { name, rewrite } => {
                json.insert("name".into(), json!(name.to_string()));
                let rewrite = rewrite.as_deref().map(slash);
                json.extend(rewrite.map(|text| ("rewritePrefix".to_owned(), json!(text))));
            }
            Action::Redirect { to, status } => {
                json.insert("redirect".into(), json!({"to": to.text, "status": status}));
            }
            Action::Respond(fixed) => {
                let (status, body) = (fixed.status, &fixed.body);
                let respond =
                    json!({"status": status, "body": body, "contentType": fixed.content_type});
                json.insert("respond".into(), respond);
            }
        }
        json.extend(self.rules.to_json());
        Value::Object(json)
    }
}

pub fn conditions(wanted: &[(String, Wanted)]) -> Value {
    let one = |(name, wanted): &(String, Wanted)| {
        let value = match wanted {
            Wanted::Present => "*",
            Wanted::Value(value) => value,
        };
        (name.clone(), json!(value))
    };
    Value::Object(wanted.iter().map(one).collect())
}
