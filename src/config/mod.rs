#![forbid(unsafe_code)]
//! The configuration: from text to settings that the rest of the program can trust.
//!
//! Two promises shape this room. *Strict*: a file that loads means what it says; a key with a
//! typing error, a key of linkerd that ringlink does not support yet and a key of an older linkerd
//! are problems, never silence. *All at once*: every problem of a file is told in one pass, each
//! with line, column, place and, where there is one, a way out.
//!
//! The way of a file, top to bottom:
//!
//! | file | what it does |
//! |---|---|
//! | `yaml` | text → nodes with positions (JSON is YAML, too), bounded |
//! | `keys`, `lookup` | the tables of keys and kinds, and questions to them |
//! | `cursor`, `value` | strict reading of a map and of one value |
//! | `decode`, `router`, `identifier`, `routes`, `headers`, `client`, `service`, `limits`, `faults` | nodes → [`resolved::Config`]: defaults, ranges, relations |
//! | `json` | [`resolved::Config`] → JSON that loads again |
//!
//! Loading is a function of the text: reading the file, and reading it again, is `control`'s work.

mod accrual;
mod by_prefix;
mod client;
mod cursor;
mod decode;
mod faults;
mod format;
mod forwarded;
mod headers;
mod health;
mod hedge;
mod identifier;
mod json;
mod keys;
mod limits;
mod loadbalancer;
mod lookup;
mod mirror;
mod namers;
mod policy;
mod problem;
pub mod resolved;
mod retries;
mod route;
mod router;
mod routes;
mod rules;
mod service;
mod transformers;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

pub use problem::{Problem, Problems};
pub use resolved::Config;

/// Reads a whole configuration.
///
/// # Errors
/// Every problem of the text, sorted by position. A text that is no YAML has exactly one.
pub fn load(text: &str) -> Result<Config, Problems> {
    let context = value::Context::new(text);
    let root = match yaml::parse(text) {
        Ok(Some(root)) if !root.is_null() => root,
        Ok(_) => {
            let mut problem = yaml::Mark::START.problem("the file is empty");
            problem.help = Some("a configuration has at least one router".to_owned());
            return Err(Problems::new(vec![problem]));
        }
        Err(problem) => return Err(Problems::new(vec![problem])),
    };
    let config = decode::config(value::Value {
        context: &context,
        node: &root,
        place: String::new(),
    });
    context.finish(config)
}
