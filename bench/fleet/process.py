"""Functions in processes of their own, and an event loop for them whose timers are exact."""

import asyncio
import ctypes
import multiprocessing
import os
import select
import selectors
import signal

from harness import system

FORK = multiprocessing.get_context("fork")


class Exact(selectors.EpollSelector):
    """epoll_wait counts in milliseconds, rounded up: five that a backend means to take would be
    six. select() counts in microseconds, and one descriptor is all that it has to watch here."""

    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


def event_loop():
    loop = asyncio.SelectorEventLoop(Exact())
    asyncio.set_event_loop(loop)
    return loop


class Forked:
    """A call in a process of its own, on one core, which does not outlive this program."""

    def __init__(self, core, function, *arguments):
        self.receiver, sender = FORK.Pipe(duplex=False)
        self.process = FORK.Process(
            target=self.run, args=(sender, core, function, arguments), daemon=True
        )
        self.process.start()
        sender.close()

    @staticmethod
    def run(sender, core, function, arguments):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        # The parent decides what an interruption means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.sched_setaffinity(0, {core})
        sender.send(function(*arguments))

    def result(self):
        """Waits for what the function returns."""
        try:
            result = self.receiver.recv()
        except EOFError as error:
            raise OSError("a process of the measuring program died") from error
        self.stop()
        return result

    def cpu_ticks(self):
        fields = system.stat_fields(self.process.pid)
        return int(fields[11]) + int(fields[12])

    def stop(self):
        """Kills it, whatever it is doing."""
        self.process.kill()
        self.process.join()
