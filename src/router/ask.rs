//! What a shard and the slow path say to each other about names.
//!
//! A shard wishes to be kept informed, of what a name is bound to and of the replicas of a bound
//! name, until it says that it no longer cares; the slow path tells it now and at every change. So
//! each side may lose interest, be slow or restart its half without the other one's help, and a
//! late answer to a wish that was withdrawn is only ignored.

use std::rc::Rc;
use std::sync::Arc;

use crate::balance::ReplicaSet;
use crate::naming::{Addr, Bound, NameTree, Path};

use super::shared::{ClientShared, ServiceShared};

/// A name as one request asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub name: Path,
    /// The request's own dtab, as text; empty for nearly all.
    pub local: Box<[u8]>,
}

/// Where the requests of a bound name go: its identity, and who knows its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub id: Path,
    pub addr: Addr,
}

impl From<&Bound> for Target {
    fn from(bound: &Bound) -> Target {
        Target {
            id: bound.id.clone(),
            addr: bound.addr.clone(),
        }
    }
}

/// What a router on a shard wants of the slow path.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Keep me informed of what this name is bound to.
    Bind(Arc<Asked>),
    /// No longer.
    Unbind(Arc<Asked>),
    /// Keep me informed of the replicas there.
    Watch(Target),
    /// No longer.
    Unwatch(Target),
    /// This router is gone from this shard and will ask for nothing any more.
    Leave,
}

/// Where wishes go. Must not block, and must keep their order.
pub type Wishes = Rc<dyn Fn(Wish)>;

/// What the slow path tells a router on a shard.
#[derive(Clone, Debug)]
pub enum Told {
    Bound(Arc<Asked>, Binding),
    Replicas(Target, Replicas),
    /// What the shards know together of a name, or of a bound name; before anything else of it.
    Service(Arc<Asked>, Arc<ServiceShared>),
    Client(Target, Arc<ClientShared>),
}

/// What a name is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    Tree(Arc<NameTree<Bound>>),
    /// It leads to an error; of the dtabs, or of the namer that was asked.
    Failed(String),
    /// The request's own dtab is none.
    BadDtab(String),
}

/// What is known of the replicas of a bound name.
#[derive(Clone, Debug)]
pub enum Replicas {
    Known(Arc<ReplicaSet>),
    /// None were found yet, and why. Never takes away replicas that were known.
    Failed(String),
    /// There are none any more: who knows them has said so.
    Gone(String),
}
