"""A client leaves, three proxies before the backend: when does the backend hear of it?"""

import socket
import struct
import time
from statistics import median

from harness import scenarios

from ..backend import HANG, OK, SIZE, Backend
from ..board import CLOSED, CLOSED_AT, MODE, REQUESTS, Board
from ..cast import Ringlink, ports, start_backends
from ..load import REQUEST
from ..report import Goal, Report, Table, number

CHAIN = 3
MOST_MS = 100
#: How long the backend hangs before the client leaves; nobody may have closed until then.
HANGS = 0.02
#: How a client leaves: by SO_LINGER, of which (on, 0 s) makes closing a reset.
WAYS = {"closes": (0, 0), "resets": (1, 0)}


def run(options):
    board, (port,) = Board(1), ports(1)
    start_backends(options, board, [Backend(port, 0)])
    proxies = []
    for _ in range(CHAIN):
        proxies.append(Ringlink(options, {"web": [port]}))
        port = proxies[-1].ports["web"]
    runs = 10 if options.quick else 50
    # A smoke test's machine has other work: it finds out whether it happens at all.
    most = 10 * MOST_MS if options.quick else MOST_MS
    board.set(0, MODE, HANG)
    times = {way: [leave(port, board, way) for _ in range(runs)] for way in WAYS}
    board.set(0, MODE, OK)
    if scenarios.ask(port, "/") != (200, SIZE):
        raise scenarios.Failed("cancel: the chain serves no more")
    table = Table(["the client", "p50 ms", "longest ms", "runs"])
    for way, found in times.items():
        table.row(way, number(median(found)), number(max(found)), len(found))
    gone = min(int(proxy.metric("ringlink_client_gone_total")) for proxy in proxies)
    return Report(
        title="A client that leaves",
        setting=(
            f"{CHAIN} ringlinks in a row before a backend that does not answer. Once it has the "
            "request, the client leaves; the time is until the backend sees its connection closed."
        ),
        tables=[table],
        goals=[Goal(f"the client {way}: longest, ms", max(times[way]), most) for way in WAYS]
        + [Goal("clients gone, as each proxy counts", gone, runs * len(WAYS), at_least=True)],
        notes=["Afterwards the same chain still answers."],
        raw=times,
    )


def leave(port, board, way):
    """ms from a client's leaving until the backend sees it."""
    asked, closed = board.get(0, REQUESTS), board.get(0, CLOSED)
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(REQUEST)
    wait_for("the request", lambda: board.get(0, REQUESTS) > asked)
    time.sleep(HANGS)
    if board.get(0, CLOSED) > closed:
        raise scenarios.Failed("cancel: the backend was left before the client had left")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", *WAYS[way]))
    began = time.monotonic_ns()
    client.close()
    wait_for("its end", lambda: board.get(0, CLOSED) > closed)
    return (board.get(0, CLOSED_AT) - began) / 1e6


def wait_for(what, done, seconds=5):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise scenarios.Failed(f"cancel: the backend waited for {what} in vain")
        time.sleep(0.0005)
