"""The scenarios, and how one is measured against one peer."""

import http.client
import json
import selectors
import socket
import subprocess
import time
from dataclasses import dataclass

from . import system

# A script of wrk's without request or response hooks costs nothing while it runs.
REPORT_LUA = """
done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'JSON {"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
      '"non_2xx":%d,"timeout":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d}\\n',
      summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write,
      e.status, e.timeout, latency:percentile(50), latency:percentile(90),
      latency:percentile(99), latency.max))
end
"""
SMALL = 100
WAVE = 64


@dataclass(frozen=True)
class Load:
    """Closed-loop load: so many connections, each asking again as soon as it is answered."""

    name: str
    title: str
    connections: int
    path: str = "/"
    size: int = SMALL
    close: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Idle:
    """Connections that each did one request and then stay open, doing nothing."""

    name: str
    title: str
    connections: int
    size: int = SMALL
    path: str = "/"
    note: str | None = None


SCENARIOS = [
    Load("c1", "1 connection, 100 B", 1),
    Load("c8", "8 connections, 100 B", 8),
    Load("c64", "64 connections, 100 B", 64),
    Load("c512", "512 connections, 100 B", 512),
    Load("c4000", "4,000 connections, 100 B", 4000),
    Load("10k", "64 connections, 10 KB", 64, "/10k", 10 * 1024),
    Load("1m", "16 connections, 1 MB", 16, "/1m", 1024 * 1024),
    Load(
        "close",
        "64 connections, a new one for each request, 100 B",
        64,
        close=True,
        note="The relay knows no HTTP: it opens a backend connection for each client connection, "
        "where the proxies keep theirs. Here it is no floor.",
    ),
    Idle(
        "idle",
        "Memory per idle keep-alive connection",
        8000,
        note="The relay holds two sockets for each client connection. Kernel memory is not counted.",
    ),
]
QUICK = ["c1", "c64", "c512", "idle"]


class Failed(Exception):
    """Why a peer has no number in a scenario."""


