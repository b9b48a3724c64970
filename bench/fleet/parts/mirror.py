"""Every request is mirrored to a backend that is well, hangs, floods or is dead: what do the clients of
the requests themselves see of that?"""

import os
from statistics import median

from ..backend import FLOOD, HANG, OK, Backend
from ..board import MODE, Board
from ..cast import Ringlink, ports, start_backends
from ..load import Load, offer, part
from ..report import Goal, Report, Table, number

MS, RATE = 5, 300
MOST_CHANGE = 1.03
MIRROR = "mirror: {to: /svc/dark, percent: 100, maxConcurrent: 1000, timeoutMs: 1000}"
#: What the mirror's backend does; `None`: there is no mirror.
TARGETS = {"none": None, "is well": OK, "hangs": HANG, "floods": FLOOD, "is dead": OK}


def run(options):
    seconds, rounds = (1, 1) if options.quick else (5, 3)
    found = {name: [] for name in TARGETS}
    for at in range(rounds):
        names = list(TARGETS)
        for name in names[at % len(names) :] + names[: at % len(names)]:
            found[name].append(measure(options, name, seconds))
    table = Table(
        ["the mirror", "p50 ms", "p99 ms", "÷ none", "failed", "copies", "compared", "given up"]
    )
    p99 = {name: median(row["p99_ms"] for row in rows) for name, rows in found.items()}
    for name, rows in found.items():
        total = {key: sum(row[key] for row in rows) for key in ("bad", "sent", "same", "lost")}
        table.row(
            name,
            number(median(row["p50_ms"] for row in rows)),
            number(p99[name]),
            number(p99[name] / p99["none"]),
            *(number(count) for count in total.values()),
        )
    worst = max(p99[name] / p99["none"] for name in TARGETS)
    bad = sum(row["bad"] for rows in found.values() for row in rows)
    return Report(
        title="Mirrors that are ill",
        setting=(
            f"A backend of {MS} ms, {RATE} GETs/s, each of them mirrored (`{MIRROR}`); {rounds} "
            f"rounds of {seconds} s, medians. A flood is an endless body."
        ),
        tables=[table],
        goals=[
            Goal("p99 over that without a mirror, the worst", worst, MOST_CHANGE),
            Goal("requests that failed", bad, 0),
        ],
        notes=["What the copies cost the proxy is in these times; their backend is on the load's core, and waits for everybody else there."],
        raw=found,
    )


def measure(options, name, seconds):
    board, (port, dark_port) = Board(2), ports(2)
    light = start_backends(options, board, [Backend(port, MS)])
    # As if on another host: what taking the copies in costs there is not the proxy's doing.
    dark = start_backends(options, board, [Backend(dark_port, MS)], 1, options.load_core)
    os.setpriority(os.PRIO_PROCESS, dark.process.pid, 19)
    service = MIRROR if TARGETS[name] is not None else ""
    proxy = Ringlink(options, {"web": [port], "dark": [dark_port]}, service=service)
    if TARGETS[name] is not None:
        board.set(1, MODE, TARGETS[name])
    if name == "is dead":
        options.stopped(dark)
    load = Load(proxy.ports["web"], RATE, seconds)
    seen = offer(load, options.load_core).result()
    counts = {
        "sent": proxy.metric("ringlink_mirror_sent_total", 'rt="web"'),
        "same": proxy.metric("ringlink_mirror_compared_total", 'rt="web"'),
        "lost": proxy.metric("ringlink_mirror_failed_total", 'rt="web"'),
    }
    proxy.stop()
    options.stopped(light)
    if name != "is dead":
        options.stopped(dark)
    times = seen["times"]
    return counts | {
        "p50_ms": part(times, 0.5),
        "p99_ms": part(times, 0.99),
        "bad": sum(seen["failures"].values()),
    }
