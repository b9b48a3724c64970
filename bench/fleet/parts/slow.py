"""One backend of ten takes ten times as long: who notices?"""

from dataclasses import dataclass
from statistics import median

from harness import peers, system

from ..arithmetic import share_of_slow
from ..backend import Backend
from ..board import Board
from ..cast import Haproxy, Nginx, Ringlink, ports, start_backends
from ..load import Load, offer, part
from ..report import Goal, Report, Table, number, percent

GOOD_MS, SLOW_MS, COUNT = 5, 50, 10
#: Rows: the slow one, ten good ones. Fleets are rows.
SLOW = 0
FLEETS = {
    "one-slow": range(COUNT),
    "nine-good": range(1, COUNT),
    "ten-good": range(1, COUNT + 1),
}
#: Share of the slow one, and p99 over that of the nine good ones.
MOST_SHARE, MOST_RATIO = 0.02, 1.3
#: By which the load of the second table is multiplied.
LOADS = (0.125, 0.5, 1, 2)
#: A load that is later than this (p99, ms) makes a measurement suspect.
NOISE_MS = 2


@dataclass(frozen=True)
class Subject:
    name: str
    #: (options, fleets) -> a running proxy.
    start: object


def ringlink(kind):
    client = f"loadBalancer: {{kind: {kind}}}"
    return lambda options, fleets: Ringlink(options, fleets, client=client)


def subjects(quick):
    everyone = [
        Subject("ringlink p2c", ringlink("p2c")),
        Subject("ringlink ewma", ringlink("ewma")),
        Subject("ringlink aperture", ringlink("aperture")),
        Subject("ringlink heap", ringlink("heap")),
        Subject("ringlink (defaults)", Ringlink),
        Subject("nginx (defaults)", Nginx),
        Subject("nginx least_conn", lambda o, f: Nginx(o, f, "least_conn;")),
        Subject("HAProxy (defaults)", Haproxy),
        Subject("HAProxy leastconn", lambda o, f: Haproxy(o, f, "balance leastconn")),
    ]
    for program in ("nginx", "haproxy"):
        if not peers.find(program):
            raise SystemExit(f"bench/fleet/run: {program} is missing: run bench/setup")
    return [everyone[0], everyone[1], everyone[5]] if quick else everyone


def run(options):
    board = Board(COUNT + 1)
    found = ports(COUNT + 1)
    backends = [
        Backend(port, SLOW_MS if row == SLOW else GOOD_MS, exponential=options.exponential)
        for row, port in enumerate(found)
    ]
    stage = Stage(options, board, start_backends(options, board, backends), found)
    everyone = subjects(options.quick)
    results = {subject.name: {fleet: [] for fleet in FLEETS} for subject in everyone}
    direct = []
    for turn in range(options.rounds):
        direct.append(stage.measure(found[1], options.rate))
        # Nobody always comes first.
        at = turn % len(everyone)
        for subject in everyone[at:] + everyone[:at]:
            proxy = subject.start(options, stage.fleets)
            for fleet in FLEETS:
                seen = stage.measure(proxy.ports[fleet], options.rate)
                results[subject.name][fleet].append(seen)
            proxy.stop()
    by_load = stage.by_load(everyone[0]) if not options.quick else []
    rows = {name: summary(fleets) for name, fleets in results.items()}
    tables = [comparison(rows, direct)]
    if by_load:
        tables.append(loads(by_load))
    return Report(
        title="One slow backend",
        setting=setting(options),
        tables=tables,
        goals=goals("p2c", rows) + goals("ewma", rows),
        notes=[*arithmetic(options), stage.note()],
        raw={"direct": direct, "rounds": results, "by_load": by_load},
    )