def ask(port, path):
    """One request: (status, length of the body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, len(response.read())
    finally:
        connection.close()


def wait_until_serving(child, port, path, size, seconds=15):
    """Until the right answer comes, or Failed."""
    deadline = time.monotonic() + seconds
    answer = "no answer"
    while time.monotonic() < deadline:
        if not child.alive():
            raise Failed(f"exited with {child.process.returncode}: {child.last_words()}")
        try:
            status, length = ask(port, path)
            if (status, length) == (200, size):
                return
            answer = f"answers {status} with {length} bytes, not 200 with {size}"
        except (OSError, http.client.HTTPException) as error:
            answer = str(error) or type(error).__name__
        time.sleep(0.05)
    raise Failed(f"not serving: {answer}")


def wrk(scenario, port, seconds, script):
    # On our own core, which is the load generator's.
    command = ["wrk", "-t1", "--latency", "--timeout", "10s"]
    command += ["-c", scenario.connections, "-d", f"{seconds}s", "-s", script]
    if scenario.close:
        command += ["-H", "Connection: close"]
    command.append(f"http://127.0.0.1:{port}{scenario.path}")
    command = [str(part) for part in command]
    limit = seconds + 60
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"wrk did not end within {limit} s") from error
    for line in done.stdout.splitlines():
        if line.startswith("JSON "):
            return json.loads(line[5:])
    raise Failed(f"wrk: {(done.stderr or done.stdout).strip()[:200]}")


def measure_load(scenario, peer, child, options):
    script = options.directory / "report.lua"
    if not script.exists():
        script.write_text(REPORT_LUA)
    if options.warmup:
        # Thousands of upstream connections take the slower peers some seconds to open.
        seconds = max(options.warmup, scenario.connections // 1000)
        wrk(scenario, peer.port, seconds, script)
    ticks_before = child.cpu_ticks()
    core_before = system.core_ticks(options.proxy_core)
    began = time.monotonic()
    seen = wrk(scenario, peer.port, options.duration, script)
    wall = time.monotonic() - began
    ticks_after = child.cpu_ticks()
    core_after = system.core_ticks(options.proxy_core)
    if not child.alive():
        raise Failed(f"died under load: {child.last_words()}")
    requests = seen["requests"]
    if requests == 0:
        raise Failed(f"no request completed: {errors_of(seen) or 'no error either'}")
    user, kernel = (after - before for after, before in zip(ticks_after, ticks_before))
    busy, stolen = (after - before for after, before in zip(core_after, core_before))
    micros = 1e6 / system.TICK / requests
    whole = wall * system.TICK
    return {
        **seen,
        "rps": requests / (seen["duration_us"] / 1e6),
        "user_us": user * micros,
        "system_us": kernel * micros,
        "cpu_us": (user + kernel) * micros,
        "busy": (user + kernel) / whole,
        "others": max(0.0, (busy - user - kernel) / whole),
        "stolen": stolen / whole,
    }


def errors_of(seen):
    """What went wrong, in words; empty when nothing did."""
    kinds = {"non_2xx": "not 2xx/3xx"}
    names = ("connect", "read", "write", "timeout", "non_2xx")
    return ", ".join(f"{seen[n]} {kinds.get(n, n)}" for n in names if seen.get(n))


def measure_idle(scenario, peer, child, options):
    # Whatever the first requests allocate once is not the connections' doing.
    hold(peer.port, scenario, WAVE, close=True)
    time.sleep(0.5)
    before = child.memory()
    held = hold(peer.port, scenario, options.idle_connections or scenario.connections)
    try:
        time.sleep(1)
        after = child.memory()
        if not child.alive():
            raise Failed(f"died: {child.last_words()}")
        open_still = sum(still_open(one) for one in held)
        if open_still < len(held):
            raise Failed(f"{len(held) - open_still} of {len(held)} connections were closed")
    finally:
        for one in held:
            one.close()
    result = {"connections": len(held), "before": before, "after": after}
    for kind in before:
        result[f"{kind}_bytes"] = (after[kind] - before[kind]) / len(held)
    return result


def still_open(one):
    try:
        return one.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def hold(port, scenario, count, close=False):
    """Opens connections in waves, one request on each; returns them open."""
    request = f"GET {scenario.path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    held = []
    try:
        while len(held) < count:
            held += wave(port, request, scenario.size, min(WAVE, count - len(held)))
    except OSError as error:
        for one in held:
            one.close()
        raise Failed(f"connection {len(held) + 1}: {error}") from error
    if close:
        for one in held:
            one.close()
    return held


def wave(port, request, size, count):
    answers = {}
    with selectors.DefaultSelector() as selector:
        try:
            for _ in range(count):
                one = socket.create_connection(("127.0.0.1", port), timeout=10)
                one.setblocking(False)
                answers[one] = b""
                one.sendall(request)
                selector.register(one, selectors.EVENT_READ)
            deadline = time.monotonic() + 10
            while selector.get_map():
                ready = selector.select(1)
                if not ready and time.monotonic() > deadline:
                    raise TimeoutError("no answer within 10 s")
                for key, _ in ready:
                    data = key.fileobj.recv(65536)
                    if not data:
                        raise ConnectionError("closed before the answer was whole")
                    answers[key.fileobj] += data
                    if whole(answers[key.fileobj], size):
                        selector.unregister(key.fileobj)
        except OSError:
            for one in answers:
                one.close()
            raise
    return list(answers)


def whole(answer, size):
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= size


def measure(scenario, peer, options):
    """One measurement on a freshly started peer: a dictionary that always says its status."""
    result = {"scenario": scenario.name, "peer": peer.name, "at": system.now()}
    if peer.missing:
        return result | {"status": "missing", "why": peer.missing}
    child = None
    try:
        child = options.started(peer.start(options.directory, options))
        wait_until_serving(child, peer.port, scenario.path, scenario.size)
        how = measure_idle if isinstance(scenario, Idle) else measure_load
        return result | {"status": "ok"} | how(scenario, peer, child, options)
    except (Failed, OSError) as error:
        return result | {"status": "failed", "why": str(error)}
    finally:
        if child:
            options.stopped(child)
