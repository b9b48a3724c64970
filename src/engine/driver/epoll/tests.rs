//! The driver over loopback sockets, against peers of the standard library.

mod transfer;
mod turns;

use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;
use crate::engine::tx::Segment;

const OPTIONS: ListenOptions = ListenOptions {
    backlog: 128,
    reuse_port: false,
    no_delay: true,
};

struct Bench {
    driver: Epoll,
    bufs: Rc<BufPool>,
    seen: Vec<Completion>,
    ops: u32,
}

impl Bench {
    fn new(buffers: u16) -> Bench {
        Bench {
            driver: Epoll::new(64).unwrap(),
            bufs: BufPool::new(buffers, 4096).unwrap(),
            seen: Vec::new(),
            ops: 0,
        }
    }

    fn op(&mut self) -> Key {
        self.ops += 1;
        Key {
            index: self.ops % 7,
            generation: self.ops,
        }
    }

    fn turn(&mut self, wait: Wait) -> Vec<Completion> {
        let mut out = Vec::new();
        self.driver.turn(wait, &self.bufs, &mut out).unwrap();
        assert!(out.len() <= BATCH + 2);
        out
    }

    /// The next completion of any operation.
    fn next(&mut self) -> Completion {
        let end = Instant::now() + Duration::from_secs(20);
        while self.seen.is_empty() {
            assert!(Instant::now() < end, "no completion came");
            let until = self.driver.now() + 100_000_000;
            self.seen = self.turn(Wait::Until(until));
        }
        self.seen.remove(0)
    }

    /// The next completion, which must be the final one of `op`.
    fn last(&mut self, op: Key) -> i32 {
        let completion = self.next();
        assert_eq!((completion.op, completion.more), (op, false));
        assert_eq!(completion.buf, None);
        completion.result
    }

    fn nothing_comes(&mut self) {
        assert_eq!(self.seen, []);
        for _ in 0..3 {
            let until = self.driver.now() + 3_000_000;
            assert_eq!(self.turn(Wait::Until(until)), []);
        }
    }

    fn bytes(&mut self, completion: Completion) -> Vec<u8> {
        let buf = completion.buf.expect("received bytes come in a buffer");
        let len = u32::try_from(completion.result).unwrap();
        self.bufs.adopt(buf, len).to_vec()
    }

    /// A socket of the driver and its peer outside.
    fn pair(&mut self) -> (Fd, TcpStream) {
        let (listener, addr) = self
            .driver
            .listen("127.0.0.1:0".parse().unwrap(), OPTIONS)
            .unwrap();
        let op = self.op();
        self.driver.accept(op, listener);
        let peer = TcpStream::connect(addr).unwrap();
        let accepted = self.next();
        assert!(accepted.more && accepted.op == op && accepted.result >= 0);
        self.driver.cancel(op);
        assert_eq!(self.last(op), -libc::ECANCELED);
        self.driver.close(listener);
        (Fd(accepted.result), peer)
    }
}

fn job(segments: &[&'static [u8]]) -> Box<TxJob> {
    let mut job = TxJob::new();
    for segment in segments {
        job.push(Segment::Static(segment));
    }
    job
}

/// Bytes that tell their place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + (n >> 8)) as u8).collect()
}

/// Closes with a reset instead of an end of stream.
fn reset(peer: TcpStream) {
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
