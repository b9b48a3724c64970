//! The resolved configuration as JSON, for the admin server's `/config.json`.
//!
//! Written in the language of the file, defaults included, so that what it prints loads again and
//! means the same: an operator can save what runs and start from it.

mod policies;

use std::time::Duration;

use serde_json::{Value, json};

use crate::naming::{Place, Transform};

use super::limits::{adaptive_to_json, queue_to_json};
use super::resolved::{
    Config, Cores, DriverChoice, Engine, Forwarded, Identifier, Namer, NamerKind, Propagator,
    RateLimit, Route, Router, Server, Transformer, TransformerKind, XForwarded,
};

impl Config {
    /// Every setting, by its key in the file.
    pub fn to_json(&self) -> Value {
        json!({
            "admin": {
                "ip": self.admin.addr.ip().to_string(),
                "port": self.admin.addr.port(),
                "shutdownGraceMs": ms(self.admin.shutdown_grace),
                "reloadOnChange": self.admin.reload_on_change,
            },
            "engine": engine(&self.engine),
            "namers": self.namers.iter().map(namer).collect::<Vec<_>>(),
            "routers": self.routers.iter().map(router).collect::<Vec<_>>(),
        })
    }
}

impl Namer {
    /// Whether both say the same.
    #[must_use]
    pub fn is_like(&self, other: &Namer) -> bool {
        namer(self) == namer(other)
    }
}

impl Router {
    /// Whether both say the same.
    #[must_use]
    pub fn is_like(&self, other: &Router) -> bool {
        router(self) == router(other)
    }
}

