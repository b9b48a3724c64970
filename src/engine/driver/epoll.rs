//! stub
use super::*;
pub struct Epoll;
impl Epoll { pub fn new(_: usize) -> io::Result<Epoll> { unreachable!() } }
impl Epoll {
    pub fn now(&self) -> u64 { unreachable!() }
    pub fn wake_handle(&self) -> WakeHandle { unreachable!() }
    pub fn listen(&mut self, _: SocketAddr, _: ListenOptions) -> io::Result<(Fd, SocketAddr)> { unreachable!() }
    pub fn socket(&mut self, _: &SocketAddr, _: bool) -> io::Result<Fd> { unreachable!() }
    pub fn accept(&mut self, _: Key, _: Fd) { unreachable!() }
    pub fn connect(&mut self, _: Key, _: Fd, _: &SocketAddr) { unreachable!() }
    pub fn recv(&mut self, _: Key, _: Fd, _: bool) { unreachable!() }
    pub fn send(&mut self, _: Key, _: Fd, _: &mut TxJob) { unreachable!() }
    pub fn cancel(&mut self, _: Key) { unreachable!() }
    pub fn shutdown_write(&mut self, _: Fd) { unreachable!() }
    pub fn close(&mut self, _: Fd) { unreachable!() }
    pub fn peer_addr(&self, _: Fd) -> io::Result<SocketAddr> { unreachable!() }
    pub fn turn(&mut self, _: Wait, _: &BufPool, _: &mut Vec<Completion>) -> io::Result<()> { unreachable!() }
    pub fn counters(&self) -> DriverCounters { unreachable!() }
}
