//! What a configuration says of a router, as one request sees it.
//!
//! A reload replaces a router's settings and nothing else of it: connections, pools, bindings and
//! counts stay. A request takes the settings that are in force when it begins and keeps them to its
//! end, so that no request is judged by two configurations. Indexing a large table of routes takes
//! a while: settings are made off the shard, one copy for each, and moved there.

use std::sync::Arc;

use crate::config::resolved;
use crate::http::h1::Limits;

use super::identify::Identifiers;

/// See the module's head.
pub struct Settings {
    pub config: Arc<resolved::Router>,
    pub identifiers: Identifiers,
    pub limits: Limits,
}

impl Settings {
    #[must_use]
    pub fn new(config: Arc<resolved::Router>) -> Settings {
        Settings {
            identifiers: Identifiers::new(&config.identifiers),
            limits: Limits {
                head_bytes: config.heads.head_bytes,
                line_bytes: config.heads.line_bytes,
                fields: config.heads.fields,
                ..Limits::default()
            },
            config,
        }
    }
}
