//! The tables of everything that is policy: clients, services, and what they are made of.

use super::{Block, Kinds};

pub const CLIENT: Block = Block {
    title: "routers[].client",
    keys: &[
        "kind",
        "loadBalancer",
        "hostConnectionPool",
        "clientSession",
        "failFast",
        "healthCheck",
        "failureAccrual",
        "requeueBudget",
        "requestAttemptTimeoutMs",
        "connectTimeoutMs",
        "bodyTimeoutMs",
        "socketOptions",
    ],
    not_yet: &["tls", "requestAuthorizers", "forwardClientCert"],
    gone: &[
        ("engine", "remove it, or see the `engine` of the top level"),
        ("loggers", "use `requestAuthorizers`"),
    ],
};

pub const CLIENT_STATIC: Block = Block {
    title: "routers[].client: io.l5d.static",
    keys: &["kind", "configs"],
    not_yet: &[],
    gone: &[],
};

pub const CLIENT_ENTRY: Block = Block {
    title: "routers[].client.configs[]",
    keys: &[
        "prefix",
        "loadBalancer",
        "hostConnectionPool",
        "clientSession",
        "failFast",
        "healthCheck",
        "failureAccrual",
        "requeueBudget",
        "requestAttemptTimeoutMs",
        "connectTimeoutMs",
        "bodyTimeoutMs",
        "socketOptions",
    ],
    not_yet: &["tls", "requestAuthorizers", "forwardClientCert"],
    gone: &[
        ("engine", "remove it, or see the `engine` of the top level"),
        ("loggers", "use `requestAuthorizers`"),
    ],
};

pub const HEALTH_CHECK: Block = Block {
    title: "healthCheck",
    keys: &["path", "intervalMs", "timeoutMs", "failures", "successes"],
    not_yet: &[],
    gone: &[],
};

