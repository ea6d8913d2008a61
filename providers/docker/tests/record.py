#!/usr/bin/env python3
"""Records the exchanges that the tests replay, from a real engine.

    record.py SOCKET

The engine must be a private one with the image `tools:latest` (busybox); see README.md. It is filled
with a few containers, and what it says goes to `recorded/`: shortened where it is long, and with the
engine's own directories replaced by the usual ones.
"""
import calendar
import http.client
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

SOCKET = sys.argv[1]
OUT = pathlib.Path(__file__).parent / "recorded"


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def ask(path):
    engine = Engine("engine")
    engine.request("GET", path)
    answer = engine.getresponse()
    return answer, answer.read()


def docker(*args):
    command = ["docker", "-H", f"unix://{SOCKET}", *args]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run(name, *args, options=()):
    docker("run", "-d", "--network=none", "--name", name, *options, "tools:latest", *args)


def compose(project, service, number):
    labels = {"project": project, "service": service, "container-number": number}
    return [word for key, value in labels.items() for word in ("-l", f"com.docker.compose.{key}={value}")]


def exchange(path, shorten=lambda body: body):
    answer, body = ask(path)
    text = clean(body.decode())
    recorded = {"request": f"GET {path}", "status": answer.status}
    if path == "/_ping":
        recorded["headers"] = {"date": answer.getheader("Date")}
    is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
    recorded["body"] = shorten(json.loads(text)) if is_json else text
    return recorded


def clean(text):
    text = re.sub(re.escape(ROOT) + r"(?=[/\"])", "/var/lib/docker", text)
    text = re.sub(r"[^\":]*/netns/", "/var/run/docker/netns/", text)
    return text.replace(f'"{HOST}"', '"engine-host"').replace(KERNEL, "6.1.0-amd64")


def inspected(body):
    if "HostConfig" in body:
        body["HostConfig"] = {key: body["HostConfig"][key] for key in ("LogConfig", "NetworkMode", "PortBindings")}
        body["GraphDriver"] = {"Name": body["GraphDriver"]["Name"]}
    return body


def now():
    """The engine's clock, as `since` takes it."""
    text = json.loads(ask("/info")[1])["SystemTime"]
    whole, fraction = text.rstrip("Z").split(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return f"{seconds}.{fraction:0<9}"


info = json.loads(ask("/info")[1])
ROOT, HOST, KERNEL = info["DockerRootDir"], info["Name"], info["KernelVersion"]

for name in docker("ps", "-aq").split():
    docker("rm", "-f", name)
docker("volume", "create", "--label", "keep=yes", "data")
health = ["--health-cmd", "true", "--health-interval", "1s", "-l", "tier=front", "-v", "data:/data"]
run("api-server", "sh", "-c", "echo out; echo err >&2; sleep 900", options=[*health, *compose("shop", "api", 1)])
docker("network", "create", "--subnet", "10.77.0.0/24", "--label", "team=web", "shopnet")
ports = ["-p", "127.0.0.1:18080:80", "-p", "127.0.0.1:18053:53/udp", "--expose", "9000"]
docker("run", "-d", "--network=shopnet", "--name", "web", *ports, "tools:latest", "sleep", "900")
run("idle", "sleep", "900")
docker("pause", "idle")
run("job", "sh", "-c", "echo done; echo warned >&2; exit 3", options=compose("shop", "jobs", 1))
run("tty", "echo", "on a terminal", options=["-t"])
docker("create", "--network=none", "--name", "waiting", *compose("shop", "api", 2), "tools:latest", "sleep", "5")
time.sleep(3)

names = ["api-server", "web", "idle", "job", "tty", "waiting"]
ids = {name: docker("inspect", "-f", "{{.Id}}", name) for name in names}
image = docker("inspect", "-f", "{{.Id}}", "tools:latest")
network = docker("network", "inspect", "-f", "{{.Id}}", "shopnet")
log = "logs?stdout=1&stderr=1&timestamps=1&tail=all"
exchanges = [exchange(path, inspected) for path in (
    "/_ping", "/version", "/info", "/containers/json?all=1",
    *(f"/containers/{known}/json" for name in names for known in (name, ids[name])),
    f"/containers/{ids['job'][:12]}/json", "/containers/nobody/json",
    *(f"/containers/{ids[name]}/{log}" for name in names[:-1]),
    "/images/json", f"/images/{image}/json", f"/images/{image}/history",
    "/images/tools:latest/json", "/images/acme%2Ftools:1.0/json",
    "/volumes", "/volumes/data", "/networks", f"/networks/{network}",
)]
OUT.joinpath("engine.json").write_text(json.dumps(exchanges, indent=1) + "\n")

since = now()
docker("start", "waiting")
docker("rename", "waiting", "renamed")
docker("network", "disconnect", "shopnet", "web")
docker("network", "connect", "shopnet", "web")
docker("stop", "-t", "0", "renamed")
docker("unpause", "idle")
docker("rm", "-f", "idle")
docker("tag", "tools:latest", "other:1")
docker("rmi", "other:1")
docker("volume", "create", "spare")
docker("volume", "rm", "spare")
docker("exec", "web", "true")
docker("rm", "-f", "web")
docker("network", "rm", "shopnet")
until = now()
lines = clean(ask(f"/events?since={since}&until={until}")[1].decode()).splitlines()
lines = [line for line in lines if ids["api-server"] not in line]
OUT.joinpath("events.jsonl").write_text("\n".join(lines) + "\n")
for name in docker("ps", "-aq").split():
    docker("rm", "-f", name)
docker("volume", "rm", "data")
