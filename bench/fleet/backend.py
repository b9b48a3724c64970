"""Backends whose service time dominates: a request waits for a timer and costs next to nothing. One
process serves any number of them, or one alone, so that it can be killed alone."""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass

from . import board as rows
from .process import event_loop

#: What a backend does with a request (its row's MODE): answers it, answers 503, cuts the
#: connection, says nothing, or more than anybody wants to hear.
OK, ERROR, CUT, HANG, FLOOD = range(5)
SIZE = 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (SIZE, b"x" * SIZE)
FAILURE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
TORRENT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (1 << 40, b"x" * (1 << 18))


@dataclass(frozen=True)
class Backend:
    port: int
    #: Service time.
    ms: float
    #: Requests that it works on at once; what comes beyond waits, first come first served. 0: any.
    workers: int = 0
    #: Service times are drawn from an exponential distribution with this mean.
    exponential: bool = False


def serve(board, first, backends):
    """Serves for ever; the backends have the rows from `first` on."""
    loop = event_loop()
    for at, backend in enumerate(backends):
        work = Work(board, first + at, backend, loop)
        server = loop.create_server(
            lambda work=work: Peer(work), "127.0.0.1", backend.port, backlog=4096
        )
        loop.run_until_complete(server)
    loop.run_forever()


class Work:
    """What one backend has to do. It works on what it was asked even if nobody waits for it any
    more, as servers do that find out only when they write."""

    def __init__(self, board, row, backend, loop):
        self.board, self.row, self.backend, self.loop = board, row, backend, loop
        self.busy, self.queue = 0, deque()

    def take(self, peer):
        self.board.count(self.row, rows.REQUESTS)
        mode = self.board.get(self.row, rows.MODE)
        if mode == CUT:
            peer.transport.abort()
        elif mode == ERROR:
            peer.transport.write(FAILURE)
        elif mode == HANG:
            pass
        elif mode == FLOOD:
            peer.transport.write(TORRENT)
        elif self.backend.workers and self.busy >= self.backend.workers:
            self.queue.append(peer)
        else:
            self.begin(peer)

    def begin(self, peer):
        self.busy += 1
        ms = self.backend.ms
        if self.backend.exponential:
            ms = random.expovariate(1 / ms)
        self.loop.call_later(ms / 1000, self.end, peer)

    def end(self, peer):
        self.busy -= 1
        self.board.count(self.row, rows.ANSWERS)
        if not peer.transport.is_closing():
            peer.transport.write(ANSWER)
        if self.queue:
            self.begin(self.queue.popleft())


class Peer(asyncio.Protocol):
    """A connection; all requests are GETs."""

    def __init__(self, work):
        self.work, self.held = work, b""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _error):
        board, row = self.work.board, self.work.row
        board.set(row, rows.CLOSED_AT, time.monotonic_ns())
        board.count(row, rows.CLOSED)

    def data_received(self, data):
        self.held += data
        while b"\r\n\r\n" in self.held:
            self.held = self.held.split(b"\r\n\r\n", 1)[1]
            self.work.take(self)
