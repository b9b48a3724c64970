"""All backends of a service are ill for a while: how much do retries add to that?"""

from ..backend import CUT, ERROR, Backend
from ..board import MODE, REQUESTS, Board
from ..cast import RETRYING, Ringlink, ports, start_backends
from ..load import Load, offer
from ..report import Goal, Report, Table, number

COUNT, RATE, MS = 3, 300, 5
#: The budget, which is ringlink's default: seconds, retries per second, retries per request.
TTL, LEAST, SHARE = 10, 10, 0.2
#: Seconds of good service before the outage, at most TTL.
BEFORE = 2
#: What the measured may be over what the budget allows.
OVER = 1.01
SERVICES = {
    "answers-503": "503 at once",
    "cuts": "the connection is cut",
    "is-dead": "nobody listens",
}


def run(options):
    seconds = 3 if options.quick else 20
    board, found = Board(COUNT * len(SERVICES)), ports(COUNT * len(SERVICES))
    rows = {name: range(at * COUNT, (at + 1) * COUNT) for at, name in enumerate(SERVICES)}
    running = {
        name: start_backends(options, board, [Backend(found[r], MS) for r in its], its[0])
        for name, its in rows.items()
    }
    budget = f"{{minRetriesPerSec: {LEAST}, percentCanRetry: {SHARE}, ttlSecs: {TTL}}}"
    proxy = Ringlink(
        options,
        {name: [found[row] for row in its] for name, its in rows.items()},
        client=f"requeueBudget: {budget}",
        service=f"{RETRYING}, retries: {{budget: {budget}}}",
    )
    good = offer_all(options, proxy, BEFORE)
    for name, mode in (("answers-503", ERROR), ("cuts", CUT)):
        for row in rows[name]:
            board.set(row, MODE, mode)
    options.stopped(running["is-dead"])

    def attempts(name):
        if name == "is-dead":
            # The dead do not count.
            return proxy.metric("ringlink_upstream_connect_failures_total", f'rt="{name}"')
        return sum(board.get(row, REQUESTS) for row in rows[name])

    before = {name: attempts(name) for name in SERVICES}
    ill = offer_all(options, proxy, seconds)
    made = {name: attempts(name) - before[name] for name in SERVICES}
    table = Table(["outage", "requests", "attempts", "allowed", "÷ requests", "usual answer"])
    goals = []
    for name, what in SERVICES.items():
        requests = ill[name]["requests"]
        allowed = requests + allowance(good[name], requests, seconds, name == "is-dead")
        failures = ill[name]["failures"]
        often = max(failures, key=failures.get, default="")
        answer = f"{often} ({failures[often]:,})" if often else "–"
        table.row(
            what,
            number(requests),
            number(made[name]),
            number(allowed),
            number(made[name] / requests),
            answer,
        )
        goals.append(Goal(f"{what}: attempts over what is allowed", made[name] / allowed, OVER))
        goals.append(
            Goal(f"{what}: attempts over requests", made[name] / requests, 1, at_least=True)
        )
    return Report(
        title="An outage",
        setting=(
            f"Three services of {COUNT} backends each, {RATE} GETs/s for each; after {BEFORE} s "
            f"all backends are ill for {seconds} s. `retryableIdempotent5XX`, budgets of {LEAST} "
            f"retries/s and {100 * SHARE:.0f} % of the requests, for {TTL} s. Attempts are "
            "counted by the backends, those at the dead by the proxy."
        ),
        tables=[table],
        goals=goals,
        notes=[
            "Allowed are the requests, what the budget holds when the outage begins, and what "
            f"comes into it since: {LEAST} a second for {TTL} s and the outage, and of the "
            f"requests {100 * SHARE:.0f} %, those before included. Where nobody listens, nothing "
            "was delivered, and the client's requeue budget, into which successes pay, comes on "
            "top."
        ],
        raw={"before": strip(good), "outage": strip(ill), "attempts": made},
    )


def offer_all(options, proxy, seconds):
    """The same load for each service at the same time."""
    loads = {
        name: offer(Load(proxy.ports[name], RATE, seconds, warmup=0), options.load_core)
        for name in SERVICES
    }
    return {name: load.result() for name, load in loads.items()}


def allowance(good, requests, seconds, requeues):
    """Attempts beyond the first that the budgets pay for."""
    reserve = LEAST * (TTL + seconds)
    retries = reserve + SHARE * (good["requests"] + requests)
    return retries + (reserve + SHARE * len(good["times"]) if requeues else 0)


def strip(seen):
    return {name: {**one, "times": None, "failed": None} for name, one in seen.items()}
