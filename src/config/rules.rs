//! Rules about headers as resolved: what a router, or one route, changes in heads that pass.
//!
//! Plain data with its texts checked: a name is a token that ringlink does not write itself, a value
//! cannot end its line, so whoever applies a rule has nothing left to refuse.

use serde_json::{Map, Value, json};

use super::format::{Format, Part};
use crate::http::Name;

/// Everything that becomes of the heads of a router or a route.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Towards the replica.
    pub request: HeaderRules,
    /// Towards the client.
    pub response: HeaderRules,
    pub location: Option<LocationRule>,
    pub cookies: Option<CookieRules>,
    /// Whether a rule says `$client_ip`, which the kernel has to be asked for.
    pub client_ip: bool,
}

/// What becomes of one side's fields, in this order.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    pub remove: Vec<FieldName>,
    /// Each becomes the only line of its name; Host, which a head keeps apart, among them.
    pub set: Vec<(FieldName, Format)>,
    pub add: Vec<(FieldName, Format)>,
}

/// The name of a field, recognised when it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName {
    /// As written.
    pub text: String,
    pub id: Name,
}

/// What becomes of `Location` and `Refresh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocationRule {
    /// They stay as they are, whatever the router says.
    Off,
    /// What was changed on the way to the replica is changed back.
    Auto,
    /// The longest prefix that fits is replaced; longer ones stand first. Both texts of a pair end
    /// with a slash, or neither.
    Prefixes(Vec<(String, Format)>),
}

/// What becomes of the attributes of `Set-Cookie`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieRules {
    /// Whole domains, without the dot at their start.
    pub domain: Vec<(String, String)>,
    /// Prefixes of paths, as those of [`LocationRule::Prefixes`].
    pub path: Vec<(String, String)>,
}

impl HeaderRules {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    pub(super) fn has(&self, part: &Part) -> bool {
        let mut formats = self.set.iter().chain(&self.add);
        formats.any(|(_, format)| format.has(part))
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        if !self.set.is_empty() {
            let one =
                |(name, format): &(FieldName, Format)| (name.text.clone(), json!(format.text));
            json.insert(
                "set".into(),
                Value::Object(self.set.iter().map(one).collect()),
            );
        }
        if !self.add.is_empty() {
            let mut add = Map::new();
            for (name, format) in &self.add {
                let values = add.entry(name.text.clone()).or_insert_with(|| json!([]));
                if let Value::Array(values) = values {
                    values.push(json!(format.text));
                }
            }
            json.insert("add".into(), Value::Object(add));
        }
        if !self.remove.is_empty() {
            let names = self.remove.iter().map(|name| json!(name.text));
            json.insert("remove".into(), names.collect());
        }
        Value::Object(json)
    }
}

impl LocationRule {
    fn to_json(&self) -> Value {
        match self {
            LocationRule::Off => json!("off"),
            LocationRule::Auto => json!("auto"),
            LocationRule::Prefixes(pairs) => {
                let one = |(from, to): &(String, Format)| (from.clone(), json!(to.text));
                Value::Object(pairs.iter().map(one).collect())
            }
        }
    }
}

impl Rules {
    /// The rules in the language of the file: the keys that say something.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        for (key, rules) in [
            ("requestHeaders", &self.request),
            ("responseHeaders", &self.response),
        ] {
            if !rules.is_empty() {
                json.insert(key.into(), rules.to_json());
            }
        }
        if let Some(location) = &self.location {
            json.insert("rewriteLocation".into(), location.to_json());
        }
        if let Some(cookies) = &self.cookies {
            let map = |pairs: &[(String, String)]| -> Value {
                let pairs = pairs.iter().map(|(from, to)| (from.clone(), json!(to)));
                Value::Object(pairs.collect())
            };
            let (domain, path) = (map(&cookies.domain), map(&cookies.path));
            json.insert(
                "rewriteCookies".into(),
                json!({ "domain": domain, "path": path }),
            );
        }
        json
    }
}
