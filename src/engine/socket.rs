//! Sockets and listeners, as tasks see them.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::task::Poll;

use socket2::SockRef;

use super::buf::Buf;
use super::driver::{Fd, ListenOptions, kernel};
use super::io::{Connect, READ, WRITE};
use super::shard::Shard;
use super::slab::Key;
use super::tx::Segment;

/// A stream socket. Dropping it aborts: what is in flight is cancelled, unsent bytes are lost, and
/// the descriptor closes with the last completion.
pub struct Socket {
    shard: Shard,
    key: Key,
}

impl Socket {
    /// Starts a connection; [`Socket::poll_connected`] tells how it went.
    ///
    /// # Errors
    /// When no socket can be made (out of descriptors).
    pub fn connect(shard: &Shard, remote: &SocketAddr, no_delay: bool) -> io::Result<Socket> {
        let mut io = shard.io();
        let fd = io.driver.socket(remote, no_delay)?;
        let key = io.add(fd, Connect::Pending);
        io.start_connect(key, remote);
        drop(io);
        Ok(Socket {
            shard: shard.clone(),
            key,
        })
    }

    /// Takes over a connected descriptor (accepted here, or handed over by another shard).
    #[must_use]
    pub fn adopt(shard: &Shard, fd: Fd) -> Socket {
        let key = shard.io().add(fd, Connect::Done);
        Socket {
            shard: shard.clone(),
            key,
        }
    }

    /// Gives up the descriptor, if nothing was begun on it.
    ///
    /// # Errors
    /// Gives the socket back when an operation is in flight.
    pub fn into_fd(self) -> Result<Fd, Socket> {
        let released = self.shard.io().release_fd(self.key);
        match released {
            Some(fd) => {
                // The entry is gone, so the destructor finds nothing to close.
                drop(self);
                Ok(fd)
            }
            None => Err(self),
        }
    }

    /// A word that names this socket while it lives.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Ready when the connection stands or has failed.
    pub fn poll_connected(&self) -> Poll<io::Result<()>> {
        let mut io = self.shard.io();
        let Some(sock) = io.socks.get_mut(self.key) else {
            return Poll::Ready(Err(gone()));
        };
        match sock.connect {
            Connect::Done => Poll::Ready(Ok(())),
            Connect::Failed(errno) => Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
            Connect::Pending => {
                sock.interest |= READ;
                sock.task = self.shard.current_task();
                Poll::Pending
            }
        }
    }

