"""Processes, and what the kernel says of them and of the machine."""

import ctypes
import os
import platform
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MEMORY_KEYS = {"Rss", "Pss_Anon", "Private_Clean", "Private_Dirty"}


def raise_descriptor_limit():
    """The hard limit, made the soft one; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def must_be_free(port):
    """Were another's server on the port, we would measure that."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(f"port {port}: {error.strerror} (see --port-base)") from error


class Child:
    """A process (with its descendants) on one core, which does not outlive this program."""

    def __init__(self, name, command, core, log):
        self.name = name
        libc = ctypes.CDLL(None)

        def before_exec():
            libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            os.sched_setaffinity(0, {core})

        self.log = Path(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=before_exec,
            )

    def alive(self):
        return self.process.poll() is None

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no output"

    def stop(self):
        """Ends the whole session: politely first where several processes share it."""
        group = self.process.pid
        if self.alive() and len(family(group)) > 1:
            self.process.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def cpu_ticks(self):
        """User and system time of every process and thread, in ticks."""
        user = system = 0
        for pid in family(self.process.pid):
            try:
                fields = stat_fields(pid)
            except OSError:
                continue
            # utime, stime and, for children already gone, cutime, cstime.
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
        return user, system

    def memory(self):
        """Resident and anonymous bytes of every process."""
        total = {"rss": 0, "anon": 0, "private": 0}
        for pid in family(self.process.pid):
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            kb = {}
            for line in text.splitlines()[1:]:
                key, _, value = line.partition(":")
                if key in MEMORY_KEYS:
                    kb[key] = int(value.split()[0]) * 1024
            total["rss"] += kb["Rss"]
            total["anon"] += kb.get("Pss_Anon", 0)
            total["private"] += kb["Private_Clean"] + kb["Private_Dirty"]
        return total


class Children:
    """Everything started, so that everything can be stopped."""

    def __init__(self):
        self.running = []

    def started(self, child):
        self.running.append(child)
        return child

    def stopped(self, child):
        child.stop()
        self.running.remove(child)

    def stop_all(self):
        for child in reversed(self.running):
            child.stop()
        self.running.clear()


def stat_fields(pid):
    """/proc/PID/stat from the third field (state) on: the second may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(root):
    """A process and its living descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(stat_fields(entry)[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def core_ticks(core):
    """Busy and stolen ticks of a core."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
            return user + nice + system + irq + softirq, steal
    raise ValueError(f"no core {core}")


def output_of(command):
    """First line of what a command says, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else None


def machine():
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    virtual = output_of(["systemd-detect-virt"])
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kb / 2**20, 1),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "virtualization": virtual,
        "descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "load_at_start": os.getloadavg()[0],
    }


def git_commit(where):
    git = ["git", "-C", str(where)]
    commit = output_of([*git, "rev-parse", "--short=12", "HEAD"])
    changed = output_of([*git, "status", "--porcelain", "--untracked-files=no"])
    return f"{commit}+changes" if changed else commit


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
