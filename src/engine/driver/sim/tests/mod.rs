//! Operations by hand: what a world of two processes does, without an engine.

mod behaviour;
mod faulty;
mod rules;

use std::pin::Pin;

use super::*;
use crate::engine::tx::Segment;

/// One driver with its buffers, and what it was told.
struct Host {
    driver: SimDriver,
    pool: Rc<BufPool>,
    told: Vec<Completion>,
    /// Received bytes, by operation.
    received: Vec<(Key, Vec<u8>)>,
}

/// One or more hosts; the first is the proxy.
struct World {
    net: SimNetwork,
    hosts: Vec<Host>,
    keys: u32,
    /// Where the drivers were told they are.
    jobs: Vec<Pin<Box<TxJob>>>,
}

const PROXY: usize = 0;
const PEER: usize = 1;

fn server() -> SocketAddr {
    "192.0.2.1:80".parse().unwrap()
}

const LISTEN: ListenOptions = ListenOptions {
    backlog: 16,
    reuse_port: true,
    no_delay: true,
};

impl World {
    fn new(seed: u64, faults: Faults) -> World {
        let net = SimNetwork::new(seed, faults);
        let hosts = [Role::Proxy, Role::Peer]
            .map(|role| Host {
                driver: net.driver(role),
                pool: BufPool::new(64, 4096).unwrap(),
                told: Vec::new(),
                received: Vec::new(),
            })
            .into();
        World {
            net,
            hosts,
            keys: 0,
            jobs: Vec::new(),
        }
    }

    fn key(&mut self) -> Key {
        self.keys += 1;
        Key {
            index: self.keys,
            generation: 1,
        }
    }

    fn driver(&mut self, host: usize) -> &mut SimDriver {
        &mut self.hosts[host].driver
    }

    fn turn(&mut self, host: usize) -> usize {
        let host = &mut self.hosts[host];
        let mut out = Vec::new();
        host.driver.turn(Wait::Poll, &host.pool, &mut out).unwrap();
        for completion in &out {
            if let Some(id) = completion.buf {
                let bytes = host.pool.adopt(id, completion.result as u32).to_vec();
                host.received.push((completion.op, bytes));
            }
        }
        host.told.extend_from_slice(&out);
        out.len()
    }

    /// Runs until nothing is ready and nothing is to come before `time`.
    fn run_until(&mut self, time: u64) {
        loop {
            for host in 0..self.hosts.len() {
                self.turn(host);
            }
            if self.hosts.iter().any(|host| host.driver.ready()) {
                continue;
            }
            match self.net.next_event() {
                Some(at) if at <= time => self.net.advance_to(at),
                _ => break,
            }
        }
    }

    fn run(&mut self) {
        let time = self.net.now() + 10_000_000_000;
        self.run_until(time);
    }

    fn listen(&mut self, host: usize, addr: SocketAddr) -> (Fd, Key) {
        let (fd, _) = self.driver(host).listen(addr, LISTEN).unwrap();
        let op = self.key();
        self.driver(host).accept(op, fd);
        (fd, op)
    }

    fn connect(&mut self, host: usize, remote: SocketAddr) -> (Fd, Key) {
        let fd = self.driver(host).socket(&remote, true).unwrap();
        let op = self.key();
        self.driver(host).connect(op, fd, &remote);
        (fd, op)
    }

    fn send(&mut self, host: usize, fd: Fd, bytes: &[u8]) -> Key {
        let op = self.key();
        let mut job = TxJob::new();
        job.push(Segment::Owned(bytes.to_vec()));
        self.driver(host).send(op, fd, &mut job);
        self.jobs.push(Box::into_pin(job));
        op
    }

    fn recv(&mut self, host: usize, fd: Fd, multishot: bool) -> Key {
        let op = self.key();
        self.driver(host).recv(op, fd, multishot);
        op
    }

    /// The results told of an operation, in order.
    fn results(&self, host: usize, op: Key) -> Vec<i32> {
        let told = self.hosts[host].told.iter();
        told.filter(|completion| completion.op == op)
            .map(|completion| completion.result)
            .collect()
    }

    /// The final result of an operation.
    fn ended(&self, host: usize, op: Key) -> Option<i32> {
        let mut told = self.hosts[host].told.iter();
        told.find(|completion| completion.op == op && !completion.more)
            .map(|completion| completion.result)
    }

    fn received(&self, host: usize, op: Key) -> Vec<u8> {
        let received = self.hosts[host].received.iter();
        received
            .filter(|(of, _)| *of == op)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect()
    }

    /// A connection that the proxy made to the peer: the two sockets.
    fn pair(&mut self) -> (Fd, Fd) {
        let (_, accept) = self.listen(PEER, server());
        let (client, connect) = self.connect(PROXY, server());
        self.run();
        assert_eq!(self.ended(PROXY, connect), Some(0));
        (client, Fd(self.results(PEER, accept)[0]))
    }

    /// Sends all of `bytes`, as often as it takes.
    fn send_all(&mut self, host: usize, fd: Fd, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            let op = self.send(host, fd, &bytes[sent..]);
            self.run();
            let result = self.ended(host, op).expect("the other side reads");
            assert!(result > 0, "send gave {result}");
            sent += result as usize;
        }
    }
}
