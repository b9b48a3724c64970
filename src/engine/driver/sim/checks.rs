//! The rules an engine must keep, checked when it asks for something.

use super::Fd;
use super::network::Net;
use crate::engine::slab::Key;

impl Net {
    /// The socket of a descriptor, which the driver's process must have open.
    pub(super) fn use_socket(&mut self, driver: usize, fd: Fd, what: &'static str) -> u64 {
        let role = self.drivers[driver].role;
        let Some(id) = self.socket_of(fd.0) else {
            self.violation(format!("{what} on {fd:?}, which is not open"))
        };
        let Some(socket) = self
            .sockets
            .get_mut(&id)
            .filter(|socket| socket.role == role)
        else {
            self.violation(format!(
                "{what} on {fd:?}, which is not of the {role:?}'s process"
            ))
        };
        socket.owner = driver;
        self.note(what, driver as u64, i64::from(fd.0), 0);
        id
    }

    pub(super) fn claim_reader(&mut self, driver: usize, op: Key, socket: u64, what: &str) {
        let Some(socket) = self.sockets.get_mut(&socket) else {
            return;
        };
        let fd = socket.fd;
        let before = *socket.reader.get_or_insert((driver, op));
        if before != (driver, op) {
            let other = before.1;
            self.violation(format!(
                "{what} {op:?} on fd {fd} while {other:?} is in flight on it"
            ));
        }
    }

    pub(super) fn claim_writer(&mut self, driver: usize, op: Key, socket: u64, what: &str) {
        let Some(socket) = self.sockets.get_mut(&socket) else {
            return;
        };
        let fd = socket.fd;
        let before = *socket.writer.get_or_insert((driver, op));
        if before != (driver, op) {
            let other = before.1;
            self.violation(format!(
                "{what} {op:?} on fd {fd} while {other:?} is in flight on it"
            ));
        }
    }
}
