//! A bare io_uring byte relay: the floor every proxy is compared with.
//!
//! It knows nothing of HTTP. Each client connection gets a backend connection of its own, opened
//! at accept; whatever one side sends goes to the other, and when either side ends, both close.
//! Received bytes are sent from the buffer they arrived in.
//!
//! Usage: peer-relay LISTEN UPSTREAM [--plain] [--coop] [--eager]
//!
//! The flags switch off, one by one, what makes it cheap, so that each can be measured:
//! `--plain` uses ordinary descriptors, `--coop` COOP_TASKRUN instead of DEFER_TASKRUN, and
//! `--eager` returns from the kernel as soon as our own sends are done, with nothing new to do.
mod buffers;

use std::io;
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::AsRawFd;

use buffers::{Buffers, GROUP, NONE};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode};

const SQ_ENTRIES: u32 = 1024;
/// Buffers sent at once, at most.
const GATHER: usize = 16;
/// A reader stops when its peer has this many buffers still to send, and goes on below half.
const QUEUE_LIMIT: u32 = 64;

/// What completed: the upper half of `user_data`; the lower half is the socket's index.
mod op {
    pub const IGNORED: u32 = 0;
    pub const ACCEPT: u32 = 1;
    pub const SOCKET: u32 = 2;
    pub const CONNECT: u32 = 3;
    pub const RECV: u32 = 4;
    pub const SEND: u32 = 5;
}

fn user_data(op: u32, sock: u32) -> u64 {
    u64::from(op) << 32 | u64::from(sock)
}

/// The arguments of a vectored send, needed until it is submitted.
#[derive(Clone, Copy)]
struct Message {
    header: libc::msghdr,
    parts: [libc::iovec; GATHER],
}

/// Sockets come in pairs: the client at an even index, its backend at the next.
#[derive(Clone, Default)]
struct Sock {
    fd: i32,
    /// Operations whose completion is still to come; the pair is freed at zero.
    refs: u32,
    /// Buffers to be sent to this socket, chained through `Buffers`.
    head: u32,
    tail: u32,
    queued: u32,
    /// Bytes being sent; zero when no send is under way.
    in_flight: u32,
    dirty: bool,
    receiving: bool,
    pausing: bool,
    ended: bool,
    /// Set for both of a pair once it is being closed.
    closing: bool,
}

#[derive(Clone, Copy)]
struct Options {
    direct: bool,
    defer: bool,
    eager: bool,
}

struct Relay<'a> {
    options: Options,
    submitter: Submitter<'a>,
    sq: SubmissionQueue<'a>,
    buffers: Buffers,
    socks: Vec<Sock>,
    /// Even indices of free pairs.
    free: Vec<u32>,
    /// Sockets whose receive ended for want of a buffer.
    starved: Vec<u32>,
    /// Sockets with something to send and no send under way.
    dirty: Vec<u32>,
    /// As many as there can be entries not yet submitted, used in turn.
    messages: Vec<Message>,
    message: usize,
    /// Sends that complete within the coming `io_uring_enter`, whatever happens.
    inline_sends: usize,
    listener: i32,
    accepting: bool,
    upstream: libc::sockaddr_in,
}