pub const P2C: Block = Block {
    title: "routers[].client.loadBalancer: p2c",
    keys: &["kind", "maxEffort", "slowStartMs", "panicThresholdPercent"],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const EWMA: Block = Block {
    title: "routers[].client.loadBalancer: ewma",
    keys: &[
        "kind",
        "decayTimeMs",
        "maxEffort",
        "slowStartMs",
        "panicThresholdPercent",
    ],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const APERTURE: Block = Block {
    title: "routers[].client.loadBalancer: aperture",
    keys: &[
        "kind",
        "smoothWindowMs",
        "lowLoad",
        "highLoad",
        "minAperture",
        "maxEffort",
        "slowStartMs",
        "panicThresholdPercent",
    ],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const HEAP: Block = Block {
    title: "routers[].client.loadBalancer: heap",
    keys: &["kind", "maxEffort", "slowStartMs", "panicThresholdPercent"],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const ROUND_ROBIN: Block = Block {
    title: "routers[].client.loadBalancer: roundRobin",
    keys: &["kind", "maxEffort", "slowStartMs", "panicThresholdPercent"],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const RING_HASH: Block = Block {
    title: "routers[].client.loadBalancer: ringHash",
    keys: &[
        "kind",
        "hashBy",
        "virtualNodes",
        "loadFactor",
        "maxEffort",
        "slowStartMs",
        "panicThresholdPercent",
    ],
    not_yet: &["enableProbation"],
    gone: &[],
};

pub const HASH_BY: Block = Block {
    title: "routers[].client.loadBalancer.hashBy",
    keys: &["header", "cookie"],
    not_yet: &[],
    gone: &[],
};

pub const POOL: Block = Block {
    title: "routers[].client.hostConnectionPool",
    keys: &["minSize", "maxSize", "idleTimeMs", "maxWaiters", "maxIdle"],
    not_yet: &[],
    gone: &[],
};

pub const CLIENT_SESSION: Block = Block {
    title: "routers[].client.clientSession",
    keys: &["idleTimeMs", "lifeTimeMs"],
    not_yet: &[],
    gone: &[],
};

pub const CLIENT_SOCKET: Block = Block {
    title: "routers[].client.socketOptions",
    keys: &["noDelay"],
    not_yet: &[
        "reuseAddr",
        "reusePort",
        "readTimeoutMs",
        "writeTimeoutMs",
        "keepAlive",
        "backlog",
    ],
    gone: &[],
};

pub const CONSECUTIVE_FAILURES: Block = Block {
    title: "routers[].client.failureAccrual: io.l5d.consecutiveFailures",
    keys: &["kind", "failures", "backoff"],
    not_yet: &[],
    gone: &[],
};

pub const SUCCESS_RATE: Block = Block {
    title: "routers[].client.failureAccrual: io.l5d.successRate",
    keys: &["kind", "successRate", "requests", "backoff"],
    not_yet: &[],
    gone: &[],
};

pub const SUCCESS_RATE_WINDOWED: Block = Block {
    title: "routers[].client.failureAccrual: io.l5d.successRateWindowed",
    keys: &["kind", "successRate", "window", "backoff"],
    not_yet: &[],
    gone: &[],
};

pub const NO_ACCRUAL: Block = Block {
    title: "routers[].client.failureAccrual: none",
    keys: &["kind", "backoff"],
    not_yet: &[],
    gone: &[],
};

pub const SERVICE: Block = Block {
    title: "routers[].service",
    keys: &[
        "kind",
        "totalTimeoutMs",
        "responseClassifier",
        "retries",
        "hedge",
        "mirror",
        "maxConcurrentRequests",
        "maxPendingRequests",
        "queue",
        "adaptiveLimit",
        "rateLimit",
        "faults",
    ],
    not_yet: &[],
    gone: &[],
};

pub const SERVICE_STATIC: Block = Block {
    title: "routers[].service: io.l5d.static",
    keys: &["kind", "configs"],
    not_yet: &[],
    gone: &[],
};

pub const SERVICE_ENTRY: Block = Block {
    title: "routers[].service.configs[]",
    keys: &[
        "prefix",
        "totalTimeoutMs",
        "responseClassifier",
        "retries",
        "hedge",
        "mirror",
        "maxConcurrentRequests",
        "maxPendingRequests",
        "queue",
        "adaptiveLimit",
        "rateLimit",
        "faults",
    ],
    not_yet: &[],
    gone: &[],
};

pub const CLASSIFIER: Block = Block {
    title: "routers[].service.responseClassifier",
    keys: &["kind"],
    not_yet: &[],
    gone: &[],
};

pub const RETRIES: Block = Block {
    title: "routers[].service.retries",
    keys: &["budget", "backoff", "bufferBytes"],
    not_yet: &[],
    gone: &[],
};

pub const MIRROR: Block = Block {
    title: "mirror",
    keys: &["to", "percent", "maxConcurrent", "maxBodyKB", "timeoutMs"],
    not_yet: &[],
    gone: &[],
};

pub const HEDGE: Block = Block {
    title: "hedge",
    keys: &["percentile", "minDelayMs", "maxDelayMs", "minSamples"],
    not_yet: &[],
    gone: &[],
};

pub const BUDGET: Block = Block {
    title: "budget",
    keys: &["minRetriesPerSec", "percentCanRetry", "ttlSecs"],
    not_yet: &[],
    gone: &[],
};

pub const CONSTANT: Block = Block {
    title: "backoff: constant",
    keys: &["kind", "ms"],
    not_yet: &[],
    gone: &[],
};

pub const JITTERED: Block = Block {
    title: "backoff: jittered",
    keys: &["kind", "minMs", "maxMs"],
    not_yet: &[],
    gone: &[],
};

pub const CLIENTS: Kinds = Kinds {
    key: "kind",
    what: "kind of client",
    supported: &[
        ("io.l5d.global", &CLIENT),
        ("io.l5d.static", &CLIENT_STATIC),
    ],
    not_yet: &[],
    gone: &[],
};

pub const BALANCERS: Kinds = Kinds {
    key: "kind",
    what: "load balancer",
    supported: &[
        ("p2c", &P2C),
        ("ewma", &EWMA),
        ("aperture", &APERTURE),
        ("heap", &HEAP),
        ("roundRobin", &ROUND_ROBIN),
        ("ringHash", &RING_HASH),
    ],
    not_yet: &[],
    gone: &[],
};

pub const ACCRUALS: Kinds = Kinds {
    key: "kind",
    what: "failure accrual",
    supported: &[
        ("io.l5d.consecutiveFailures", &CONSECUTIVE_FAILURES),
        ("io.l5d.successRate", &SUCCESS_RATE),
        ("io.l5d.successRateWindowed", &SUCCESS_RATE_WINDOWED),
        ("none", &NO_ACCRUAL),
    ],
    not_yet: &[],
    gone: &[],
};

pub const SERVICES: Kinds = Kinds {
    key: "kind",
    what: "kind of service",
    supported: &[
        ("io.l5d.global", &SERVICE),
        ("io.l5d.static", &SERVICE_STATIC),
    ],
    not_yet: &[],
    gone: &[],
};

pub const CLASSIFIERS: Kinds = Kinds {
    key: "kind",
    what: "response classifier",
    supported: &[
        ("io.l5d.http.nonRetryable5XX", &CLASSIFIER),
        ("io.l5d.http.retryableRead5XX", &CLASSIFIER),
        ("io.l5d.http.retryableIdempotent5XX", &CLASSIFIER),
        ("io.l5d.http.retryableAll5XX", &CLASSIFIER),
        ("io.l5d.http.allSuccessful", &CLASSIFIER),
    ],
    not_yet: &[],
    gone: &[
        ("io.l5d.nonRetryable5XX", "io.l5d.http.nonRetryable5XX"),
        ("io.l5d.retryableRead5XX", "io.l5d.http.retryableRead5XX"),
        (
            "io.l5d.retryableIdempotent5XX",
            "io.l5d.http.retryableIdempotent5XX",
        ),
        ("io.l5d.retryableAll5XX", "io.l5d.http.retryableAll5XX"),
        ("io.l5d.allSuccessful", "io.l5d.http.allSuccessful"),
    ],
};

pub const BACKOFFS: Kinds = Kinds {
    key: "kind",
    what: "backoff",
    supported: &[("constant", &CONSTANT), ("jittered", &JITTERED)],
    not_yet: &[],
    gone: &[],
};
