//! The system calls of the epoll driver. Errors are errno values.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made the descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn size(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| errno())
}

pub(super) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

pub(super) fn epoll_add(epoll: i32, fd: i32, events: i32, data: u64) -> Result<(), i32> {
    let mut event = libc::epoll_event {
        events: events as u32,
        u64: data,
    };
    // SAFETY: `event` is read during the call only.
    match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// A timeout as the kernel takes it on every architecture.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Waits for events, at most `timeout` nanoseconds (`None`: without end). `precise` becomes false
/// when the kernel (before 5.11) or a seccomp profile refuses to wait with nanoseconds.
pub(super) fn epoll_wait(
    epoll: i32,
    events: &mut [libc::epoll_event],
    timeout: Option<u64>,
    precise: &mut bool,
) -> Result<usize, i32> {
    let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
    if let Some(nanos @ 1..) = timeout
        && *precise
    {
        let timeout = KernelTimespec {
            seconds: (nanos / 1_000_000_000) as i64,
            nanoseconds: (nanos % 1_000_000_000) as i64,
        };
        // SAFETY: the kernel writes at most `room` events into the slice, reads the timeout, and
        // takes no signal mask (null, size 0).
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll,
                events.as_mut_ptr(),
                room,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match size(count as isize) {
            Err(libc::ENOSYS | libc::EPERM) => *precise = false,
            result => return result,
        }
    }
    let millis = timeout.map_or(-1, millis);
    // SAFETY: the kernel writes at most `room` events into the slice.
    let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, millis) };
    size(count as isize)
}

/// Milliseconds that are not shorter than the nanoseconds.
fn millis(nanos: u64) -> i32 {
    i32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

pub(super) fn accept(listener: i32) -> Result<i32, i32> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the address is not asked for.
    let fd = unsafe { libc::accept4(listener, ptr::null_mut(), ptr::null_mut(), flags) };
    if fd < 0 { Err(errno()) } else { Ok(fd) }
}

pub(super) fn connect(fd: i32, remote: &SocketAddr) -> Result<(), i32> {
    let addr = socket2::SockAddr::from(*remote);
    // SAFETY: pointer and length describe `addr`, which outlives the call.
    match unsafe { libc::connect(fd, addr.as_ptr().cast(), addr.len()) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// Takes the error that a socket holds, 0 if it holds none.
pub(super) fn socket_error(fd: i32) -> i32 {
    let mut error = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes an int to `error` and its length to `len`.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut len,
        )
    };
    if result == 0 { error } else { errno() }
}

/// # Safety
/// `room` bytes from `area` on must be writable, and nobody else may refer to them.
pub(super) unsafe fn recv(fd: i32, area: *mut u8, room: usize) -> Result<usize, i32> {
    // SAFETY: the caller's promise.
    size(unsafe { libc::recv(fd, area.cast(), room, libc::MSG_DONTWAIT) })
}

/// # Safety
/// Every part must be readable.
pub(super) unsafe fn send(fd: i32, parts: &mut [libc::iovec]) -> Result<usize, i32> {
    // SAFETY: a msghdr of zeroes is a valid one: no name, no iovecs, no control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len() as _;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the header describes the parts, whose memory the caller vouches for.
    size(unsafe { libc::sendmsg(fd, &raw const header, flags) })
}

pub(super) fn shutdown_write(fd: i32) {
    // SAFETY: no pointers. A socket that is not connected any more has nothing to shut down.
    unsafe {
        libc::shutdown(fd, libc::SHUT_WR);
    }
}

pub(super) fn close(fd: i32) {
    // SAFETY: the engine gives up the descriptor, which it owned. Linux frees it whatever it says.
    unsafe {
        libc::close(fd);
    }
}

/// A descriptor of the engine's for one call.
pub(super) fn borrow<'a>(fd: i32) -> BorrowedFd<'a> {
    // SAFETY: the engine closes its sockets through the driver, which is borrowed meanwhile.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

pub(super) fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes a timespec to `time`. This clock is always there.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(millis(0), 0);
        assert_eq!(millis(1), 1);
        assert_eq!(millis(1_000_000), 1);
        assert_eq!(millis(1_000_001), 2);
        assert_eq!(millis(u64::MAX), i32::MAX);
    }

    #[test]
    fn both_ways_of_waiting_wait() {
        for mut precise in [true, false] {
            let epoll = epoll_create().unwrap();
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
            let start = monotonic();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&epoll);
            let count = epoll_wait(fd, &mut events, Some(2_000_001), &mut precise);
            assert_eq!(count, Ok(0));
            assert!(monotonic() - start >= 2_000_001);
        }
    }
}