impl Engine {
    /// Whether both say the same but for the limit on connections.
    #[must_use]
    pub fn is_like(&self, other: &Engine) -> bool {
        let other = Engine {
            max_connections: self.max_connections,
            ..other.clone()
        };
        engine(self) == engine(&other)
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `null` where there is no limit: the same as leaving the key out.
fn opt_ms(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| json!(ms(time)))
}

fn engine(engine: &Engine) -> Value {
    let driver = match engine.driver {
        DriverChoice::Auto => "auto",
        DriverChoice::Uring => "io_uring",
        DriverChoice::Epoll => "epoll",
    };
    let cores = match &engine.cores {
        Cores::Auto => json!("auto"),
        Cores::Count(count) => json!(count),
        Cores::List(numbers) => json!(numbers),
    };
    json!({
        "driver": driver,
        "cores": cores,
        "ring": {
            "entries": engine.ring_entries,
            "completionEntries": engine.completion_entries,
        },
        "buffers": {
            "count": engine.buffer_count,
            "sizeKB": engine.buffer_size / 1024,
        },
        "maxConnections": engine.max_connections,
    })
}

fn transformer(transformer: &Transformer) -> Value {
    let prefix = transformer.prefix.to_string();
    match &transformer.kind {
        TransformerKind::Filter(by) => filter(prefix, *by),
        TransformerKind::Const(path) => {
            json!({ "kind": "io.l5d.const", "prefix": prefix, "path": path.to_string() })
        }
        TransformerKind::Replace(path) => {
            json!({ "kind": "io.l5d.replace", "prefix": prefix, "path": path.to_string() })
        }
    }
}

fn filter(prefix: String, by: Transform) -> Value {
    match by {
        Transform::Port(port) => json!({ "kind": "io.l5d.port", "prefix": prefix, "port": port }),
        Transform::Host(host) => {
            json!({ "kind": "io.l5d.specificHost", "prefix": prefix, "host": host.to_string() })
        }
        Transform::Localhost | Transform::Same => {
            json!({ "kind": "io.l5d.localhost", "prefix": prefix })
        }
    }
}

fn namer(namer: &Namer) -> Value {
    let mut json = namer_alone(namer);
    if !matches!(namer.kind, NamerKind::Rewrite { .. }) {
        let filters = namer.transformers.iter();
        let filters = filters.map(|(prefix, by)| filter(prefix.to_string(), *by));
        json["transformers"] = filters.collect();
    }
    json
}

fn namer_alone(namer: &Namer) -> Value {
    let prefix = namer.prefix.to_string();
    match &namer.kind {
        NamerKind::Fs { root } => {
            json!({ "kind": "io.l5d.fs", "prefix": prefix, "rootDir": root })
        }
        NamerKind::Static { names } => {
            let places =
                |places: &[Place]| -> Value { places.iter().map(ToString::to_string).collect() };
            let names = names
                .iter()
                .map(|(name, of)| (name.to_string(), places(of)));
            let names: serde_json::Map<String, Value> = names.collect();
            json!({ "kind": "io.l5d.static", "prefix": prefix, "names": names })
        }
        NamerKind::Rewrite { pattern, name } => json!({
            "kind": "io.l5d.rewrite",
            "prefix": prefix,
            "pattern": pattern.to_string(),
            "name": name.to_string(),
        }),
    }
}

fn router(router: &Router) -> Value {
    let propagator = match router.propagator {
        Propagator::Linkerd => "io.l5d.default",
        Propagator::Zipkin => "io.l5d.zipkin",
    };
    let mut json = json!({
        "protocol": "http",
        "label": router.label,
        "servers": router.servers.iter().map(server).collect::<Vec<_>>(),
        "identifier": router.identifiers.iter().map(identifier).collect::<Vec<_>>(),
        "dtab": router.dtab.to_string(),
        "dstPrefix": router.dst_prefix.to_string(),
        "interpreter": {
            "kind": "default",
            "transformers": router.transformers.iter().map(transformer).collect::<Vec<_>>(),
        },
        "bindingTimeoutMs": ms(router.binding_timeout),
        "bindingCache": {
            "paths": router.binding_cache.paths,
            "idleTtlSecs": router.binding_cache.idle_ttl.as_secs(),
        },
        "maxHeadersKB": router.heads.head_bytes / 1024,
        "maxInitialLineKB": router.heads.line_bytes / 1024,
        "maxHeaderFields": router.heads.fields,
        "client": policies::clients(&router.client),
        "service": policies::services(&router.service),
        "tracePropagator": { "kind": propagator },
    });
    if let Value::Object(json) = &mut json {
        json.extend(router.rules.to_json());
    }
    json
}

fn server(server: &Server) -> Value {
    let limits = &server.limits;
    let concurrent = limits.admission.max_concurrent;
    json!({
        "port": server.port,
        "ip": server.ip.to_string(),
        "label": server.label,
        "timeoutMs": opt_ms(server.timeout),
        "serverSession": { "idleTimeMs": ms(server.idle_timeout) },
        "socketOptions": { "noDelay": server.no_delay, "backlog": server.backlog },
        "headerReadTimeoutMs": ms(server.head_timeout),
        "bodyTimeoutMs": ms(server.body_timeout),
        "allowConnect": server.allow_connect,
        "clearContext": server.clear_context,
        "maxConcurrentRequests": (concurrent < u32::MAX).then_some(concurrent),
        "maxPendingRequests": limits.admission.max_pending,
        // Where nobody waits, it has nothing to say.
        "queue": (limits.admission.max_pending > 0).then(|| queue_to_json(limits.codel.as_ref())),
        "adaptiveLimit": limits.adaptive.as_ref().map(adaptive_to_json),
        "rateLimit": limits.rate.as_ref().map(RateLimit::to_json),
        "maxCallDepth": server.max_call_depth,
        "timestampHeader": server.timestamp.as_ref().map(|name| &name.text),
        "addForwardedHeader": server.forwarded.as_ref().map(Forwarded::to_json),
        "xForwarded": server.x_forwarded.as_ref().map(XForwarded::to_json),
    })
}

fn identifier(identifier: &Identifier) -> Value {
    let kind = identifier.kind();
    match identifier {
        Identifier::HeaderToken { header } | Identifier::Header { header } => {
            json!({ "kind": kind, "header": header })
        }
        Identifier::MethodAndHost { uri_in_dst } => {
            json!({ "kind": kind, "httpUriInDst": uri_in_dst })
        }
        Identifier::Path { segments, consume } => {
            json!({ "kind": kind, "segments": segments, "consume": consume })
        }
        Identifier::Static { path } => json!({ "kind": kind, "path": path.to_string() }),
        Identifier::Routes { routes } => json!({
            "kind": kind,
            "routes": routes.iter().map(Route::to_json).collect::<Vec<_>>(),
        }),
    }
}
