"""An open loop: requests leave when they are due, by a Poisson process, however long the answers to
earlier ones take. So a slow answer does not slow down the asking, and the time of an answer counts
from when its request was due."""

import asyncio
import gc
import random
import resource
import time
from collections import Counter
from dataclasses import dataclass

from . import board as rows
from .process import Forked, event_loop

REQUEST = b"GET / HTTP/1.1\r\nHost: fleet\r\n\r\n"
#: Connections opened before the first request.
READY = 32


@dataclass(frozen=True)
class Load:
    port: int
    #: Requests per second.
    rate: float
    seconds: float
    #: Seconds of the same load before the measurement.
    warmup: float = 0.5
    #: Seconds after which a client leaves, closing its connection.
    patience: float = 5.0


def offer(load, core, board=None):
    """Starts it in a process of its own; its result is a dictionary, see Course.result."""
    return Forked(core, run, load, board)


def run(load, board):
    gc.disable()
    loop = event_loop()
    course = Course(load, board, loop)
    return loop.run_until_complete(course.run())


class Course:
    """The course of one load."""

    def __init__(self, load, board, loop):
        self.load, self.board, self.loop = load, board, loop
        self.idle, self.tasks = [], set()
        #: (when it was due, ms until it ended, how) of each that was due in the measurement.
        self.ended, self.late = [], []
        self.under_way = 0

    async def run(self):
        for _ in range(READY):
            await self.loop.create_connection(lambda: Line(self), "127.0.0.1", self.load.port)
        self.begins = self.loop.time() + 0.01 + self.load.warmup
        self.ends = self.begins + self.load.seconds
        self.finished = self.loop.create_future()
        self.due = self.begins - self.load.warmup
        self.loop.call_at(self.begins, self.begin)
        self.loop.call_at(self.due, self.fire)
        await self.finished
        return self.result()

    def begin(self):
        self.usage, self.clock = cpu_seconds(), time.monotonic()
        self.before = self.board and self.board.column(rows.REQUESTS)

    def fire(self):
        """Sends what is due."""
        now = self.loop.time()
        while self.due <= now:
            if self.due >= self.begins:
                self.late.append((now - self.due) * 1000)
            self.send(self.due)
            self.due += random.expovariate(self.load.rate)
            if self.due >= self.ends:
                self.busy = (cpu_seconds() - self.usage) / (time.monotonic() - self.clock)
                self.after = self.board and self.board.column(rows.REQUESTS)
                self.loop.call_later(self.load.patience + 0.5, self.finish)
                self.due = float("inf")
                self.finish_early()
        if self.due < float("inf"):
            self.loop.call_at(self.due, self.fire)

    def send(self, due):
        self.under_way += 1
        if self.idle:
            self.idle.pop().send(due)
        else:
            task = self.loop.create_task(self.send_anew(due))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def send_anew(self, due):
        try:
            _, line = await self.loop.create_connection(
                lambda: Line(self, fresh=True), "127.0.0.1", self.load.port
            )
        except OSError as error:
            self.end(due, f"no connection: {error.strerror}")
        else:
            line.send(due)

    def end(self, due, how):
        self.under_way -= 1
        if self.begins <= due:
            self.ended.append((due - self.begins, (self.loop.time() - due) * 1000, how))
        self.finish_early()

    def finish_early(self):
        if self.due == float("inf") and self.under_way == 0:
            self.finish()

    def finish(self):
        if not self.finished.done():
            self.finished.set_result(None)

    def result(self):
        """What was seen: requests, the times in ms of those answered 200, the ends of all others,
        requests to each backend meanwhile, and whether this program itself was the limit."""
        good = sorted(ms for _, ms, how in self.ended if how == "200")
        bad = [one for one in self.ended if one[2] != "200"]
        asked = self.board and [b - a for a, b in zip(self.before, self.after)]
        return {
            "requests": len(self.ended) + self.under_way,
            "times": good,
            "failures": dict(Counter([how for _, _, how in bad] + ["lost"] * self.under_way)),
            "failed": [(round(at, 3), round(ms, 1), how) for at, ms, how in bad[:1000]],
            "asked": asked,
            "busy": self.busy,
            "late_p99_ms": part(sorted(self.late), 0.99),
        }


class Line(asyncio.Protocol):
    """A connection of the load's, with one request at a time."""

    def __init__(self, course, fresh=False):
        self.course, self.fresh = course, fresh
        self.held, self.due, self.timer = b"", None, None

    def connection_made(self, transport):
        self.transport = transport
        if not self.fresh:
            self.course.idle.append(self)

    def send(self, due):
        self.due = due
        self.timer = self.course.loop.call_later(self.course.load.patience, self.leave)
        self.transport.write(REQUEST)

    def leave(self):
        """Nobody waits any longer."""
        self.finish("gave up")
        self.transport.abort()

    def data_received(self, data):
        self.held += data
        head, blank, body = self.held.partition(b"\r\n\r\n")
        if not blank or self.due is None or len(body) < length(head):
            return
        self.held = b""
        self.finish(said(head))
        if b"connection: close" in head.lower():
            self.transport.close()
        else:
            self.course.idle.append(self)

    def connection_lost(self, error):
        if self in self.course.idle:
            self.course.idle.remove(self)
        if self.due is not None:
            self.finish(f"connection lost: {error or 'closed'}")

    def finish(self, how):
        due, self.due = self.due, None
        self.timer.cancel()
        self.course.end(due, how)


def length(head):
    return int(field(head, b"content-length") or 0)


def said(head):
    """The status, and the proxy's reason if it gives one."""
    status = head[9:12].decode()
    if status == "200":
        return status
    reason = (field(head, b"l5d-err") or b"").decode()
    return f"{status} {reason}".strip()


def field(head, name):
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def part(ordered, share):
    """A quantile of what is in order; None of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
