//! Tasks: futures of one shard, run to their next wait, in bounded batches.
//!
//! Everything a task of the engine can wait for (a socket, a timer, a mailbox) belongs to the same
//! shard and knows the waiting task by its key, taken from [`Tasks::current`] when the future is
//! polled. So no waker is cloned, counted or called through a table: the `Context` that futures see
//! carries a waker that does nothing, and a foreign future that relies on its waker must not be
//! awaited here. Completions only queue tasks; they run afterwards.
//!
//! A panic ends its task and nothing else: the task's sockets close as they drop, and the panic is
//! counted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::slab::{Key, Slab};

struct Task {
    /// Away while the task is being polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    queued: bool,
}

/// The tasks of one shard.
#[derive(Default)]
pub(super) struct Tasks {
    slab: RefCell<Slab<Task>>,
    ready: RefCell<VecDeque<Key>>,
    current: Cell<Option<Key>>,
    panics: Cell<u64>,
    /// Tasks at most since the last [`Tasks::take_peak`].
    peak: Cell<usize>,
}

impl Tasks {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Key {
        let mut slab = self.slab.borrow_mut();
        let key = slab.insert(Task {
            future: Some(Box::pin(future)),
            queued: true,
        });
        self.peak.set(self.peak.get().max(slab.len()));
        drop(slab);
        self.ready.borrow_mut().push_back(key);
        key
    }

    /// Queues a task to be polled; a task that is gone or queued already is left alone.
    #[inline]
    pub(super) fn wake(&self, key: Key) {
        if let Some(task) = self.slab.borrow_mut().get_mut(key)
            && !task.queued
        {
            task.queued = true;
            self.ready.borrow_mut().push_back(key);
        }
    }

    /// The task being polled; [`Key::NONE`] outside of tasks.
    #[inline]
    pub(super) fn current(&self) -> Key {
        self.current.get().unwrap_or(Key::NONE)
    }

    /// Ends a task wherever it waits: its future is dropped, unless it is the one being polled.
    pub(super) fn cancel(&self, key: Key) {
        let task = self.slab.borrow_mut().remove(key);
        drop(task);
    }

    pub(super) fn cancel_all(&self) {
        let keys = self.slab.borrow().keys();
        for key in keys {
            self.cancel(key);
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slab.borrow().len()
    }

    /// How many tasks there were at most since this was last asked.
    pub(super) fn take_peak(&self) -> usize {
        self.peak.replace(self.len())
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Polls the tasks that are ready now, at most `limit`; tells how many it polled. `observe`
    /// is called after each.
    pub(super) fn run(&self, limit: usize, mut observe: impl FnMut()) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut polled = 0;
        while polled < limit {
            let Some(key) = self.ready.borrow_mut().pop_front() else {
                break;
            };
            let Some(mut future) = self.begin(key) else {
                continue;
            };
            self.current.set(Some(key));
            let outcome = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
            match outcome {
                Ok(Poll::Pending) => self.put_back(key, future),
                Ok(Poll::Ready(())) => {
                    drop(future);
                    self.cancel(key);
                }
                Err(_panic) => {
                    self.panics.set(self.panics.get() + 1);
                    // A destructor of the broken task may panic in turn; that is not our end.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                    self.cancel(key);
                }
            }
            self.current.set(None);
            polled += 1;
            observe();
        }
        polled
    }

    fn begin(&self, key: Key) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let mut slab = self.slab.borrow_mut();
        let task = slab.get_mut(key)?;
        task.queued = false;
        task.future.take()
    }

    fn put_back(&self, key: Key, future: Pin<Box<dyn Future<Output = ()>>>) {
        let mut slab = self.slab.borrow_mut();
        match slab.get_mut(key) {
            Some(task) => task.future = Some(future),
            None => {
                // Cancelled while it ran. Drop it outside of the borrow: it may wake others.
                drop(slab);
                drop(future);
            }
        }
    }
}
