//! The tables: every key and kind that a configuration may carry, and what becomes of it.
//!
//! A key is supported, or a key of linkerd that is not supported yet, or a key of an older linkerd
//! with a successor; what is in none of the three is a typing error. Saying "not supported yet"
//! of a real key matters more than it seems: ignored, it is a timeout or a TLS setting that
//! somebody believes in. The tables are data so that the documentation can be tested against them.

pub mod headers;
pub mod limits;
pub mod policy;

/// One map of the file.
#[derive(Debug)]
pub struct Block {
    /// Where it stands: `routers[].client`; empty for the top of the file.
    pub title: &'static str,
    pub keys: &'static [&'static str],
    pub not_yet: &'static [&'static str],
    /// Keys of older versions, and what to do instead.
    pub gone: &'static [(&'static str, &'static str)],
}

/// The kinds of one pluggable thing; a kind selects the block of its map.
#[derive(Debug)]
pub struct Kinds {
    /// The key that says the kind.
    pub key: &'static str,
    pub what: &'static str,
    pub supported: &'static [(&'static str, &'static Block)],
    pub not_yet: &'static [&'static str],
    pub gone: &'static [(&'static str, &'static str)],
}

pub const TOP: Block = Block {
    title: "",
    keys: &["admin", "engine", "namers", "routers", "usage"],
    not_yet: &["telemetry", "storage", "interfaces"],
    gone: &[("tracers", "use `telemetry`")],
};

pub const ADMIN: Block = Block {
    title: "admin",
    keys: &["ip", "port", "shutdownGraceMs", "reloadOnChange"],
    not_yet: &[
        "socketOptions",
        "tls",
        "workerThreads",
        "httpIdentifierPort",
        "security",
    ],
    gone: &[],
};

pub const USAGE: Block = Block {
    title: "usage",
    keys: &["orgId", "enabled"],
    not_yet: &[],
    gone: &[],
};

pub const ENGINE: Block = Block {
    title: "engine",
    keys: &["driver", "cores", "ring", "buffers", "maxConnections"],
    not_yet: &[],
    gone: &[],
};

pub const RING: Block = Block {
    title: "engine.ring",
    keys: &["entries", "completionEntries"],
    not_yet: &[],
    gone: &[],
};

pub const BUFFERS: Block = Block {
    title: "engine.buffers",
    keys: &["count", "sizeKB"],
    not_yet: &[],
    gone: &[],
};

pub const NAMER_FS: Block = Block {
    title: "namers[]: io.l5d.fs",
    keys: &["kind", "prefix", "rootDir", "transformers", "experimental"],
    not_yet: &[],
    gone: &[],
};

pub const NAMER_STATIC: Block = Block {
    title: "namers[]: io.l5d.static",
    keys: &["kind", "prefix", "names", "transformers", "experimental"],
    not_yet: &[],
    gone: &[],
};

pub const NAMER_REWRITE: Block = Block {
    title: "namers[]: io.l5d.rewrite",
    keys: &["kind", "prefix", "pattern", "name", "experimental"],
    not_yet: &["transformers"],
    gone: &[],
};

pub const ROUTER: Block = Block {
    title: "routers[]",
    keys: &[
        "protocol",
        "label",
        "servers",
        "identifier",
        "dtab",
        "dstPrefix",
        "interpreter",
        "bindingTimeoutMs",
        "bindingCache",
        "maxHeadersKB",
        "maxInitialLineKB",
        "maxHeaderFields",
        "client",
        "service",
        "tracePropagator",
        "requestHeaders",
        "responseHeaders",
        "rewriteLocation",
        "rewriteCookies",
        "experimental",
    ],
    not_yet: &[
        "originator",
        "announcers",
        "httpAccessLog",
        "httpAccessLogRollPolicy",
        "httpAccessLogAppend",
        "httpAccessLogRotateCount",
        "streamAfterContentLengthKB",
        "maxErrResponseKB",
        "compressionLevel",
        "streamingEnabled",
    ],
    gone: &[
        ("baseDtab", "use `dtab`"),
        (
            "timeoutMs",
            "use `client.requestAttemptTimeoutMs` or `service.totalTimeoutMs`",
        ),
        ("responseClassifier", "use `service.responseClassifier`"),
        ("retries", "use `service.retries`"),
        ("tls", "use `client.tls`"),
        ("maxChunkKB", "remove it: chunks are streamed"),
        ("maxRequestKB", "use `streamAfterContentLengthKB`"),
        ("maxResponseKB", "use `streamAfterContentLengthKB`"),
        ("loggers", "use `client.requestAuthorizers`"),
    ],
};

pub const BINDING_CACHE: Block = Block {
    title: "routers[].bindingCache",
    keys: &["paths", "idleTtlSecs"],
    not_yet: &["trees", "bounds", "clients"],
    gone: &[],
};

pub const INTERPRETER: Block = Block {
    title: "routers[].interpreter",
    keys: &["kind", "transformers"],
    not_yet: &[],
    gone: &[],
};

