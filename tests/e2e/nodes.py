#!/usr/bin/env python3
"""Two nodes behind HAProxy on one database: each is restarted in the middle of thousands of requests (TRUST.md, R9 and E3).

No request fails, POST included; what was acknowledged by one node is seen by the next read, whichever node that asks; a token that
one node gave holds on the other at once, and a logout on one ends the session on the other within a second.

The harness proves that it can see: a node that is killed instead of told to end must make requests fail.

    nodes.py [REQUESTS]
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import stores
from app import App
from cluster import free_port

REQUESTS = 6_000
CLIENTS = 8
# A second, and one for a machine that runs other things too; the time is told.
LOGOUT_SECONDS_MAX = 2.0
HAPROXY = os.environ.get("E2E_HAPROXY") or "/usr/sbin/haproxy"

CONFIGURATION = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    monitor-uri /both
    monitor fail if {{ nbsrv(nodes) lt 2 }}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 100ms fall 1 rise 1
{servers}
"""


class Balancer:
    """HAProxy on a port, in front of others."""

    def __init__(self, port, ports):
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="haproxy-", dir=os.environ.get("E2E_SCRATCH")))
        servers = "\n".join(f"    server node{number} 127.0.0.1:{port}" for number, port in enumerate(ports))
        path = self.folder / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(port=self.port, servers=servers))
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([HAPROXY, "-db", "-f", str(path)], stdout=log, stderr=log)
        self.wait()

    def wait(self):
        """Until it sees both nodes."""
        deadline = time.monotonic() + 20
        while ask(self.port, "GET", "/both")[0] != 200:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self):
        self.process.kill()
        self.process.wait()


