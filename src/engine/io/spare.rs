//! Spare memory of a shard: what one request gives back the next one takes, so that steady traffic
//! allocates nothing. What a burst left over goes with the next trim.

use crate::engine::splice::Pipe;
use crate::engine::tx::TxJob;

/// Spare vectors and jobs kept for reuse.
const KEPT: usize = 512;
/// Vectors that grew past this are not kept.
const KEPT_BYTES: usize = 16 * 1024;

/// Spare memory, so that steady traffic allocates nothing.
#[derive(Default)]
pub(in crate::engine) struct Spare {
    pub(in crate::engine) vectors: Vec<Vec<u8>>,
    #[expect(
        clippy::vec_box,
        reason = "jobs go into operations boxed, at stable addresses"
    )]
    jobs: Vec<Box<TxJob>>,
    pub(in crate::engine) pipes: Vec<Pipe>,
}

impl Spare {
    pub(in crate::engine) fn recycle(&mut self, mut vector: Vec<u8>) {
        if vector.capacity() <= KEPT_BYTES && self.vectors.len() < KEPT {
            vector.clear();
            self.vectors.push(vector);
        }
    }

    pub(super) fn job(&mut self) -> Box<TxJob> {
        self.jobs.pop().unwrap_or_else(TxJob::new)
    }

    pub(super) fn recycle_job(&mut self, mut job: Box<TxJob>) {
        job.clear(|vector| self.recycle(vector));
        if self.jobs.len() < KEPT {
            self.jobs.push(job);
        }
    }

    /// Keeps only `keep` of each.
    pub(in crate::engine) fn trim(&mut self, keep: usize) {
        self.vectors.truncate(keep);
        self.vectors.shrink_to(keep);
        self.jobs.truncate(keep);
        self.pipes.truncate(keep);
        self.jobs.shrink_to(keep);
    }
}