pub const SERVER: Block = Block {
    title: "routers[].servers[]",
    keys: &[
        "port",
        "ip",
        "label",
        "timeoutMs",
        "serverSession",
        "socketOptions",
        "headerReadTimeoutMs",
        "bodyTimeoutMs",
        "allowConnect",
        "clearContext",
        "maxConcurrentRequests",
        "maxPendingRequests",
        "queue",
        "adaptiveLimit",
        "rateLimit",
        "maxCallDepth",
        "timestampHeader",
        "addForwardedHeader",
        "xForwarded",
    ],
    not_yet: &["tls", "announce"],
    gone: &[("engine", "remove it, or see the `engine` of the top level")],
};

pub const SERVER_SESSION: Block = Block {
    title: "routers[].servers[].serverSession",
    keys: &["idleTimeMs"],
    not_yet: &["lifeTimeMs"],
    gone: &[],
};

pub const SERVER_SOCKET: Block = Block {
    title: "routers[].servers[].socketOptions",
    keys: &["noDelay", "backlog"],
    not_yet: &[
        "reuseAddr",
        "reusePort",
        "readTimeoutMs",
        "writeTimeoutMs",
        "keepAlive",
    ],
    gone: &[],
};

pub const HEADER_TOKEN: Block = Block {
    title: "routers[].identifier: io.l5d.header.token",
    keys: &["kind", "header"],
    not_yet: &[],
    gone: &[],
};

pub const HEADER: Block = Block {
    title: "routers[].identifier: io.l5d.header",
    keys: &["kind", "header"],
    not_yet: &[],
    gone: &[],
};

pub const METHOD_AND_HOST: Block = Block {
    title: "routers[].identifier: io.l5d.methodAndHost",
    keys: &["kind", "httpUriInDst"],
    not_yet: &[],
    gone: &[],
};

pub const PATH: Block = Block {
    title: "routers[].identifier: io.l5d.path",
    keys: &["kind", "segments", "consume"],
    not_yet: &[],
    gone: &[],
};

pub const STATIC: Block = Block {
    title: "routers[].identifier: io.l5d.static",
    keys: &["kind", "path"],
    not_yet: &[],
    gone: &[],
};

pub const ROUTES: Block = Block {
    title: "routers[].identifier: io.l5d.routes",
    keys: &["kind", "routes"],
    not_yet: &[],
    gone: &[],
};

pub const ROUTE: Block = Block {
    title: "routers[].identifier.routes[]",
    keys: &[
        "host",
        "path",
        "exact",
        "regex",
        "methods",
        "headers",
        "query",
        "name",
        "rewritePrefix",
        "redirect",
        "respond",
        "requestHeaders",
        "responseHeaders",
        "rewriteLocation",
        "rewriteCookies",
    ],
    not_yet: &[],
    gone: &[],
};

pub const REDIRECT: Block = Block {
    title: "routers[].identifier.routes[].redirect",
    keys: &["to", "status"],
    not_yet: &[],
    gone: &[],
};

pub const RESPOND: Block = Block {
    title: "routers[].identifier.routes[].respond",
    keys: &["status", "body", "contentType"],
    not_yet: &[],
    gone: &[],
};

/// Every block, in the order of the documentation.
pub const BLOCKS: &[&Block] = &[
    &TOP,
    &ADMIN,
    &ENGINE,
    &RING,
    &BUFFERS,
    &USAGE,
    &NAMER_FS,
    &NAMER_STATIC,
    &NAMER_REWRITE,
    &TRANSFORMER_PORT,
    &TRANSFORMER_LOCALHOST,
    &TRANSFORMER_SPECIFIC_HOST,
    &TRANSFORMER_CONST,
    &TRANSFORMER_REPLACE,
    &ROUTER,
    &SERVER,
    &SERVER_SESSION,
    &SERVER_SOCKET,
    &headers::FORWARDED,
    &headers::LABELER,
    &headers::LABELER_STATIC,
    &headers::X_FORWARDED,
    &headers::PROPAGATOR,
    &headers::RULES,
    &headers::COOKIES,
    &HEADER_TOKEN,
    &HEADER,
    &METHOD_AND_HOST,
    &PATH,
    &STATIC,
    &ROUTES,
    &ROUTE,
    &REDIRECT,
    &RESPOND,
    &INTERPRETER,
    &BINDING_CACHE,
    &policy::CLIENT,
    &policy::CLIENT_STATIC,
    &policy::CLIENT_ENTRY,
    &policy::P2C,
    &policy::EWMA,
    &policy::APERTURE,
    &policy::HEAP,
    &policy::ROUND_ROBIN,
    &policy::RING_HASH,
    &policy::HASH_BY,
    &policy::POOL,
    &policy::CLIENT_SESSION,
    &policy::CLIENT_SOCKET,
    &policy::CONSECUTIVE_FAILURES,
    &policy::SUCCESS_RATE,
    &policy::SUCCESS_RATE_WINDOWED,
    &policy::NO_ACCRUAL,
    &policy::SERVICE,
    &policy::SERVICE_STATIC,
    &policy::SERVICE_ENTRY,
    &policy::CLASSIFIER,
    &policy::RETRIES,
    &limits::FAULT,
    &limits::FAULT_MATCH,
    &limits::ABORT,
    &limits::DELAY,
    &limits::FIFO,
    &limits::CODEL,
    &limits::ADAPTIVE_LIMIT,
    &limits::RATE_LIMIT,
    &limits::RATE_BY,
    &policy::HEALTH_CHECK,
    &policy::HEDGE,
    &policy::MIRROR,
    &policy::BUDGET,
    &policy::CONSTANT,
    &policy::JITTERED,
];