impl Relay<'_> {
    fn run(&mut self, cq: &mut io_uring::CompletionQueue<'_>) -> io::Result<()> {
        self.accept();
        loop {
            self.buffers.post();
            while self.buffers.available() {
                let Some(i) = self.starved.pop() else { break };
                self.receive(i);
            }
            // Only now, so that what came in several buffers leaves in one send.
            while let Some(i) = self.dirty.pop() {
                self.socks[i as usize].dirty = false;
                self.send(i, true);
            }
            self.sq.sync();
            // Our sends never block, so their completions are certain: wait for one more.
            let want = if self.options.eager {
                1
            } else {
                self.inline_sends + 1
            };
            self.inline_sends = 0;
            match self.submitter.submit_and_wait(want) {
                Err(e) if !matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {
                    return Err(e);
                }
                _ => {}
            }
            self.sq.sync();
            cq.sync();
            for cqe in &mut *cq {
                self.complete(&cqe);
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        // SAFETY: buffers, addresses and descriptors named by entries outlive them.
        while unsafe { self.sq.push(&entry) }.is_err() {
            self.sq.sync();
            let _ = self.submitter.submit();
            self.sq.sync();
        }
    }

    /// Queues an operation on a socket, whose completion will be seen.
    fn start(&mut self, op: u32, i: u32, entry: Entry) {
        self.socks[i as usize].refs += 1;
        self.push(self.on(entry).user_data(user_data(op, i)));
    }

    fn on(&self, entry: Entry) -> Entry {
        if self.options.direct {
            entry.flags(Flags::FIXED_FILE)
        } else {
            entry
        }
    }

    fn complete(&mut self, cqe: &cqueue::Entry) {
        let (data, result, flags) = (cqe.user_data(), cqe.result(), cqe.flags());
        let (what, i) = ((data >> 32) as u32, data as u32);
        match what {
            op::ACCEPT => return self.accepted(result, cqueue::more(flags)),
            op::IGNORED => return,
            op::RECV if cqueue::more(flags) => {}
            _ => self.socks[i as usize].refs -= 1,
        }
        match what {
            op::SOCKET => self.opened(i, result),
            op::CONNECT => self.connected(i, result),
            op::RECV => self.received(i, result, flags),
            op::SEND => self.sent(i, result),
            _ => unreachable!("unknown operation {what}"),
        }
        self.free_if_done(i & !1);
    }

    // Opening.

    fn accept(&mut self) {
        let accept = opcode::AcceptMulti::new(Fd(self.listener))
            .allocate_file_index(self.options.direct)
            .build()
            .user_data(user_data(op::ACCEPT, 0));
        self.push(accept);
        self.accepting = true;
    }

    fn accepted(&mut self, result: i32, more: bool) {
        self.accepting = more;
        if result < 0 {
            // Most likely out of descriptors: accept again when a pair has closed.
            eprintln!("accept: {}", io::Error::from_raw_os_error(-result));
            return;
        }
        let client = self.free.pop().unwrap_or_else(|| {
            let i = self.socks.len() as u32;
            self.socks.extend([Sock::default(), Sock::default()]);
            i
        });
        let fresh = Sock {
            fd: -1,
            head: NONE,
            tail: NONE,
            ..Sock::default()
        };
        self.socks[client as usize] = Sock {
            fd: result,
            ..fresh.clone()
        };
        self.socks[client as usize + 1] = fresh;
        let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0);
        let socket = if self.options.direct {
            socket.file_index(Some(DestinationSlot::auto_target()))
        } else {
            socket
        };
        self.socks[client as usize + 1].refs += 1;
        self.push(socket.build().user_data(user_data(op::SOCKET, client + 1)));
        if !more {
            self.accept();
        }
    }

    fn opened(&mut self, i: u32, result: i32) {
        if result < 0 {
            eprintln!("socket: {}", io::Error::from_raw_os_error(-result));
            return self.close(i);
        }
        self.socks[i as usize].fd = result;
        if self.socks[i as usize].closing {
            return;
        }
        const ON: &libc::c_int = &1;
        let nodelay = opcode::SetSockOpt::new(
            Fd(result),
            libc::IPPROTO_TCP as u32,
            libc::TCP_NODELAY as u32,
            std::ptr::from_ref(ON).cast(),
            size_of::<libc::c_int>() as u32,
        );
        self.push(self.on(nodelay.build()).flags(Flags::SKIP_SUCCESS));
        let address = (&raw const self.upstream).cast();
        let length = size_of::<libc::sockaddr_in>() as u32;
        self.start(
            op::CONNECT,
            i,
            opcode::Connect::new(Fd(result), address, length).build(),
        );
    }

    fn connected(&mut self, i: u32, result: i32) {
        if self.socks[i as usize].closing {
            return;
        }
        if result < 0 {
            eprintln!("connect: {}", io::Error::from_raw_os_error(-result));
            return self.close(i);
        }
        self.receive(i ^ 1);
        self.receive(i);
    }

    // Relaying.

    fn receive(&mut self, i: u32) {
        let sock = &mut self.socks[i as usize];
        if sock.receiving || sock.ended || sock.closing {
            return;
        }
        sock.receiving = true;
        let recv = opcode::RecvMulti::new(Fd(sock.fd), GROUP).build();
        self.start(op::RECV, i, recv);
    }

    fn received(&mut self, i: u32, result: i32, flags: u32) {
        let sock = &mut self.socks[i as usize];
        if !cqueue::more(flags) {
            sock.receiving = false;
            sock.pausing = false;
        }
        let (receiving, closing) = (sock.receiving, sock.closing);
        let buffer = cqueue::buffer_select(flags).map(|id| self.buffers.take(id));
        match (buffer, result) {
            (Some(b), 1..) if !closing => {
                self.buffers.fill(b, result as u32);
                self.enqueue(i ^ 1, b);
                if !receiving && self.socks[i as usize ^ 1].queued < QUEUE_LIMIT {
                    self.receive(i);
                }
                return;
            }
            (Some(b), _) => self.buffers.recycle(b),
            (None, _) => {}
        }
        if closing {
            return;
        }
        match -result {
            libc::ENOBUFS => {
                self.buffers.want_more();
                self.starved.push(i);
            }
            libc::ECANCELED => {
                if self.socks[i as usize ^ 1].queued < QUEUE_LIMIT {
                    self.receive(i);
                }
            }
            _ => {
                self.socks[i as usize].ended = true;
                if self.socks[i as usize ^ 1].head == NONE {
                    self.close(i);
                }
            }
        }
    }

    /// Appends a buffer to what is to be sent to a socket.
    fn enqueue(&mut self, i: u32, b: u32) {
        let sock = &mut self.socks[i as usize];
        if sock.head == NONE {
            sock.head = b;
        } else {
            self.buffers.chain(sock.tail, b);
        }
        sock.tail = b;
        sock.queued += 1;
        let full = sock.queued >= QUEUE_LIMIT;
        if sock.in_flight == 0 {
            self.soil(i);
        }
        let reader = &mut self.socks[i as usize ^ 1];
        if full && reader.receiving && !reader.pausing {
            reader.pausing = true;
            self.cancel(op::RECV, i ^ 1);
        }
    }

    fn soil(&mut self, i: u32) {
        if !std::mem::replace(&mut self.socks[i as usize].dirty, true) {
            self.dirty.push(i);
        }
    }

    /// Sends what a socket's queue holds: at once or not at all when `inline`.
    fn send(&mut self, i: u32, inline: bool) {
        let Sock {
            fd, head, closing, ..
        } = self.socks[i as usize];
        if closing || head == NONE {
            return;
        }
        let how = if inline {
            libc::MSG_DONTWAIT
        } else {
            libc::MSG_WAITALL
        };
        let flags = libc::MSG_NOSIGNAL | how;
        let (entry, length) = if self.buffers.next(head) == NONE {
            let (data, length) = self.buffers.rest(head);
            (
                opcode::Send::new(Fd(fd), data, length).flags(flags).build(),
                length,
            )
        } else {
            let (message, length) = self.gather(head);
            (
                opcode::SendMsg::new(Fd(fd), message)
                    .flags(flags as u32)
                    .build(),
                length,
            )
        };
        self.socks[i as usize].in_flight = length;
        self.inline_sends += usize::from(inline);
        self.start(op::SEND, i, entry);
    }

    /// A message of the first buffers of a queue, and its length.
    fn gather(&mut self, head: u32) -> (*const libc::msghdr, u32) {
        self.message = (self.message + 1) % self.messages.len();
        let message = &mut self.messages[self.message];
        let (mut b, mut count, mut total) = (head, 0, 0);
        while b != NONE && count < GATHER {
            let (data, length) = self.buffers.rest(b);
            let part = libc::iovec {
                iov_base: data.cast_mut().cast(),
                iov_len: length as usize,
            };
            message.parts[count] = part;
            count += 1;
            total += length;
            b = self.buffers.next(b);
        }
        message.header.msg_iov = message.parts.as_mut_ptr();
        message.header.msg_iovlen = count;
        (&raw const message.header, total)
    }

    fn sent(&mut self, i: u32, result: i32) {
        let sock = &mut self.socks[i as usize];
        let wanted = std::mem::take(&mut sock.in_flight);
        if sock.closing {
            return;
        }
        if result == -libc::EAGAIN {
            return self.send(i, false);
        }
        if result <= 0 {
            return self.close(i);
        }
        let mut left = result as u32;
        while left > 0 {
            let b = sock.head;
            let (_, length) = self.buffers.rest(b);
            if left < length {
                self.buffers.advance(b, left);
                break;
            }
            left -= length;
            sock.head = self.buffers.next(b);
            sock.queued -= 1;
            self.buffers.recycle(b);
        }
        let (more, low) = (sock.head != NONE, sock.queued < QUEUE_LIMIT / 2);
        if (result as u32) < wanted {
            self.send(i, false);
        } else if more {
            self.soil(i);
        }
        let reader = &self.socks[i as usize ^ 1];
        if reader.ended && !more {
            self.close(i);
        } else if low && !reader.receiving {
            self.receive(i ^ 1);
        }
    }

    // Closing.

    fn close(&mut self, i: u32) {
        let pair = [i & !1, i | 1];
        if self.socks[i as usize].closing {
            return;
        }
        for i in pair {
            let sock = &mut self.socks[i as usize];
            sock.closing = true;
            // Not IORING_OP_SHUTDOWN: it always runs on a worker thread, which is slow, and looks
            // its direct descriptor up only there, when the slot may be another connection's.
            let (receiving, sending) = (sock.receiving, sock.in_flight > 0);
            if receiving {
                self.cancel(op::RECV, i);
            }
            if sending {
                self.cancel(op::SEND, i);
            }
            if !receiving && !sending && self.socks[i as usize].refs > 0 {
                self.cancel(op::CONNECT, i);
            }
        }
    }

    fn cancel(&mut self, op: u32, i: u32) {
        let cancel = opcode::AsyncCancel::new(user_data(op, i)).build();
        self.push(cancel.flags(Flags::SKIP_SUCCESS));
    }

    /// Frees a closing pair none of whose operations is under way.
    fn free_if_done(&mut self, client: u32) {
        let pair = [client, client + 1];
        let ready = |i: &u32| self.socks[*i as usize].closing && self.socks[*i as usize].refs == 0;
        if !pair.iter().all(ready) {
            return;
        }
        self.starved.retain(|i| i & !1 != client);
        self.dirty.retain(|i| i & !1 != client);
        for i in pair {
            let sock = std::mem::take(&mut self.socks[i as usize]);
            let mut b = sock.head;
            while b != NONE {
                let next = self.buffers.next(b);
                self.buffers.recycle(b);
                b = next;
            }
            if sock.fd >= 0 {
                let close = if self.options.direct {
                    opcode::Close::new(Fixed(sock.fd as u32)).build()
                } else {
                    opcode::Close::new(Fd(sock.fd)).build()
                };
                self.push(close.flags(Flags::SKIP_SUCCESS));
            }
        }
        self.free.push(client);
        if !self.accepting {
            self.accept();
        }
    }
}