    /// The next received bytes; `None` at the end of the stream. While it is pending a receive is
    /// in flight, so the peer's close is seen too.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Buf>>> {
        let mut io = self.shard.io();
        if let Some(buf) = io.pop_rx(self.key) {
            return Poll::Ready(Ok(Some(buf)));
        }
        let Some(sock) = io.socks.get_mut(self.key) else {
            return Poll::Ready(Err(gone()));
        };
        if sock.rx_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(sock.rx_error)));
        }
        if sock.eof {
            return Poll::Ready(Ok(None));
        }
        sock.interest |= READ;
        sock.task = self.shard.current_task();
        io.arm_recv(self.key);
        Poll::Pending
    }

    /// See [`Socket::poll_recv`].
    ///
    /// # Errors
    /// What the receive said: the peer reset the connection, say.
    pub async fn recv(&self) -> io::Result<Option<Buf>> {
        poll_fn(|_| self.poll_recv()).await
    }

    /// Whether the peer has gone: ready once the stream ended or broke and all its bytes were
    /// taken. Bytes that wait unread leave it pending, without arming another receive.
    pub fn poll_closed(&self) -> Poll<()> {
        let mut io = self.shard.io();
        let Some(sock) = io.socks.get_mut(self.key) else {
            return Poll::Ready(());
        };
        if sock.rx_error != 0 || (sock.eof && sock.unread == 0) {
            return Poll::Ready(());
        }
        sock.interest |= READ;
        sock.task = self.shard.current_task();
        if sock.unread == 0 {
            io.arm_recv(self.key);
        }
        Poll::Pending
    }

    /// Ready once the stream has ended or broken, even if bytes of it wait unread. It arms no
    /// receive when some do.
    pub fn poll_ended(&self) -> Poll<()> {
        let mut io = self.shard.io();
        let Some(sock) = io.socks.get_mut(self.key) else {
            return Poll::Ready(());
        };
        if sock.rx_error != 0 || sock.eof {
            return Poll::Ready(());
        }
        sock.interest |= READ;
        sock.task = self.shard.current_task();
        if sock.unread == 0 {
            io.arm_recv(self.key);
        }
        Poll::Pending
    }

    /// Arms a receive and has `task` woken by whatever it brings.
    pub fn watch(&self, task: Key) {
        let mut io = self.shard.io();
        if let Some(sock) = io.socks.get_mut(self.key) {
            sock.interest = READ;
            sock.task = task;
        }
        io.arm_recv(self.key);
    }

    /// Whether nothing came and nothing ended since the last receive: a pooled connection in this
    /// state can be used again.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let io = self.shard.io();
        io.socks.get(self.key).is_some_and(|sock| {
            sock.unread == 0 && !sock.eof && sock.rx_error == 0 && sock.tx_error == 0
        })
    }

    /// Holds receiving back, or lets it go on: what the kernel has received stays in the kernel.
    pub fn hold_recv(&self, hold: bool) {
        self.shard.io().hold_recv(self.key, hold);
    }

    /// Whether nothing is being received and nothing received waits unread.
    #[must_use]
    pub fn recv_rests(&self) -> bool {
        self.shard.io().recv_rests(self.key)
    }

    /// Whether each receive takes one buffer and no more until the next is asked for: for peers
    /// that are expected to send much, which a multishot receive would pile up here.
    pub fn receive_singly(&self, singly: bool) {
        self.shard.io().receive_singly(self.key, singly);
    }

    /// [`Socket::receive_singly`] at once: a receive in flight of the other kind is ended.
    pub fn switch_receiving(&self, singly: bool) {
        let mut io = self.shard.io();
        io.receive_singly(self.key, singly);
        if singly {
            io.hold_recv(self.key, true);
            io.hold_recv(self.key, false);
        }
    }

    /// Queues bytes; they leave at the end of the turn, in order, with whatever else was written.
    pub fn write(&self, segment: Segment) {
        self.shard.io().write(self.key, segment);
    }

    /// Bytes written that the kernel has not taken yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let io = self.shard.io();
        io.socks
            .get(self.key)
            .map_or(0, |sock| sock.unsent as usize)
    }

    /// Ready when at most `limit` written bytes wait, or sending has failed.
    pub fn poll_unsent(&self, limit: usize) -> Poll<io::Result<()>> {
        let mut io = self.shard.io();
        let Some(sock) = io.socks.get_mut(self.key) else {
            return Poll::Ready(Err(gone()));
        };
        if sock.tx_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(sock.tx_error)));
        }
        if sock.unsent as usize <= limit {
            return Poll::Ready(Ok(()));
        }
        sock.interest |= WRITE;
        sock.task = self.shard.current_task();
        Poll::Pending
    }

    /// The error that sending met, if it met one.
    #[must_use]
    pub fn send_error(&self) -> Option<io::Error> {
        let io = self.shard.io();
        let sock = io.socks.get(self.key)?;
        (sock.tx_error != 0).then(|| io::Error::from_raw_os_error(sock.tx_error))
    }

    /// Ends our side of the stream. What was written must have been taken before.
    pub fn shutdown_write(&self) {
        let mut io = self.shard.io();
        if let Some(fd) = io.socks.get(self.key).map(|sock| sock.fd) {
            io.driver.shutdown_write(fd);
        }
    }

    /// Makes the drop of this socket a reset, so that the peer does not take the end of the stream
    /// for the end of the message.
    pub fn reset_on_drop(&self) {
        let mut io = self.shard.io();
        if let Some(fd) = io.socks.get(self.key).map(|sock| sock.fd) {
            io.driver.reset_on_close(fd);
        }
    }

    /// # Errors
    /// When the peer is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let io = self.shard.io();
        let sock = io.socks.get(self.key).ok_or_else(gone)?;
        io.driver.peer_addr(sock.fd)
    }

    /// # Errors
    /// When the connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let io = self.shard.io();
        let sock = io.socks.get(self.key).ok_or_else(gone)?;
        io.driver.local_addr(sock.fd)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shard.io().orphan(self.key);
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

