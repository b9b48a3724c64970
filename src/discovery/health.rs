//! Active health checks: replicas are asked whether they are well, and those that are not get no
//! requests.
//!
//! One task for each bound name, on the slow path, so that a replica is asked once however many shards
//! there are. What it finds is written into the endpoint's state, which all shards read; the balancer
//! then passes over it, as long as enough others are left (its panic threshold holds here as for
//! failure accrual: checks that are wrong about everybody take nobody away). Replicas begin well, and
//! are asked at once. When the checks end, because the name is no longer in use or a reload wants none,
//! everybody is well again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::names::Follower;
use crate::balance::{Endpoint, ReplicaSet};
use crate::config::resolved::HealthCheck;
use crate::http::h1::{HeadReader, Limits, Progress};
use crate::http::{Method, ResponseHead};

/// Replicas of one name that are asked at once.
const AT_ONCE: usize = 32;

/// Checks the replicas of one name, for as long as it lives.
pub(super) struct Checker {
    of: HealthCheck,
    sets: watch::Sender<Arc<ReplicaSet>>,
    ill: Arc<AtomicUsize>,
    _task: Follower,
}

impl Checker {
    /// Begins with these replicas. The id is for the log.
    pub fn new(of: HealthCheck, id: String, set: Arc<ReplicaSet>) -> Checker {
        let (sets, set) = watch::channel(set);
        let ill = Arc::new(AtomicUsize::new(0));
        let rounds = Rounds {
            of: of.clone(),
            id,
            known: HashMap::new(),
            ill: Arc::clone(&ill),
        };
        Checker {
            of,
            sets,
            ill,
            _task: Follower::of(&tokio::spawn(rounds.run(set))),
        }
    }

    /// Whether it checks in this way.
    pub fn is_by(&self, of: &HealthCheck) -> bool {
        self.of == *of
    }

    /// These are the replicas from now on.
    pub fn update(&self, set: &Arc<ReplicaSet>) {
        self.sets.send_if_modified(|known| {
            let is_new = !Arc::ptr_eq(known, set);
            if is_new {
                *known = Arc::clone(set);
            }
            is_new
        });
    }

    /// Replicas that are not well at present.
    pub fn ill(&self) -> usize {
        self.ill.load(Relaxed)
    }
}

/// What is known of one replica.
struct Patient {
    endpoint: Arc<Endpoint>,
    is_ill: bool,
    /// Results in a row that speak against what it is taken for.
    against: u32,
}

/// The rounds of one name's checks.
struct Rounds {
    of: HealthCheck,
    id: String,
    known: HashMap<SocketAddr, Patient>,
    ill: Arc<AtomicUsize>,
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let ill = self.known.values().filter(|patient| patient.is_ill);
        ill.for_each(|patient| patient.endpoint.open());
    }
}

impl Rounds {
    async fn run(mut self, mut sets: watch::Receiver<Arc<ReplicaSet>>) {
        let mut rounds = interval(self.of.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let set = Arc::clone(&sets.borrow_and_update());
            self.admit(&set);
            for some in set.endpoints.chunks(AT_ONCE) {
                let mut probes = JoinSet::new();
                for endpoint in some {
                    let (addr, of) = (endpoint.addr, self.of.clone());
                    probes.spawn(async move { (addr, is_well(addr, &of).await) });
                }
                while let Some(probed) = probes.join_next().await {
                    if let Ok((addr, well)) = probed {
                        self.note(addr, well);
                    }
                }
            }
            let ill = self.known.values().filter(|patient| patient.is_ill);
            self.ill.store(ill.count(), Relaxed);
        }
    }

    /// Forgets who is gone, and takes in who is new. A replica that comes back begins anew.
    fn admit(&mut self, set: &ReplicaSet) {
        let mut before = std::mem::take(&mut self.known);
        for endpoint in &set.endpoints {
            let known = before.remove(&endpoint.addr);
            let known = known.filter(|known| Arc::ptr_eq(&known.endpoint, endpoint));
            let patient = known.unwrap_or_else(|| Patient {
                endpoint: Arc::clone(endpoint),
                is_ill: false,
                against: 0,
            });
            self.known.insert(endpoint.addr, patient);
        }
    }

    fn note(&mut self, addr: SocketAddr, well: bool) {
        let Some(patient) = self.known.get_mut(&addr) else {
            return;
        };
        if well != patient.is_ill {
            patient.against = 0;
            return;
        }
        patient.against += 1;
        let enough = if well {
            self.of.successes
        } else {
            self.of.failures
        };
        if patient.against < enough {
            return;
        }
        patient.against = 0;
        patient.is_ill = !well;
        if well {
            patient.endpoint.open();
            tracing::info!("{}: {addr} is well again by its health check", self.id);
        } else {
            patient.endpoint.close();
            tracing::warn!(
                "{}: {addr} is ill by its health check: no requests",
                self.id
            );
        }
    }
}

/// Whether a replica passes one check.
async fn is_well(addr: SocketAddr, of: &HealthCheck) -> bool {
    let check = async {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        match &of.path {
            None => Some(true),
            Some(path) => answers_well(&mut stream, addr, path).await,
        }
    };
    matches!(timeout(of.timeout, check).await, Ok(Some(true)))
}

/// Whether a GET is answered with a status of 200 to 399. `None` if there is no answer.
async fn answers_well(stream: &mut TcpStream, addr: SocketAddr, path: &str) -> Option<bool> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {addr}\r\nuser-agent: ringlink-health-check\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let (mut reader, mut head) = (HeadReader::new(), ResponseHead::new());
    let mut bytes = [0; 4096];
    let mut held = 0..0;
    loop {
        if held.is_empty() {
            let read = stream
                .read(&mut bytes)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            held = 0..read;
        }
        let part = &bytes[held.clone()];
        match reader
            .response(part, &Limits::default(), Method::Get, &mut head)
            .ok()?
        {
            Progress::Partial => held = 0..0,
            Progress::Complete { used, .. } if head.is_interim() => held.start += used,
            Progress::Complete { .. } => return Some((200..400).contains(&head.status)),
        }
    }
}
