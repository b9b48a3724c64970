"""Who takes part: backends, ringlink, nginx and HAProxy, each configured for fleets of several
backends, one fleet behind each of its ports."""

import random
import socket
import urllib.request
from pathlib import Path

from harness import peers, scenarios, system

from . import backend
from .process import Forked

#: For ringlink's `service`: what is retried.
RETRYING = "responseClassifier: {kind: io.l5d.http.retryableIdempotent5XX}"


def ports(count):
    """Free ports from below the range that the kernel gives to outgoing connections: a connect to
    a dead backend's port might else meet itself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    while len(found) < count:
        port = random.randrange(10_000, max(lowest, 20_000))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def start_backends(options, board, backends, first=0, core=None):
    """One process that serves them all, on the proxy's core: it does little, while the load, whose
    delays everybody's times would have in them, has a core of its own."""
    core = options.proxy_core if core is None else core
    return options.started(Forked(core, backend.serve, board, first, backends))


class Proxy:
    """A running proxy: `ports[fleet]` leads to that fleet."""

    def __init__(self, options, name, command, directory, fleet_ports):
        self.options, self.ports = options, fleet_ports
        log = directory / "log"
        self.child = options.started(system.Child(name, command, options.proxy_core, log))
        try:
            for port in fleet_ports.values():
                scenarios.wait_until_serving(self.child, port, "/", backend.SIZE)
        except scenarios.Failed as failure:
            raise scenarios.Failed(f"{name}: {failure}") from failure

    def stop(self):
        self.options.stopped(self.child)


class Ringlink(Proxy):
    """ringlink with a router, a server and a name for each fleet. The strings are what stands
    in the braces of the router's `client`, `service` and server."""

    def __init__(self, options, fleets, client="", service="", server=""):
        self.admin, *own = ports(1 + len(fleets))
        fleet_ports = dict(zip(fleets, own))
        text = f"admin: {{port: {self.admin}}}\n"
        text += f"engine: {{driver: {options.driver}, cores: [{options.proxy_core}]}}\n"
        text += "namers:\n- kind: io.l5d.static\n  names:\n"
        for name, backends in fleets.items():
            addresses = ", ".join(f"127.0.0.1 {port}" for port in backends)
            text += f"    /{name}: [{addresses}]\n"
        text += "routers:\n"
        for name, port in fleet_ports.items():
            text += f"- protocol: http\n  label: {name}\n"
            text += "  identifier: {kind: io.l5d.static, path: /web}\n"
            text += "  dtab: /svc => /#/io.l5d.static ; "
            text += f"/svc/web => /#/io.l5d.static/{name}\n"
            text += f"  servers: [{{port: {port}, {server}}}]\n"
            text += f"  client: {{{client}}}\n  service: {{{service}}}\n"
        directory = room(options, "ringlink")
        config = peers.write(directory / "ringlink.yaml", text)
        command = [options.ringlink, config]
        super().__init__(options, "ringlink", command, directory, fleet_ports)

    def metric(self, name, label=""):
        """The sum of a metric's samples that have this label, written `rt="web"`."""
        url = f"http://127.0.0.1:{self.admin}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        its = (line for line in lines if line.split("{")[0].split(" ")[0] == name)
        return sum(float(line.rpartition(" ")[2]) for line in its if label in line)


class Nginx(Proxy):
    """nginx with an upstream and a server for each fleet; `balance` is a line of the upstreams."""

    def __init__(self, options, fleets, balance=""):
        fleet_ports = dict(zip(fleets, ports(len(fleets))))
        directory = room(options, "nginx")
        blocks = ""
        for name, backends in fleets.items():
            servers = " ".join(f"server 127.0.0.1:{port};" for port in backends)
            blocks += f"upstream {name} {{ {balance} {servers} keepalive 1024; }}\n"
            blocks += f"server {{ listen 127.0.0.1:{fleet_ports[name]}; location / {{\n"
            blocks += f"proxy_pass http://{name}; proxy_http_version 1.1;\n"
            blocks += 'proxy_set_header Connection ""; } }\n'
        text = NGINX.format(directory=directory, user=peers.nginx_user(), blocks=blocks)
        config = peers.write(directory / "nginx.conf", text)
        command = [peers.find("nginx"), "-c", config, "-e", directory / "error.log"]
        super().__init__(options, "nginx", command, directory, fleet_ports)


class Haproxy(Proxy):
    """HAProxy with a frontend and a backend for each fleet; `balance` is a line of the backends."""

    def __init__(self, options, fleets, balance=""):
        fleet_ports = dict(zip(fleets, ports(len(fleets))))
        directory = room(options, "haproxy")
        text = HAPROXY
        for name, backends in fleets.items():
            text += f"frontend {name}-front\n    bind 127.0.0.1:{fleet_ports[name]}\n"
            text += f"    default_backend {name}\nbackend {name}\n    http-reuse always\n"
            text += f"    {balance}\n"
            for at, port in enumerate(backends):
                text += f"    server s{at} 127.0.0.1:{port}\n"
        config = peers.write(directory / "haproxy.cfg", text)
        command = [peers.find("haproxy"), "-db", "-f", config]
        super().__init__(options, "haproxy", command, directory, fleet_ports)


# As in bench/peers, but for the balancing, which is their default where nothing is said.
NGINX = """daemon off; {user}
pid {directory}/pid; error_log {directory}/error.log crit;
worker_processes 1; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
access_log off; keepalive_requests 1000000000;
client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
scgi_temp_path {directory}/scgi;
{blocks}
}}
"""
HAPROXY = """global
    nbthread 1
    maxconn 8000
defaults
    mode http
    maxconn 8000
    timeout connect 5s
    timeout client 1m
    timeout server 1m
"""


def room(options, name):
    """An empty directory."""
    options.rooms += 1
    directory = options.directory / f"{name}-{options.rooms}"
    directory.mkdir()
    return directory