/// A listening socket that no shard accepts from yet. Whoever changes what is listened on makes all of
/// these first: what is wrong with an address is then known before anything has changed.
pub struct Bound {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// Listens on `addr`; connections wait until a shard accepts them.
    ///
    /// # Errors
    /// What the kernel says: the port is in use, the address is not ours, no permission.
    pub fn listen(addr: SocketAddr, options: ListenOptions) -> io::Result<Bound> {
        let (socket, addr) = kernel::listen(addr, options)?;
        let socket = socket.into();
        Ok(Bound { socket, addr })
    }

    /// The address that it got (the port, when 0 was asked for).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Another handle on the same socket, which is closed with the last of them.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn try_clone(&self) -> io::Result<Bound> {
        let socket = self.socket.try_clone()?;
        Ok(Bound {
            socket,
            addr: self.addr,
        })
    }

    /// Changes the options but `reuse_port`, for connections that come from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn configure(&self, options: ListenOptions) -> io::Result<()> {
        kernel::configure_listener(&SockRef::from(&self.socket), options)
    }
}

/// A listening socket. Dropping it stops accepting and closes what was accepted and not taken.
pub struct Listener {
    shard: Shard,
    key: Key,
    addr: SocketAddr,
}

impl Listener {
    /// Listens on `addr` and accepts at once.
    ///
    /// # Errors
    /// What the kernel says: the port is in use, the address is not ours, no permission.
    pub fn bind(shard: &Shard, addr: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
        let mut io = shard.io();
        let (fd, addr) = io.driver.listen(addr, options)?;
        let key = io.listen(fd);
        drop(io);
        Ok(Listener {
            shard: shard.clone(),
            key,
            addr,
        })
    }

    /// Accepts on a socket that listens already.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn adopt(shard: &Shard, bound: Bound) -> io::Result<Listener> {
        let mut io = shard.io();
        let fd = io.driver.adopt_listener(bound.socket)?;
        let key = io.listen(fd);
        drop(io);
        Ok(Listener {
            shard: shard.clone(),
            key,
            addr: bound.addr,
        })
    }

    /// The address that it got (the port, when 0 was asked for).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. After an error ([`Listener::resume`] allowing) it goes on accepting.
    ///
    /// # Errors
    /// What accepting said: out of descriptors, mostly.
    pub fn poll_accept(&self) -> Poll<io::Result<Fd>> {
        let mut io = self.shard.io();
        let Some(listener) = io.listeners.get_mut(self.key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(fd) = listener.accepted.pop_front() {
            return Poll::Ready(Ok(fd));
        }
        if listener.error != 0 {
            let error = io::Error::from_raw_os_error(listener.error);
            listener.error = 0;
            return Poll::Ready(Err(error));
        }
        listener.task = self.shard.current_task();
        Poll::Pending
    }

    /// Pauses accepting: new connections wait in the kernel's backlog.
    pub fn pause(&self) {
        self.shard.io().pause_accept(self.key);
    }

    /// Accepts again, after a pause or an error.
    pub fn resume(&self) {
        self.shard.io().resume_accept(self.key);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shard.io().close_listener(self.key);
    }
}
