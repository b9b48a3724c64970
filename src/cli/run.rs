//! `ringlink CONFIG`: from a configuration to a running proxy, and to its end.

use std::net::TcpListener;
use std::sync::Arc;

use crate::admin;
use crate::control::slow::{self, Ending};
use crate::control::source::Source;
use crate::control::{self, StartError};

use super::load;

/// Runs a configuration until the process is asked to end.
pub fn run(source: Source) -> Result<(), String> {
    let config = load(&source)?;
    // Before the shards start, so that a taken port costs no traffic.
    let addr = config.admin.addr;
    let admin = TcpListener::bind(addr).map_err(|error| StartError::Admin { addr, error });
    let admin = admin.map_err(|error| error.to_string())?;
    let addr = admin.local_addr().map_err(|error| error.to_string())?;
    let started = control::start(Arc::new(config)).map_err(|error| error.to_string())?;
    started.running.announce(addr);
    match slow::run(started, source, |running, stop| {
        admin::serve(admin, running, stop)
    }) {
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
