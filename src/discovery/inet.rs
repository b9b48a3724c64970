//! `/$/inet/HOST/PORT`: addresses from the system's resolver, looked up every few seconds, as
//! linkerd does. A literal address is its own answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::balance::ReplicaSet;
use crate::naming::Inet;
use crate::router::client::{ResolveRequest, Resolved};

/// Time between two lookups of a host.
const EVERY: Duration = Duration::from_secs(5);

/// An answer for one shard.
pub struct Answer {
    pub shard: usize,
    pub resolved: Resolved,
}

struct Watched {
    replicas: Option<Result<Arc<ReplicaSet>, String>>,
    shards: Vec<usize>,
}

/// What one lookup found.
struct Found {
    inet: Inet,
    addrs: Result<Vec<SocketAddr>, String>,
}

/// Answers requests until their senders are gone. `answer` must not block.
pub async fn watch(
    mut requests: mpsc::UnboundedReceiver<ResolveRequest>,
    mut answer: impl FnMut(Answer),
) {
    let mut watched: HashMap<Inet, Watched> = HashMap::new();
    let (sender, mut found) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return };
                add(&mut watched, request, &sender, &mut answer);
            }
            Some(found) = found.recv() => apply(&mut watched, found, &mut answer),
        }
    }
}

fn add(
    watched: &mut HashMap<Inet, Watched>,
    request: ResolveRequest,
    sender: &mpsc::UnboundedSender<Found>,
    answer: &mut impl FnMut(Answer),
) {
    let inet = request.inet;
    let entry = watched.entry(inet.clone()).or_insert_with(|| {
        let replicas = inet.ip().map(|ip| {
            let addr = SocketAddr::new(ip, inet.port);
            Ok(Arc::new(ReplicaSet::from_addrs([addr], None)))
        });
        if replicas.is_none() {
            tokio::spawn(look_up_forever(inet.clone(), sender.clone()));
        }
        Watched {
            replicas,
            shards: Vec::new(),
        }
    });
    if !entry.shards.contains(&request.shard) {
        entry.shards.push(request.shard);
    }
    if let Some(replicas) = &entry.replicas {
        answer(Answer {
            shard: request.shard,
            resolved: Resolved {
                inet,
                replicas: replicas.clone(),
            },
        });
    }
}

fn apply(watched: &mut HashMap<Inet, Watched>, found: Found, answer: &mut impl FnMut(Answer)) {
    let Some(entry) = watched.get_mut(&found.inet) else {
        return;
    };
    let previous = match &entry.replicas {
        Some(Ok(set)) => Some(Arc::clone(set)),
        _ => None,
    };
    let replicas = match (found.addrs, &previous) {
        (Ok(addrs), _) if !addrs.is_empty() => {
            let same = previous.as_ref().is_some_and(|set| {
                set.endpoints.len() == addrs.len()
                    && set
                        .endpoints
                        .iter()
                        .all(|endpoint| addrs.contains(&endpoint.addr))
            });
            if same {
                return;
            }
            Ok(Arc::new(ReplicaSet::from_addrs(addrs, previous.as_deref())))
        }
        // Keep the last good answer.
        (_, Some(_)) => return,
        (Ok(_), None) => Err("the host has no addresses".to_owned()),
        (Err(why), None) => Err(why),
    };
    entry.replicas = Some(replicas.clone());
    for shard in &entry.shards {
        answer(Answer {
            shard: *shard,
            resolved: Resolved {
                inet: found.inet.clone(),
                replicas: replicas.clone(),
            },
        });
    }
}

async fn look_up_forever(inet: Inet, found: mpsc::UnboundedSender<Found>) {
    loop {
        let mut addrs = tokio::net::lookup_host((inet.host.as_str(), inet.port))
            .await
            .map(Iterator::collect::<Vec<_>>)
            .map_err(|error| error.to_string());
        if let Ok(addrs) = &mut addrs {
            addrs.sort_unstable();
            addrs.dedup();
        }
        let answered = found.send(Found {
            inet: inet.clone(),
            addrs,
        });
        if answered.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}