def ask(port, method, path, body=None, headers=None):
    """Status and JSON of an answer on a connection of its own; status 0 without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


class Client(threading.Thread):
    """Writes, and reads what it wrote by way of whichever node comes next."""

    def __init__(self, label, port, headers, requests):
        super().__init__(daemon=True)
        self.label, self.port, self.headers, self.left = label, port, headers, requests
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.failed, self.stale, self.sent, self.slowest = [], [], 0, 0.0

    def send(self, method, path, body=None):
        self.left -= 1
        self.sent += 1
        started = time.monotonic()
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            answer = self.connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            status, text = 0, repr(error)
        self.slowest = max(self.slowest, time.monotonic() - started)
        if not 200 <= status < 300:
            self.failed.append(f"{method} {path}: {status} {text[:200]!r}")
            return None
        return json.loads(text) if text else []

    def run(self):
        turn = 0
        while self.left > 0:
            turn += 1
            name = f"{self.label}-{turn}"
            if self.send("POST", "/rest/v1/tags", {"name": name}) is None:
                continue
            self.look(name, [{"name": name, "description": ""}])
            if self.send("PATCH", f"/rest/v1/tags?name=eq.{name}", {"description": "changed"}) is not None:
                self.look(name, [{"name": name, "description": "changed"}])
            if turn % 4 == 0 and self.send("DELETE", f"/rest/v1/tags?name=eq.{name}") is not None:
                self.look(name, [])

    def look(self, name, wanted):
        rows = self.send("GET", f"/rest/v1/tags?name=eq.{name}&select=name,description")
        if rows is not None and rows != wanted:
            self.stale.append(f"{name}: {rows}, not {wanted}")


def load(label, port, headers, requests, event):
    """Runs the clients, with something that happens in the middle; gives them when they are done."""
    clients = [Client(f"{label}-{number}", port, headers, requests // CLIENTS) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    happened = threading.Event()

    def middle():
        # A third of the way, so that much comes after it.
        while sum(client.left for client in clients) > requests * 2 // 3:
            time.sleep(0.01)
        event()
        happened.set()

    other = threading.Thread(target=middle, daemon=True)
    other.start()
    for client in clients:
        client.join(300)
    other.join(60)
    return clients, happened.is_set()


def restart(node):
    """As an operator does: told to end, waited for, started again at the same place."""
    node.process.send_signal(signal.SIGTERM)
    code = node.process.wait(60)
    assert code == 0, f"the node ended with {code}"
    node.start("serve", *node.arguments)


def sessions(nodes):
    """Signing up on one node, asking and logging out on the others; gives what is wrong and the slowest end of a session."""
    wrong, slowest = [], 0.0
    ports = [urlsplit(node.url).port for node in nodes]
    for turn in range(6):
        here, there = ports[turn % 2], ports[(turn + 1) % 2]
        key = {"apikey": nodes[0].publishable}
        account = {"email": f"node-{turn}@example.com", "password": "a long enough password"}
        status, session = ask(here, "POST", "/auth/v1/signup", account, key)
        if status != 200:
            wrong.append(f"sign-up: {status} {session}")
            continue
        bearer = {**key, "authorization": f"Bearer {session['access_token']}"}
        for path in ("/auth/v1/user", "/rest/v1/posts?limit=1"):
            status, body = ask(there, "GET", path, headers=bearer)
            if status != 200:
                wrong.append(f"a token of the other node on {path}: {status} {body}")
        status, body = ask(here, "POST", "/auth/v1/logout", {}, bearer)
        ended = time.monotonic()
        if status != 204:
            wrong.append(f"logout: {status} {body}")
        statuses = None
        while time.monotonic() - ended < 5:
            statuses = [ask(there, "GET", path, headers=bearer)[0] for path in ("/auth/v1/user", "/rest/v1/posts?limit=1")]
            # A session that is over is said to be so in either dialect.
            if all(status in (401, 403) for status in statuses):
                break
            time.sleep(0.01)
        spent = time.monotonic() - ended
        slowest = max(slowest, spent)
        if spent > LOGOUT_SECONDS_MAX:
            wrong.append(f"{spent:.2f} s after logout on one node, the other says {statuses}")
        status, body = ask(there, "POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]}, key)
        if status != 400:
            wrong.append(f"refresh after logout: {status} {body}")
    return wrong, slowest


def main():
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    url = stores.create(stores.server())
    nodes, balancer = [], None
    passed, failed = 0, 0

    def told(name, bad, words=""):
        nonlocal passed, failed
        passed, failed = passed + (not bad), failed + bool(bad)
        print(f"{'FAILED' if bad else 'ok    '}  {name}{': ' + words if words else ''}" + "".join(f"\n        {one[:400]}" for one in bad[:8]), flush=True)

    try:
        port = free_port()
        # Tokens name where clients call, which is the same for all nodes.
        place = {"UNDERGIRD_SERVER_PUBLIC_URL": f"http://127.0.0.1:{port}"}
        first = App("blog", place, url=url)
        first.run("migrate")
        keys = {
            **place,
            "UNDERGIRD_PUBLISHABLE_KEY": first.publishable,
            "UNDERGIRD_SECRET_KEY": first.secret,
        }
        nodes = [first, App("blog", keys, url=url)]
        ports = [free_port(), free_port()]
        for node, own in zip(nodes, ports):
            # The balancer looks every 100 ms; it must see that a node is going before the node is gone.
            node.arguments = ("--listen", f"127.0.0.1:{own}", "--grace", "1")
            node.start("serve", *node.arguments)
        balancer = Balancer(port, ports)
        headers = {"authorization": f"Bearer {first.secret}", "content-type": "application/json"}
        bad, slowest = sessions(nodes)
        told("sessions on both nodes", bad, f"a session ended on the other node in {slowest:.3f} s at most")
        for number, node in enumerate(nodes):
            clients, happened = load(f"r{number}", balancer.port, headers, requests // 2, lambda: restart(node))
            bad = [fault for client in clients for fault in client.failed + client.stale]
            bad += [] if happened else ["the restart did not end"]
            words = f"{sum(client.sent for client in clients)} requests, {sum(len(client.failed) for client in clients)} failed, {sum(len(client.stale) for client in clients)} stale, the slowest {max(client.slowest for client in clients):.2f} s"
            told(f"node {number} restarted", bad, words)
            balancer.wait()
        clients, _ = load("k", balancer.port, headers, requests // 4, nodes[0].kill)
        seen = sum(len(client.failed) for client in clients)
        stale = [fault for client in clients for fault in client.stale]
        told("known-bad control: a node killed", stale + ([] if seen else ["no request failed"]), f"{seen} requests failed")
    finally:
        for node in nodes:
            node.stop()
        if balancer:
            balancer.stop()
        stores.drop(stores.server(), url)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
