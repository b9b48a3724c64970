//! The plain system calls that both kernel drivers use: sockets, addresses, clock.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Fd, ListenOptions};

/// Nanoseconds of the monotonic clock.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable; the monotonic clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds since the epoch, by the wall clock.
pub fn realtime_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable; the real-time clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    // Before 1970, as on a machine without a battery: 1970.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + time.tv_nsec as u64
}

/// The descriptor that wakes a driver from other threads.
pub fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a socket that listens, and tells its address.
pub fn listen(addr: SocketAddr, options: ListenOptions) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    configure_listener(&SockRef::from(&socket), options)?;
    let bound = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("a listener without an internet address"))?;
    Ok((socket, bound))
}

/// Gives a listening socket other options; its port stays.
pub fn configure_listener(socket: &SockRef<'_>, options: ListenOptions) -> io::Result<()> {
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(options.no_delay)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))
}

/// Makes a socket for a connection to `remote`.
pub fn socket(remote: &SocketAddr, no_delay: bool, nonblocking: bool) -> io::Result<Fd> {
    let socket = Socket::new(
        Domain::for_address(*remote),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    socket.set_nonblocking(nonblocking)?;
    Ok(Fd(socket.into_raw_fd()))
}

/// Whether calls on the socket return at once rather than wait. The ring wants sockets that wait
/// (it would report `EAGAIN` for the others); splicing wants the contrary.
pub fn set_nonblocking(fd: Fd, nonblocking: bool) -> io::Result<()> {
    let flag: libc::c_int = nonblocking.into();
    // SAFETY: the kernel reads one int.
    if unsafe { libc::ioctl(fd.0, libc::FIONBIO, &raw const flag) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A pipe (reading end, writing end) that holds about `bytes`.
pub fn pipe(bytes: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two ints.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no memory is passed. Where it is refused the pipe keeps its usual size.
    unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, bytes) };
    // SAFETY: the descriptors were just made and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Moves up to `len` bytes without copying them; at least one end is a pipe.
pub fn splice(from: i32, to: i32, len: usize) -> io::Result<usize> {
    const FLAGS: u32 = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let none = std::ptr::null_mut();
    // SAFETY: no offsets are passed, and the descriptors are the engine's.
    let moved = unsafe { libc::splice(from, none, to, none, len, FLAGS) };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

pub fn shutdown_write(fd: Fd) {
    // SAFETY: no memory is passed; on a descriptor that is no longer connected this is an error
    // that does not matter.
    unsafe { libc::shutdown(fd.0, libc::SHUT_WR) };
}

pub fn reset_on_close(fd: Fd) {
    // A socket that is no longer connected cannot be reset, and need not be.
    let _ = SockRef::from(&borrow(fd)).set_linger(Some(std::time::Duration::ZERO));
}

/// The descriptor, for the length of one call.
fn borrow<'a>(fd: Fd) -> std::os::fd::BorrowedFd<'a> {
    // SAFETY: the engine owns the descriptor, open while it asks for something on it, and the
    // borrow does not leave this file.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.0) }
}

pub fn peer_addr(fd: Fd) -> io::Result<SocketAddr> {
    SockRef::from(&borrow(fd))
        .peer_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("a peer without an internet address"))
}

pub fn local_addr(fd: Fd) -> io::Result<SocketAddr> {
    SockRef::from(&borrow(fd))
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("a socket without an internet address"))
}
