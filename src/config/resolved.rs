//! The configuration as resolved: validated, every default filled in, nothing optional that the
//! program would have to guess about. The rest of the program sees only these types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::naming::{Dtab, Path, Pattern, Place, Template, Transform};

pub use super::faults::FaultRule;
pub use super::format::{Format, Part};
pub use super::forwarded::{ForMode, Forwarded, Labeler, Network, XForwarded};
pub use super::health::HealthCheck;
pub use super::limits::{Limits, RateKey, RateLimit};
pub use super::mirror::Mirror;
pub use super::policy::{
    ClientParams, ClientPolicy, DEFAULT_IDLE, DEFAULT_REPLAY, DEFAULT_TOTAL, HashKey, Policies,
    ServiceParams, ServicePolicy,
};
pub use super::route::{Action, Fixed, HostPattern, PathPattern, Route, Wanted};
pub use super::rules::{CookieRules, FieldName, HeaderRules, LocationRule, Rules};

/// One whole configuration file.
#[derive(Debug, Clone)]
pub struct Config {
    pub admin: Admin,
    pub engine: Engine,
    /// In the order of the file; of two that fit, the later is asked first.
    pub namers: Vec<Namer>,
    pub routers: Vec<Router>,
}

/// The admin server and the limits of an orderly exit.
#[derive(Debug, Clone)]
pub struct Admin {
    pub addr: SocketAddr,
    /// How long an orderly shutdown may take before what is left is cut.
    pub shutdown_grace: Duration,
    /// Whether the configuration is read again when its file changes.
    pub reload_on_change: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where the kernel allows it, epoll otherwise.
    Auto,
    Uring,
    Epoll,
}

/// Which cores get a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// One shard for every core that the process may run on.
    Auto,
    /// The first N of them.
    Count(usize),
    /// Exactly these, by the kernel's numbering.
    List(Vec<usize>),
}

#[derive(Debug, Clone)]
pub struct Engine {
    pub driver: DriverChoice,
    pub cores: Cores,
    /// Submission entries of each shard's ring (a power of two).
    pub ring_entries: u32,
    /// Completion entries (a power of two, at least 4 × `ring_entries`).
    pub completion_entries: u32,
    /// Receive buffers of each shard (a power of two, at most 32768).
    pub buffer_count: u16,
    /// Bytes of one receive buffer.
    pub buffer_size: u32,
    /// Client connections that the process holds at most; past it, accepting pauses.
    pub max_connections: usize,
}

/// Who answers for the names below `/#` and a prefix.
#[derive(Debug, Clone)]
pub struct Namer {
    pub prefix: Path,
    pub kind: NamerKind,
    /// Prefixes and what is done to addresses, in their order.
    pub transformers: Vec<(Path, Transform)>,
}

/// What becomes of bound names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformer {
    /// Stands behind `/%` in the names that it makes.
    pub prefix: Path,
    pub kind: TransformerKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransformerKind {
    /// `io.l5d.port`, `io.l5d.localhost`, `io.l5d.specificHost`: other addresses.
    Filter(Transform),
    /// `io.l5d.const`: always this name, whatever was asked for.
    Const(Path),
    /// `io.l5d.replace`: this name in the place of every bound one.
    Replace(Path),
}

#[derive(Debug, Clone)]
pub enum NamerKind {
    /// `io.l5d.fs`: files of a directory.
    Fs { root: PathBuf },
    /// `io.l5d.static`: names and their replicas.
    Static { names: Vec<(Path, Arc<[Place]>)> },
    /// `io.l5d.rewrite`: other names.
    Rewrite { pattern: Pattern, name: Template },
}

#[derive(Debug, Clone)]
pub struct Router {
    pub label: String,
    pub servers: Vec<Server>,
    /// Tried in order; the first that finds a name wins.
    pub identifiers: Vec<Identifier>,
    pub dtab: Dtab,
    /// The interpreter's, in their order.
    pub transformers: Vec<Transformer>,
    /// Put before what an identifier finds (`/svc`).
    pub dst_prefix: Path,
    pub binding_timeout: Duration,
    pub binding_cache: BindingCache,
    pub client: Policies<ClientParams>,
    pub service: Policies<ServiceParams>,
    /// Limits on heads, for requests and responses alike.
    pub heads: HeadLimits,
    /// By which fields the context of a trace travels.
    pub propagator: Propagator,
    /// What becomes of the heads that pass.
    pub rules: Rules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagator {
    /// `io.l5d.default`: `l5d-ctx-trace`.
    Linkerd,
    /// `io.l5d.zipkin`: `x-b3-…`, and `b3` from clients.
    Zipkin,
}

/// Limits of each shard's binding cache.
#[derive(Debug, Clone, Copy)]
pub struct BindingCache {
    /// Names that it holds at most.
    pub paths: usize,
    /// A name that nobody asked for in so long is forgotten.
    pub idle_ttl: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of a whole head (request line and fields).
    pub head_bytes: usize,
    /// Bytes of the request line.
    pub line_bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub label: Option<String>,
    pub ip: IpAddr,
    pub port: u16,
    /// Whole-request limit applied at the server; `None` is no limit.
    pub timeout: Option<Duration>,
    /// A connection that sends no request for so long is closed.
    pub idle_timeout: Duration,
    /// A head must be complete so long after its first byte (against slow-loris clients).
    pub head_timeout: Duration,
    /// A client that takes or gives no byte of a body for so long is cut.
    pub body_timeout: Duration,
    pub backlog: u32,
    pub no_delay: bool,
    /// Whether CONNECT requests are let through (as tunnels); refused with 405 otherwise.
    pub allow_connect: bool,
    /// What bounds its requests.
    pub limits: Limits,
    /// Whether its clients are strangers: context headers are neither taken from them nor given.
    pub clear_context: bool,
    /// A request that came through more proxies than that, by its `Via`, is refused: it goes in
    /// circles.
    pub max_call_depth: usize,
    /// The field in which replicas are told when a request came.
    pub timestamp: Option<FieldName>,
    pub forwarded: Option<Forwarded>,
    pub x_forwarded: Option<XForwarded>,
}

#[derive(Debug, Clone)]
pub enum Identifier {
    /// `io.l5d.header.token`: the value of a header, one segment.
    HeaderToken { header: String },
    /// `io.l5d.header`: the value of a header, parsed as a path.
    Header { header: String },
    /// `io.l5d.methodAndHost`: `1.1/GET/host`, with the URI's segments if asked.
    MethodAndHost { uri_in_dst: bool },
    /// `io.l5d.path`: the first `segments` segments of the URI path, removed from it if `consume`.
    Path { segments: usize, consume: bool },
    /// `io.l5d.static`: always the same.
    Static { path: Path },
    /// `io.l5d.routes`: the first route that fits.
    Routes { routes: Arc<[Route]> },
}
