"""Backends are killed and come back, at random, under load: does a client notice?"""

import random
import time
from dataclasses import dataclass

from harness import scenarios

from ..backend import Backend
from ..board import ANSWERS, REQUESTS, Board
from ..cast import RETRYING, Ringlink, ports, start_backends
from ..load import Load, offer
from ..report import Goal, Report, Table, number

COUNT, RATE, MS = 5, 500, 5
BUDGET = "{minRetriesPerSec: 50, percentCanRetry: 0.5, ttlSecs: 10}"
METRICS = {
    "connects": "ringlink_upstream_connects_total",
    "refused": "ringlink_upstream_connect_failures_total",
    "repeated": "ringlink_retries_total",
}


@dataclass(frozen=True)
class Plan:
    """How often one is killed and how long it is gone, in seconds; how many are left at least."""

    says: str
    between: tuple
    gone: tuple
    left: int
    seconds: int


SOME = Plan("some are gone", (0.2, 0.6), (0.1, 0.6), 2, 20)
MOST = Plan("mostly four of five are gone", (0.05, 0.15), (0.5, 1.5), 1, 20)


class Fleet:
    """Backends in processes of their own."""

    def __init__(self, options, plan):
        self.options, self.plan = options, plan
        self.board, self.ports = Board(COUNT), ports(COUNT)
        self.alive, self.back_at, self.kills = {}, {}, 0
        for row in range(COUNT):
            self.start(row)

    def start(self, row):
        backend = Backend(self.ports[row], MS)
        self.alive[row] = start_backends(self.options, self.board, [backend], row)

    def kill(self):
        """Kills one, if enough are left."""
        if len(self.alive) <= self.plan.left:
            return
        row = random.choice(list(self.alive))
        self.options.stopped(self.alive.pop(row))
        self.back_at[row] = time.monotonic() + random.uniform(*self.plan.gone)
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
                next_kill = time.monotonic() + random.uniform(*self.plan.between)
            self.restart()
            if not all(one.process.is_alive() for one in self.alive.values()):
                raise scenarios.Failed("kills: a backend died by itself")
        return load.result()


def run(options):
    found = [measure(options, plan) for plan in (SOME, MOST)]
    table = Table(
        ["backends", "requests", "kills", "requests that died with a backend", "connects refused"]
        + ["attempts after the first", "failed", "slowest answer, ms"]
    )
    for one in found:
        columns = ("requests", "kills", "died", "refused", "repeated", "failed", "slowest_ms")
        table.row(one["says"], *(number(one[column]) for column in columns))
    goals = [Goal(f"{one['says']}: GETs that failed", one["failed"], 0) for one in found]
    enough = 5 if options.quick else 25
    goals.append(Goal(f"{SOME.says}: kills", found[0]["kills"], enough, at_least=True))
    return Report(
        title="Backends that are killed",
        setting=(
            f"Five backends of {MS} ms, {RATE} GETs/s; backends are killed (SIGKILL) and come back "
            f"at random: {SOME.left} are left at least, or in the harder case {MOST.left}. "
            f"`retryableIdempotent5XX`, budget `{BUDGET}`; all else defaults."
        ),
        tables=[table],
        goals=goals,
        notes=[
            f"{one['says']}: failed with " + ", ".join(f"{how}: {n:,}" for how, n in ends.items())
            for one in found
            if (ends := one["failures"])
        ],
        raw=found,
    )


def measure(options, plan):
    fleet = Fleet(options, plan)
    service = f"{RETRYING}, retries: {{budget: {BUDGET}}}"
    proxy = Ringlink(options, {"web": fleet.ports}, service=service)
    before = {what: proxy.metric(name) for what, name in METRICS.items()}
    load = Load(proxy.ports["web"], RATE, 4 if options.quick else plan.seconds, warmup=0)
    seen = fleet.harass(offer(load, options.load_core))
    counts = {what: proxy.metric(name) - before[what] for what, name in METRICS.items()}
    proxy.stop()
    received, answered = (sum(fleet.board.column(what)) for what in (REQUESTS, ANSWERS))
    for one in fleet.alive.values():
        options.stopped(one)
    times = seen.pop("times")
    return seen | counts | {
        "says": plan.says,
        "kills": fleet.kills,
        "died": received - answered,
        "failed": sum(seen["failures"].values()),
        "slowest_ms": times[-1] if times else None,
    }
