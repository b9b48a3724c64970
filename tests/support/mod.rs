//! What the whole-process tests share: the real binary under a temporary configuration, backends
//! and clients that speak bytes, and patience that polls instead of sleeping.
//!
//! Nothing here uses an HTTP library: a test says what goes over the wire, byte by byte, and reads
//! what comes back with a parser stricter than the one under test.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(unused_imports, reason = "the same")]

pub mod backend;
pub mod client;
pub mod proxy;
pub mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use backend::Backend;
pub use client::Client;
pub use proxy::{Driver, Proxy, Setup};
pub use wire::{Request, Response, Wire};

/// How long anything may take on a loaded machine before a test calls it a hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every named test function under each driver.
#[macro_export]
macro_rules! both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name($crate::support::Driver::Uring) })+
        }
        mod epoll {
            $(#[test] fn $name() { super::$name($crate::support::Driver::Epoll) })+
        }
    };
}

/// Waits until `done` says so.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port of 127.0.0.1 that was free just now, from below the range that the kernel gives to
/// outgoing connections, so that none of those takes it before it is used.
pub fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let start = std::process::id() as usize * 97;
    for _ in 0..20_000 {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(port).expect("below 30000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// `len` bytes that repeat with a period that fits no buffer size.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(pattern_at).collect()
}

/// The byte of [`pattern`] at `at`.
pub fn pattern_at(at: usize) -> u8 {
    u8::try_from((at % 251) ^ ((at / 65_521) % 256)).expect("a byte")
}

/// Compares long bodies without printing them.
pub fn assert_same(got: &[u8], wanted: &[u8], what: &str) {
    if got != wanted {
        let at = got.iter().zip(wanted).position(|(a, b)| a != b);
        panic!(
            "{what}: {} bytes, wanted {}; first difference at {at:?}",
            got.len(),
            wanted.len()
        );
    }
}

/// FNV-1a over a stream, for bodies too large to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum(u64);

impl Default for Sum {
    fn default() -> Sum {
        Sum(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        // Word by word: this must not be what limits a test's throughput.
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            self.0 = (self.0 ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(5);
        }
        assert!(chunks.remainder().is_empty(), "add whole words");
    }
}
