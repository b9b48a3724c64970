//! `ringlink CONFIG`: from a configuration to a running proxy, and to its end.

use std::net::TcpListener;
use std::sync::Arc;

use crate::config::Config;
use crate::control::slow::{self, Ending};
use crate::control::{self, Running, StartError};

/// Runs a configuration until the process is asked to end.
pub fn run(config: Config) -> Result<(), String> {
    raise_descriptor_limit();
    // Before the shards start, so that a taken port costs no traffic.
    let addr = config.admin.addr;
    let admin = TcpListener::bind(addr).map_err(|error| StartError::Admin { addr, error });
    let admin = admin.map_err(|error| error.to_string())?;
    let started = control::start(Arc::new(config)).map_err(|error| error.to_string())?;
    announce(&started.running, &admin);
    match slow::run(started, admin) {
        Ok(ending) => outcome(ending),
        Err(error) => Err(format!("the slow path cannot run: {error}")),
    }
}

fn outcome(ending: Ending) -> Result<(), String> {
    match ending {
        Ending::Finished => tracing::info!("everything finished: bye"),
        Ending::Cut => tracing::info!("bye"),
        Ending::Forced => return Err("a second signal: ended at once".to_owned()),
        Ending::ShardDied(shard) => return Err(format!("shard {shard} died (see the log)")),
    }
    Ok(())
}

/// Logs what runs and where it listens.
pub fn announce(running: &Running, admin: &TcpListener) {
    tracing::info!(
        "ringlink {}: {} on {} shard(s)",
        env!("CARGO_PKG_VERSION"),
        running.driver(),
        running.shard_count()
    );
    for (router, addresses) in running.config().routers.iter().zip(running.addresses()) {
        for addr in addresses {
            tracing::info!("router {} listens on {addr}", router.label);
        }
    }
    if let Ok(addr) = admin.local_addr() {
        tracing::info!("admin: http://{addr}/");
    }
}

/// Every connection is a descriptor, and the usual soft limit of 1024 is for programs that use
/// `select`.
pub fn raise_descriptor_limit() {
    let raised = rlimit::Resource::NOFILE
        .get()
        .and_then(|(_, hard)| rlimit::Resource::NOFILE.set(hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!("at most {limit} descriptors"),
        Err(error) => tracing::warn!("the limit on descriptors stays as it is: {error}"),
    }
}
