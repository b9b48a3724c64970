"""Backends are killed and come back, at random, under load: does a client notice?"""

import random
import time

from harness import scenarios

from ..backend import Backend
from ..board import ANSWERS, REQUESTS, Board
from ..cast import RETRYING, Ringlink, ports, start_backends
from ..load import Load, offer
from ..report import Goal, Report, Table, number

COUNT, RATE, MS = 5, 500, 5
#: So many are left alive.
LEAST_ALIVE = 2
#: Seconds between two kills in the mean, and how long a backend is gone.
BETWEEN, GONE = 0.4, (0.1, 0.6)
BUDGET = "{minRetriesPerSec: 50, percentCanRetry: 0.5, ttlSecs: 10}"
METRICS = {
    "connects": "ringlink_upstream_connects_total",
    "connects that failed": "ringlink_upstream_connect_failures_total",
    "attempts after the first": "ringlink_retries_total",
}


class Fleet:
    """Backends in processes of their own."""

    def __init__(self, options):
        self.options, self.board, self.ports = options, Board(COUNT), ports(COUNT)
        self.alive, self.back_at, self.kills = {}, {}, 0
        for row in range(COUNT):
            self.start(row)

    def start(self, row):
        backend = Backend(self.ports[row], MS)
        self.alive[row] = start_backends(self.options, self.board, [backend], row)

    def kill(self):
        """Kills one, if enough are left."""
        if len(self.alive) <= LEAST_ALIVE:
            return
        row = random.choice(list(self.alive))
        self.options.stopped(self.alive.pop(row))
        self.back_at[row] = time.monotonic() + random.uniform(*GONE)
        self.kills += 1

    def restart(self):
        """Restarts those whose time has come."""
        for row, at in list(self.back_at.items()):
            if time.monotonic() >= at:
                del self.back_at[row]
                self.start(row)

    def harass(self, load):
        """Until the load has ended; gives what it saw."""
        next_kill = time.monotonic() + 0.5
        while not load.receiver.poll(0.01):
            if time.monotonic() >= next_kill:
                self.kill()
                next_kill = time.monotonic() + random.uniform(0.5, 1.5) * BETWEEN
            self.restart()
            if not all(one.process.is_alive() for one in self.alive.values()):
                raise scenarios.Failed("kills: a backend died by itself")
        return load.result()


def run(options):
    fleet = Fleet(options)
    service = f"{RETRYING}, retries: {{budget: {BUDGET}}}"
    proxy = Ringlink(options, {"web": fleet.ports}, service=service)
    before = {what: proxy.metric(name) for what, name in METRICS.items()}
    load = Load(proxy.ports["web"], RATE, 5 if options.quick else 20, warmup=0)
    seen = fleet.harass(offer(load, options.load_core))
    counts = {what: proxy.metric(name) - before[what] for what, name in METRICS.items()}
    failed = sum(seen["failures"].values())
    received, answered = (sum(fleet.board.column(what)) for what in (REQUESTS, ANSWERS))
    table = Table(["what", "count"])
    table.row("requests", number(seen["requests"]))
    table.row("backends killed", fleet.kills)
    table.row("requests that died with a backend", number(received - answered))
    for what, count in counts.items():
        table.row(what, number(count))
    table.row("requests that failed", failed)
    for how, count in sorted(seen["failures"].items()):
        table.row(f"… {how}", count)
    times = seen.pop("times")
    return Report(
        title="Backends that are killed",
        setting=(
            f"Five backends of {MS} ms, {RATE} GETs/s. About every {BETWEEN} s one of them is "
            f"killed (SIGKILL) and comes back {GONE[0]} to {GONE[1]} s later; {LEAST_ALIVE} are "
            f"left at least. `retryableIdempotent5XX`, budget `{BUDGET}`; all else defaults."
        ),
        tables=[table],
        goals=[
            Goal("GETs that failed", failed, 0),
            Goal("backends killed", fleet.kills, 5 if options.quick else 25, at_least=True),
        ],
        notes=[f"The slowest answer took {number(times[-1] if times else None)} ms."],
        raw=seen | {"counts": counts},
    )
