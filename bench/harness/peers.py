"""Each peer: how it is found, configured as well as we know how, and started on one core."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import system

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
#: Ports, counted from --port-base.
BACKEND, ADMIN, RINGLINK = 80, 999, 101
BACKLOG = 4096


@dataclass
class Peer:
    name: str
    port: int
    #: The program, or None; `missing` then says why.
    program: Path | None
    version: str | None
    #: (peer, directory, options) -> command; writes configuration files on the way.
    command: object
    missing: str | None = None
    note: str | None = None

    def start(self, directory, options):
        """Starts it on its port, of which nobody else may be the owner."""
        system.must_be_free(self.port)
        directory = Path(directory) / self.name
        directory.mkdir(exist_ok=True)
        command = self.command(self, directory, options)
        return system.Child(self.name, command, options.proxy_core, directory / "log")


def template(name, **values):
    """A file of bench/peers with its @NAMES@ filled in."""
    text = (BENCH / "peers" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    left = re.search(r"@[A-Z_]+@", text)
    assert not left, f"{name}: {left[0]} not filled in"
    return text


def write(path, text):
    path.write_text(text)
    return path


def nginx_user():
    return "user root;" if os.geteuid() == 0 else ""


# The backend.


def start_backend(options):
    """An nginx that answers everything itself, on the load generator's core."""
    system.must_be_free(options.backend)
    directory = Path(options.directory) / "backend"
    (directory / "www").mkdir(parents=True)
    for name, size in (("10k", 10 * 1024), ("1m", 1024 * 1024)):
        (directory / "www" / name).write_bytes(os.urandom(size))
    config = write(
        directory / "nginx.conf",
        template(
            "backend.conf", DIR=directory, PORT=options.backend, USER=nginx_user(), BACKLOG=BACKLOG
        ),
    )
    program = find("nginx")
    if program is None:
        raise SystemExit("the backend needs nginx: run bench/setup")
    command = [program, "-c", config, "-e", directory / "error.log"]
    return system.Child("backend", command, options.load_core, directory / "log")


# The peers.


def relay_command(peer, _directory, options):
    return [peer.program, f"127.0.0.1:{peer.port}", f"127.0.0.1:{options.backend}"]


def nginx_command(peer, directory, options):
    values = {"DIR": directory, "PORT": peer.port, "BACKEND": options.backend, "USER": nginx_user()}
    config = write(directory / "nginx.conf", template("nginx.conf", BACKLOG=BACKLOG, **values))
    return [peer.program, "-c", config, "-e", directory / "error.log"]


def haproxy_command(peer, directory, options):
    # Two descriptors for every connection, and some for itself.
    most = (options.descriptor_limit - 100) // 2
    values = {"PORT": peer.port, "BACKEND": options.backend, "MAXCONN": most, "BACKLOG": BACKLOG}
    config = write(directory / "haproxy.cfg", template("haproxy.cfg", **values))
    return [peer.program, "-db", "-f", config]


def envoy_command(peer, directory, options):
    values = {"PORT": peer.port, "BACKEND": options.backend, "BACKLOG": BACKLOG}
    config = write(directory / "envoy.yaml", template("envoy.yaml", **values))
    command = [peer.program, "-c", config, "--concurrency", "1"]
    return [*command, "--disable-hot-restart", "--log-level", "error"]


def pingora_command(peer, _directory, options):
    return [peer.program, f"127.0.0.1:{peer.port}", f"127.0.0.1:{options.backend}"]


def ringlink_command(peer, directory, options):
    values = {"PORT": peer.port, "BACKEND": options.backend, "ADMIN": options.port_base + ADMIN}
    values |= {"DRIVER": options.driver, "CORE": options.proxy_core}
    config = write(directory / "ringlink.yaml", template("ringlink.yaml", **values))
    return [peer.program, config]


# Finding them.


def find(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    return Path(found) if found else None


def find_envoy():
    for path in sorted(BENCH.glob("out/venv/lib/python3*/site-packages/envoy/_bin/envoy")):
        return path
    return find("envoy")


def package_version(package, dependency):
    """The version of a dependency in a package's Cargo.lock."""
    lock = (BENCH / "peers" / package / "Cargo.lock").read_text()
    match = re.search(rf'name = "{dependency}"\nversion = "([^"]+)"', lock)
    return match[1] if match else None


def built(package):
    path = BENCH / "peers" / package / "target/release" / f"peer-{package}"
    return path if path.exists() else None


def installed(name, port, program, command, version, note=None):
    missing = None if program else "not installed: run bench/setup"
    shown = version(program) if program else None
    return Peer(name, port, program, shown, command, missing, note)


def first_number(command):
    text = system.output_of(command) or ""
    match = re.search(r"\d+\.\d+(\.\d+)?", text)
    return match[0] if match else text


def build_ringlink():
    """Builds the default binary where there is none; returns it, or None and the reason."""
    path = ROOT / "target/release/ringlink"
    if path.exists():
        return path, None
    print("building ringlink (release) ...", flush=True)
    command = ["cargo", "build", "--release", "--bin", "ringlink"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        return None, str(error)
    if done.returncode == 0 and path.exists():
        return path, None
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    return None, f"does not build: {errors[0] if errors else 'see cargo build --release'}"


def ringlinks(builds, base):
    """The builds named on the command line, or the default one."""
    if not builds:
        path, why = build_ringlink()
        version = first_number([path, "--version"]) if path else None
        yield Peer("ringlink", base + RINGLINK, path, version, ringlink_command, why)
    for at, build in enumerate(builds):
        name, equals, path = build.partition("=")
        name, path = (name, Path(path)) if equals else ("ringlink", Path(build))
        path = path.resolve()
        why = None if path.is_file() else f"no such file: {path.name}"
        version = first_number([path, "--version"]) if not why else None
        yield Peer(
            name, base + RINGLINK + at, None if why else path, version, ringlink_command, why
        )


def all_peers(builds, base):
    """Every peer, those of ringlink's builds first; and the names of these."""
    peers = list(ringlinks(builds, base))
    ours = [peer.name for peer in peers]
    relay, pingora = built("relay"), built("pingora")
    nginx, haproxy, envoy = find("nginx"), find("haproxy"), find_envoy()

    def flag_version(flag):
        return lambda program: first_number([program, flag])

    def envoy_version(program):
        match = re.search(r"/(\d+\.\d+\.\d+)/", system.output_of([program, "--version"]) or "")
        return match[1] if match else None

    def relay_version(_program):
        return f"io-uring {package_version('relay', 'io-uring')}"

    def pingora_version(_program):
        return package_version("pingora", "pingora")

    peers += [
        installed(
            "relay",
            base + 220,
            relay,
            relay_command,
            relay_version,
            "bytes only: opens one backend connection per client connection",
        ),
        installed("nginx", base + 230, nginx, nginx_command, flag_version("-v")),
        installed("haproxy", base + 240, haproxy, haproxy_command, flag_version("-v")),
        installed("envoy", base + 250, envoy, envoy_command, envoy_version),
        installed("pingora", base + 260, pingora, pingora_command, pingora_version),
    ]
    assert len({peer.name for peer in peers}) == len(peers), "two peers of one name"
    return peers, ours


def tool_versions():
    return {"wrk": first_number([find("wrk"), "-v"])}


def dump(path, data):
    """Writes JSON whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1) + "\n")
    part.replace(path)