pub const PROTOCOLS: Kinds = Kinds {
    key: "protocol",
    what: "protocol",
    supported: &[("http", &ROUTER)],
    not_yet: &["h2", "thrift", "thriftmux", "mux"],
    gone: &[],
};

pub const IDENTIFIERS: Kinds = Kinds {
    key: "kind",
    what: "identifier",
    supported: &[
        ("io.l5d.header.token", &HEADER_TOKEN),
        ("io.l5d.header", &HEADER),
        ("io.l5d.methodAndHost", &METHOD_AND_HOST),
        ("io.l5d.path", &PATH),
        ("io.l5d.static", &STATIC),
        ("io.l5d.routes", &ROUTES),
    ],
    not_yet: &[
        "io.l5d.header.path",
        "io.l5d.ingress",
        "io.l5d.k8s.istio",
        "io.l5d.k8s.istio-ingress",
    ],
    gone: &[("io.l5d.headerToken", "io.l5d.header.token")],
};

pub const TRANSFORMER_PORT: Block = Block {
    title: "transformers[]: io.l5d.port",
    keys: &["kind", "prefix", "port"],
    not_yet: &[],
    gone: &[],
};

pub const TRANSFORMER_LOCALHOST: Block = Block {
    title: "transformers[]: io.l5d.localhost",
    keys: &["kind", "prefix"],
    not_yet: &[],
    gone: &[],
};

pub const TRANSFORMER_SPECIFIC_HOST: Block = Block {
    title: "transformers[]: io.l5d.specificHost",
    keys: &["kind", "prefix", "host"],
    not_yet: &[],
    gone: &[],
};

pub const TRANSFORMER_CONST: Block = Block {
    title: "transformers[]: io.l5d.const",
    keys: &["kind", "prefix", "path"],
    not_yet: &[],
    gone: &[],
};

pub const TRANSFORMER_REPLACE: Block = Block {
    title: "transformers[]: io.l5d.replace",
    keys: &["kind", "prefix", "path"],
    not_yet: &[],
    gone: &[],
};

pub const TRANSFORMERS: Kinds = Kinds {
    key: "kind",
    what: "transformer",
    supported: &[
        ("io.l5d.port", &TRANSFORMER_PORT),
        ("io.l5d.localhost", &TRANSFORMER_LOCALHOST),
        ("io.l5d.specificHost", &TRANSFORMER_SPECIFIC_HOST),
        ("io.l5d.const", &TRANSFORMER_CONST),
        ("io.l5d.replace", &TRANSFORMER_REPLACE),
    ],
    not_yet: &["io.l5d.k8s.daemonset", "io.l5d.k8s.localnode"],
    gone: &[],
};

pub const NAMERS: Kinds = Kinds {
    key: "kind",
    what: "namer",
    supported: &[
        ("io.l5d.fs", &NAMER_FS),
        ("io.l5d.static", &NAMER_STATIC),
        ("io.l5d.rewrite", &NAMER_REWRITE),
    ],
    not_yet: &[
        "io.l5d.serversets",
        "io.l5d.zkLeader",
        "io.l5d.consul",
        "io.l5d.k8s",
        "io.l5d.k8s.external",
        "io.l5d.k8s.ns",
        "io.l5d.marathon",
        "io.l5d.dnssrv",
        "io.l5d.curator",
        "io.l5d.rancher",
    ],
    gone: &[],
};

pub const INTERPRETERS: Kinds = Kinds {
    key: "kind",
    what: "interpreter",
    supported: &[("default", &INTERPRETER)],
    not_yet: &[
        "io.l5d.namerd",
        "io.l5d.namerd.http",
        "io.l5d.mesh",
        "io.l5d.fs",
        "io.l5d.k8s.configMap",
        "io.l5d.k8s.istio",
        "io.l5d.consul.interpreter",
    ],
    gone: &[],
};

/// Every registry of kinds, for the tests of the documentation.
#[cfg(test)]
pub const KINDS: &[&Kinds] = &[
    &PROTOCOLS,
    &NAMERS,
    &TRANSFORMERS,
    &IDENTIFIERS,
    &INTERPRETERS,
    &policy::CLIENTS,
    &policy::BALANCERS,
    &policy::ACCRUALS,
    &policy::SERVICES,
    &policy::CLASSIFIERS,
    &policy::BACKOFFS,
    &limits::QUEUES,
    &headers::PROPAGATORS,
    &headers::LABELERS,
];
