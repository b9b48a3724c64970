//! A shard: one thread's driver, sockets, timers and tasks, and the loop that turns them.
//!
//! One turn: start the sends that tasks wrote, enter the driver once (wait no longer than the next
//! timer), apply the completions (they only queue tasks), fire timers, look into the mailboxes, and
//! run the ready tasks in a bounded batch. The clock is read once per turn: everything that happens
//! in one turn happens at one time.

use std::cell::{Cell, RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use super::buf::BufPool;
use super::driver::{Completion, Driver, DriverCounters, Fd, Wait};
use super::heap::{self, Tide};
use super::io::Io;
use super::mailbox::Doorbell;
use super::slab::Key;
use super::task::Tasks;
use super::timer::{NEVER, TimerWheel};

/// Tasks polled in one turn at most, before the sends they wrote are started.
const BATCH: usize = 256;
/// A task that holds the shard for longer is reported.
const STALL_NS: u64 = 10_000_000;
/// How often memory that a burst left behind is returned.
const TRIM_EVERY_NS: u64 = 1_000_000_000;
/// Buffers, vectors and jobs that a trim leaves in place.
const TRIM_KEEP: usize = 64;

/// A handle on a shard, for what runs on its thread.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

struct Inner {
    id: usize,
    now: Cell<u64>,
    /// Nanoseconds from the driver's clock to the wall clock, looked up now and then.
    wall_ahead: Cell<u64>,
    io: RefCell<Io>,
    timers: RefCell<TimerWheel>,
    tasks: Tasks,
    bufs: Rc<BufPool>,
    rung: Arc<AtomicBool>,
    mail_waiters: RefCell<Vec<Key>>,
    completions: RefCell<Vec<Completion>>,
    stalls: Cell<u64>,
    next_trim: Cell<u64>,
    stopping: Cell<bool>,
    tide: RefCell<Tide>,
}

/// What a shard did so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardCounters {
    pub driver: DriverCounters,
    pub tasks: usize,
    pub panics: u64,
    /// Turns in which a task held the shard too long.
    pub stalls: u64,
    pub buffers_free: usize,
    pub buffers: usize,
}

impl Shard {
    #[must_use]
    pub fn new(id: usize, driver: Driver, bufs: Rc<BufPool>) -> Shard {
        let now = driver.now();
        Shard(Rc::new(Inner {
            id,
            now: Cell::new(now),
            wall_ahead: Cell::new(driver.wall_clock().wrapping_sub(now)),
            io: RefCell::new(Io::new(driver, Rc::clone(&bufs))),
            timers: RefCell::new(TimerWheel::new(now)),
            tasks: Tasks::default(),
            bufs,
            rung: Arc::new(AtomicBool::new(false)),
            mail_waiters: RefCell::new(Vec::new()),
            completions: RefCell::new(Vec::new()),
            stalls: Cell::new(0),
            next_trim: Cell::new(now + TRIM_EVERY_NS),
            stopping: Cell::new(false),
            tide: RefCell::default(),
        }))
    }

