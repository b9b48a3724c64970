"""Ten times as much is asked as can be done: how much of it is done, and how soon?"""

from ..backend import Backend
from ..board import Board
from ..cast import Ringlink, ports, start_backends
from ..load import Load, offer, part
from ..report import Goal, Report, Table, number, percent

#: The backend works on so many at once, so long on each.
WORKERS, MS = 4, 40
CAPACITY = WORKERS * 1000 / MS
TIMES = 10
#: What is let in: the workers' hands full, and half as many waiting.
LIMIT = WORKERS + WORKERS // 2
#: Seconds after which a client leaves.
PATIENCE = 1.0
LEAST_GOODPUT, MOST_RATIO = 0.8, 3


def run(options):
    seconds = 2 if options.quick else 8
    limit = f"maxConcurrentRequests: {LIMIT}"
    unloaded = measure(options, "a fifth of capacity", CAPACITY / 5, seconds, limit)
    shed = measure(options, f"ten times it, `{limit}`", CAPACITY * TIMES, seconds, limit)
    flooded = measure(options, "ten times it, no limit", CAPACITY * TIMES, seconds, "")
    table = Table(
        ["load", "requests/s", "goodput/s", "of capacity", "p50 ms", "p99 ms"]
        + ["refused", "clients that gave up", "other failures"]
    )
    rows = [unloaded, shed, flooded]
    for row in rows:
        table.row(
            row["name"],
            number(row["requests"] / seconds),
            number(row["goodput"]),
            percent(row["goodput"] / CAPACITY),
            number(row["p50_ms"]),
            number(row["p99_ms"]),
            number(row["refused"]),
            number(row["left"]),
            number(sum(row["failures"].values()) - row["refused"] - row["left"]),
        )
    ratio = shed["p99_ms"] and unloaded["p99_ms"] and shed["p99_ms"] / unloaded["p99_ms"]
    busy = max(row["busy"] for row in rows)
    return Report(
        title="Overload",
        setting=(
            f"One backend that works on {WORKERS} requests at once, {MS} ms on each, and lets what "
            f"comes beyond wait; it does not notice who has left. {seconds} s of each load; "
            f"clients wait for {number(PATIENCE)} s. Goodput is what was answered in that time."
        ),
        tables=[table],
        goals=[
            Goal("goodput over capacity", shed["goodput"] / CAPACITY, LEAST_GOODPUT, at_least=True),
            Goal("p99 of what was admitted over that unloaded", ratio, MOST_RATIO),
        ],
        notes=[f"The load took {percent(busy)} of its core at most."],
        raw=rows,
    )


def measure(options, name, rate, seconds, server):
    # A fresh one for each: what was asked of the last may still be waiting there.
    board, (port,) = Board(1), ports(1)
    backends = start_backends(options, board, [Backend(port, MS, WORKERS)])
    proxy = Ringlink(options, {"web": [port]}, server=server)
    load = Load(proxy.ports["web"], rate, seconds, patience=PATIENCE)
    seen = offer(load, options.load_core, board).result()
    proxy.stop()
    options.stopped(backends)
    times, failures = seen.pop("times"), seen["failures"]
    del seen["failed"]
    return seen | {
        "name": name,
        "goodput": len(times) / seconds,
        "p50_ms": part(times, 0.5),
        "p99_ms": part(times, 0.99),
        "refused": failures.get("503 overloaded", 0),
        "left": failures.get("gave up", 0),
    }