fn descriptor_limit() -> io::Result<u32> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur.min(32_768) as u32)
}

fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let on: libc::c_int = 1;
    // SAFETY: `on` is valid for the call; accepted sockets inherit TCP_NODELAY.
    unsafe {
        let fd = listener.as_raw_fd();
        let size = size_of::<libc::c_int>() as u32;
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size,
        );
        // std's backlog is short for thousands of connections at once.
        libc::listen(fd, 4096);
    }
    Ok(listener)
}

fn build_ring(options: Options) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_submit_all()
        .setup_cqsize(4 * SQ_ENTRIES);
    if options.defer {
        builder.setup_defer_taskrun();
    } else {
        builder.setup_coop_taskrun();
    }
    builder.setup_no_sqarray();
    builder.build(SQ_ENTRIES)
}

fn main() -> io::Result<()> {
    let (flags, names): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let given = |flag: &str| flags.iter().any(|f| f == flag);
    let parsed: Vec<SocketAddrV4> = names.iter().filter_map(|a| a.parse().ok()).collect();
    let [address, upstream] = parsed[..] else {
        eprintln!("usage: peer-relay LISTEN UPSTREAM [--plain] [--coop] [--eager]");
        std::process::exit(2);
    };
    let options = Options {
        direct: !given("--plain"),
        defer: !given("--coop"),
        eager: given("--eager"),
    };

    let listener = listen(address)?;
    let mut ring = build_ring(options)?;
    let files = descriptor_limit()?;
    let (mut submitter, sq, mut cq) = ring.split();
    submitter.register_ring_fd()?;
    if options.direct {
        submitter.register_files_sparse(files)?;
    }
    // SAFETY: all zeroes are a valid message: one without parts.
    let empty: Message = unsafe { std::mem::zeroed() };
    let mut relay = Relay {
        options,
        buffers: Buffers::register(&submitter)?,
        submitter,
        sq,
        socks: Vec::new(),
        free: Vec::new(),
        starved: Vec::new(),
        dirty: Vec::new(),
        messages: vec![empty; SQ_ENTRIES as usize],
        message: 0,
        inline_sends: 0,
        listener: listener.as_raw_fd(),
        accepting: false,
        upstream: libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: upstream.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from(*upstream.ip()).to_be(),
            },
            sin_zero: [0; 8],
        },
    };
    relay.run(&mut cq)
}