    #[must_use]
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// The time of this turn, in nanoseconds of the driver's clock.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.now.get()
    }

    /// The time of this turn as people tell it: milliseconds since the epoch. Not for measuring: it
    /// follows the wall clock, jumps included, up to a second later.
    #[inline]
    #[must_use]
    pub fn wall_clock_ms(&self) -> u64 {
        self.wall_clock_ns() / 1_000_000
    }

    /// The same in nanoseconds.
    #[inline]
    #[must_use]
    pub fn wall_clock_ns(&self) -> u64 {
        self.now().wrapping_add(self.0.wall_ahead.get())
    }

    pub(super) fn io(&self) -> RefMut<'_, Io> {
        self.0.io.borrow_mut()
    }

    pub(super) fn current_task(&self) -> Key {
        self.0.tasks.current()
    }

    /// Starts a task; it runs in the next batch.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Key {
        self.0.tasks.spawn(future)
    }

    /// Ends a task by dropping its future.
    pub fn cancel(&self, task: Key) {
        self.0.tasks.cancel(task);
    }

    /// Queues a task to be polled.
    pub fn wake(&self, task: Key) {
        self.0.tasks.wake(task);
    }

    /// The key of the task that is running, for someone else to [`Shard::wake`].
    #[must_use]
    pub fn this_task(&self) -> Key {
        self.current_task()
    }

    /// A spare vector, empty; [`Shard::recycle`] (or a sent segment) gives it back.
    #[must_use]
    pub fn vector(&self) -> Vec<u8> {
        self.io()
            .spare
            .vectors
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(1024))
    }

    pub fn recycle(&self, vector: Vec<u8>) {
        self.io().spare.recycle(vector);
    }

    /// A doorbell that other threads ring when they put mail in.
    #[must_use]
    pub fn doorbell(&self) -> Doorbell {
        Doorbell {
            rung: Arc::clone(&self.0.rung),
            wake: self.io().driver.wake_handle(),
        }
    }

    pub(super) fn wait_for_mail(&self) {
        let task = self.current_task();
        let mut waiters = self.0.mail_waiters.borrow_mut();
        if !waiters.contains(&task) {
            waiters.push(task);
        }
    }

    /// Closes a descriptor that never became a [`super::Socket`].
    pub fn close(&self, fd: Fd) {
        self.io().driver.close(fd);
    }

    /// Lets the other ready tasks run first.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|_| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            self.wake(self.current_task());
            Poll::Pending
        })
        .await;
    }

    /// Waits for a time.
    pub async fn sleep_until(&self, deadline: u64) {
        let timer = Timer::new(self);
        timer.set(deadline);
        poll_fn(|_| timer.poll_expired()).await;
    }

    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            driver: self.io().driver.counters(),
            tasks: self.0.tasks.len(),
            panics: self.0.tasks.panics(),
            stalls: self.0.stalls.get(),
            buffers_free: self.0.bufs.free_count(),
            buffers: self.0.bufs.count(),
        }
    }

    /// Whether bodies can be moved from socket to socket inside the kernel.
    #[must_use]
    pub fn can_splice(&self) -> bool {
        self.io().driver.can_splice()
    }

    #[must_use]
    pub fn driver_name(&self) -> &'static str {
        self.io().driver.name()
    }

    /// The time of the next timer, if one is set (a lower bound).
    #[must_use]
    pub fn next_timer(&self) -> Option<u64> {
        self.0.timers.borrow().next_expiry()
    }

    /// Whether a turn would find something to do without waiting.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.0.tasks.has_ready() || self.0.rung.load(Ordering::Acquire)
    }

    /// Operations that wait for their final completion.
    #[must_use]
    pub fn ops_in_flight(&self) -> usize {
        self.io().ops_in_flight()
    }

    /// Sockets that hold a descriptor.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.io().socks.len()
    }

    /// Makes [`Shard::run`] return after the present turn.
    pub fn stop(&self) {
        self.0.stopping.set(true);
    }

    /// Turns until [`Shard::stop`].
    ///
    /// # Errors
    /// When the driver has become unusable.
    pub fn run(&self) -> io::Result<()> {
        while !self.0.stopping.get() {
            self.turn(true)?;
        }
        self.drain()
    }

    /// Ends every task and waits (briefly) for the operations they leave behind.
    fn drain(&self) -> io::Result<()> {
        self.0.tasks.cancel_all();
        for _ in 0..100 {
            if self.ops_in_flight() == 0 {
                break;
            }
            self.turn_until(self.now() + 10_000_000)?;
        }
        Ok(())
    }

    /// One turn; `block` allows it to wait for something to happen. Tells whether anything did.
    ///
    /// # Errors
    /// When the driver has become unusable.
    pub fn turn(&self, block: bool) -> io::Result<bool> {
        let wait = if !block || self.has_work() {
            Wait::Poll
        } else {
            match self.next_timer() {
                Some(deadline) => Wait::Until(deadline),
                None => Wait::Forever,
            }
        };
        self.turn_waiting(wait)
    }

    fn turn_until(&self, deadline: u64) -> io::Result<bool> {
        self.turn_waiting(Wait::Until(deadline))
    }

    fn turn_waiting(&self, wait: Wait) -> io::Result<bool> {
        let inner = &*self.0;
        let mut completions = inner.completions.borrow_mut();
        {
            let mut io = inner.io.borrow_mut();
            io.flush();
            io.feed_starved();
            let wait = if inner.tasks.has_ready() {
                Wait::Poll
            } else {
                wait
            };
            io.driver.turn(wait, &inner.bufs, &mut completions)?;
            inner.now.set(io.driver.now());
            for completion in completions.iter() {
                io.complete(*completion, &inner.tasks);
            }
        }
        let mut progress = !completions.is_empty();
        completions.clear();
        drop(completions);
        self.fire_timers();
        if inner.rung.swap(false, Ordering::AcqRel) {
            for task in inner.mail_waiters.borrow_mut().drain(..) {
                inner.tasks.wake(task);
            }
        }
        progress |= self.run_tasks() > 0;
        self.trim_if_due();
        Ok(progress)
    }

    fn fire_timers(&self) {
        let inner = &*self.0;
        let now = inner.now.get();
        let tasks = &inner.tasks;
        inner
            .timers
            .borrow_mut()
            .advance(now, |token, _| tasks.wake(Key::from_u64(token)));
    }

    fn run_tasks(&self) -> usize {
        let inner = &*self.0;
        let polled = inner.tasks.run(BATCH, || ());
        if polled > 0 {
            let after = inner.io.borrow().driver.now();
            let per_task = after.saturating_sub(inner.now.get()) / polled as u64;
            if per_task > STALL_NS {
                inner.stalls.set(inner.stalls.get() + 1);
                tracing::warn!(
                    shard = inner.id,
                    tasks = polled,
                    ms = (after - inner.now.get()) / 1_000_000,
                    "tasks held the shard"
                );
            }
        }
        polled
    }

    fn trim_if_due(&self) {
        let inner = &*self.0;
        if inner.now.get() < inner.next_trim.get() {
            return;
        }
        inner.next_trim.set(inner.now.get() + TRIM_EVERY_NS);
        inner.bufs.trim(TRIM_KEEP);
        {
            let mut io = inner.io.borrow_mut();
            let (wall, now) = (io.driver.wall_clock(), io.driver.now());
            inner.wall_ahead.set(wall.wrapping_sub(now));
            io.driver.trim(&inner.bufs);
            io.spare.trim(TRIM_KEEP);
        }
        let (peak, now) = (inner.tasks.take_peak(), inner.tasks.len());
        if inner.tide.borrow_mut().look(peak, now) {
            heap::return_freed();
        }
    }
}

/// A timer of one task, moved from deadline to deadline as the task goes on.
pub struct Timer {
    shard: Shard,
    key: Key,
    deadline: Cell<u64>,
}

impl Timer {
    /// An unset timer for the task that is running.
    #[must_use]
    pub fn new(shard: &Shard) -> Timer {
        let token = shard.current_task().to_u64();
        Timer {
            shard: shard.clone(),
            key: shard.0.timers.borrow_mut().insert(token),
            deadline: Cell::new(NEVER),
        }
    }

    /// Sets the time at which the task is woken; [`NEVER`] unsets it.
    pub fn set(&self, deadline: u64) {
        self.deadline.set(deadline);
        self.shard.0.timers.borrow_mut().set(self.key, deadline);
    }

    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.deadline.get() == NEVER
    }

    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.shard.now() >= self.deadline.get()
    }

    /// Ready once the deadline has passed. The wheel wakes the task then.
    pub fn poll_expired(&self) -> Poll<()> {
        if self.is_expired() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shard.0.timers.borrow_mut().remove(self.key);
    }
}