class Stage:
    """The backends, and how a fleet of them is measured behind a proxy."""

    def __init__(self, options, board, backends, found):
        self.options, self.board, self.backends = options, board, backends
        self.fleets = {name: [found[row] for row in rows] for name, rows in FLEETS.items()}
        self.seconds = 0.6 if options.quick else 1.6
        self.busiest, self.latest, self.backends_busiest = 0, [], 0

    def measure(self, port, rate, seconds=None):
        seconds = seconds or self.seconds
        warmup = 0.2 if self.options.quick else 0.5
        load = Load(port, rate, seconds, warmup)
        ticks = self.backends.cpu_ticks()
        seen = offer(load, self.options.load_core, self.board).result()
        busy = (self.backends.cpu_ticks() - ticks) / system.TICK / (seconds + warmup)
        self.backends_busiest = max(self.backends_busiest, busy)
        self.busiest = max(self.busiest, seen["busy"])
        self.latest.append(seen["late_p99_ms"])
        times = seen.pop("times")
        del seen["failed"]
        asked = sum(seen["asked"])
        return seen | {
            "rate": rate,
            "share": seen["asked"][SLOW] / asked if asked else None,
            "p50_ms": part(times, 0.5),
            "p99_ms": part(times, 0.99),
        }

    def by_load(self, subject):
        """The same subject under other loads."""
        proxy = subject.start(self.options, self.fleets)
        rates = [self.options.rate * times for times in LOADS]
        # As many requests under a light load as under a heavy one would take too long.
        found = [self.measure(proxy.ports["one-slow"], rate, 3) for rate in rates]
        proxy.stop()
        return found

    def note(self):
        noisy = sum(late > NOISE_MS for late in self.latest)
        return (
            f"The load took {percent(self.busiest)} of its core at most, the backends "
            f"{percent(self.backends_busiest)} of theirs. Times count from when a request was due; "
            f"99 of 100 left within {number(median(self.latest))} ms of that in the median "
            f"measurement, {number(max(self.latest))} ms in the worst. {noisy} of "
            f"{len(self.latest)} measurements are noisy: more than {NOISE_MS} ms."
        )


def summary(fleets):
    """Medians over the rounds."""

    def of(fleet, what):
        values = [seen[what] for seen in fleets[fleet] if seen[what] is not None]
        return median(values) if values else None

    row = {f"{fleet} {what}": of(fleet, what) for fleet in FLEETS for what in ("p50_ms", "p99_ms")}
    row["share"] = of("one-slow", "share")
    row["shares"] = [seen["share"] for seen in fleets["one-slow"] if seen["share"] is not None]
    row["failed"] = sum(sum(s["failures"].values()) for every in fleets.values() for s in every)
    ours, others = row["one-slow p99_ms"], row["nine-good p99_ms"]
    row["ratio"] = ours / others if ours and others else None
    return row


def comparison(rows, direct):
    table = Table(
        ["proxy", "share of the slow one", "in the rounds", "p50 ms", "p99 ms"]
        + ["p99, nine good", "÷ nine good", "p99, ten good", "failed"]
    )
    for name, row in rows.items():
        table.row(
            name,
            percent(row["share"]),
            f"{percent(min(row['shares']))} to {percent(max(row['shares']))}",
            number(row["one-slow p50_ms"]),
            number(row["one-slow p99_ms"]),
            number(row["nine-good p99_ms"]),
            number(row["ratio"]),
            number(row["ten-good p99_ms"]),
            row["failed"],
        )
    p50, p99 = (median(seen[what] for seen in direct) for what in ("p50_ms", "p99_ms"))
    table.row("none: one good one, asked directly", "–", "–", number(p50), number(p99), *["–"] * 4)
    return table


def loads(by_load):
    table = Table(
        ["ringlink p2c: requests/s", "per good backend under way", "share of the slow one"]
        + ["by arithmetic", "p99 ms"]
    )
    for seen in by_load:
        each = seen["rate"] * (1 - seen["share"]) / (COUNT - 1)
        table.row(
            number(seen["rate"]),
            number(each * GOOD_MS / 1000),
            percent(seen["share"]),
            percent(predicted(seen["rate"])),
            number(seen["p99_ms"]),
        )
    return table


def goals(name, rows):
    row = rows[f"ringlink {name}"]
    return [
        Goal(f"{name}: share of the slow one", row["share"], MOST_SHARE),
        Goal(f"{name}: p99 over that of the nine good ones", row["ratio"], MOST_RATIO),
    ]


def predicted(rate):
    return share_of_slow(rate, COUNT, GOOD_MS / 1000, SLOW_MS / 1000)


def setting(options):
    times = "drawn from exponential distributions" if options.exponential else "fixed"
    return (
        f"Ten backends, of which nine take {GOOD_MS} ms and one {SLOW_MS} ms, any number of "
        f"requests at once; times are {times}. {options.rate:,} requests/s, due by a Poisson "
        f"process, whatever is still under way. Medians of {options.rounds} rounds."
    )


def arithmetic(options):
    """What requests under way can tell at all."""
    least = GOOD_MS / ((COUNT - 1) * SLOW_MS + GOOD_MS)
    return [
        f"By requests under way the slow one gets {percent(least)} at the very least, when all "
        "have equally many; that is more than one in a hundred, so the 99th percentile of fixed "
        "times is the slow one's, whoever balances by that. Of two that are drawn at random it is "
        "more, and the more the lighter the load, since an idle one is an idle one however slow: "
        f"by arithmetic p2c gives it {percent(predicted(options.rate))} at {options.rate:,} "
        f"requests/s and {percent(predicted(4 * options.rate))} at four times that."
    ]
