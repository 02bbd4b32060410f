#!/usr/bin/env python3
"""Kills the server (-9) again and again while 16 clients create, change, batch and retry (TRUST.md, R1).

After each kill, in a copy of the database: every acknowledged write is there, no batch is there by half, no idempotency key had
two effects, SQLite finds the file sound; and the server comes back by itself. Retries after the restart give exactly one row.

The harness proves that it can see: the same checks must find fault with a copy from which one acknowledged row was taken, with
half a batch, with a row twice, and with a ledger that believes writes before they are acknowledged.

    crash.py [CYCLES]
"""

import http.client
import json
import random
import shutil
import sqlite3
import sys
import threading
import time
from urllib.parse import urlsplit

from app import App

CYCLES = 50
CLIENTS = 16
# When the kill comes, in seconds after the clients began.
LIFE = (0.05, 0.6)
BATCH = 3


class Ledger:
    """What clients were told. Each client writes to its own, so there is nothing to lock."""

    def __init__(self):
        self.tags = set()
        self.batches = set()
        self.comments = set()
        # Counter rows: the last value that was acknowledged, and the last that was sent.
        self.counted = {}
        self.sent = {}

    def add(self, other):
        self.tags |= other.tags
        self.batches |= other.batches
        self.comments |= other.comments
        self.counted.update(other.counted)
        self.sent.update(other.sent)


class Client:
    """Sends writes one after another until the server is gone."""

    def __init__(self, number, headers, post, author):
        self.number, self.post, self.author = number, post, author
        self.headers = headers
        self.told = Ledger()
        self.believed = Ledger()
        self.retries = []
        self.turn = 0
        self.writes = 0
        self.wrong = []

    def run(self, url):
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        try:
            # What the crash left in doubt is sent again first, under its own key.
            retries, self.retries = self.retries, []
            for at, name in enumerate(retries):
                self.retries = retries[at:]
                self.comment(connection, name)
            self.retries = []
            while True:
                self.turn += 1
                [self.tag, self.batch, self.new_comment, self.count][self.turn % 4](connection)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    def send(self, connection, method, path, body, expected, extra=None):
        connection.request(method, path, json.dumps(body), {**self.headers, **(extra or {})})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in expected:
            self.wrong.append(f"{method} {path}: {answer.status} {text[:300]!r}")
            return False
        self.writes += 1
        return True

    def name(self, kind):
        return f"{kind}-{self.number}-{self.turn}"

    def tag(self, connection):
        name = self.name("t")
        self.believed.tags.add(name)
        if self.send(connection, "POST", "/rest/v1/tags", {"name": name}, [201]):
            self.told.tags.add(name)

    def batch(self, connection):
        name = self.name("b")
        steps = [
            {"method": "POST", "path": "/rest/v1/tags", "body": {"name": f"{name}-{step}"}} for step in range(BATCH)
        ]
        self.believed.batches.add(name)
        if self.send(connection, "POST", "/rest/v1/batch", {"steps": steps}, [200]):
            self.told.batches.add(name)

    def new_comment(self, connection):
        name = self.name("c")
        self.retries.append(name)
        self.comment(connection, name)
        self.retries.remove(name)

    def comment(self, connection, name):
        self.believed.comments.add(name)
        row = {"post_id": self.post, "author_id": self.author, "body": name}
        if self.send(connection, "POST", "/rest/v1/comments", row, [201], {"idempotency-key": name}):
            self.told.comments.add(name)

    def count(self, connection):
        name = f"n-{self.number}"
        value = self.told.sent.get(name, 0) + 1
        self.told.sent[name] = value
        change = {"description": str(value)}
        if self.send(connection, "PATCH", f"/rest/v1/tags?name=eq.{name}", change, [204]):
            self.told.counted[name] = value


def faults(path, ledger):
    """What is wrong in a database, given what clients were told. Each as a sentence."""
    database = sqlite3.connect(path)
    try:
        found = [f"integrity: {row[0]}" for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"dangling reference: {row}" for row in database.execute("PRAGMA foreign_key_check")]
        tags = dict(database.execute("SELECT name, description FROM tags"))
        comments = {}
        for (body,) in database.execute("SELECT body FROM comments"):
            comments[body] = comments.get(body, 0) + 1
    finally:
        database.close()
    found += [f"lost: create {name}" for name in ledger.tags - tags.keys()]
    found += [f"lost: comment {name}" for name in ledger.comments - comments.keys()]
    found += [f"twice: comment {name}, {times} times" for name, times in comments.items() if times > 1]
    steps = {}
    for name in tags:
        if name.startswith("b-"):
            steps.setdefault(name.rsplit("-", 1)[0], []).append(name)
    found += [f"half: batch {name} has {len(there)}" for name, there in steps.items() if len(there) != BATCH]
    found += [f"lost: batch {name}" for name in ledger.batches - steps.keys()]
    for name, acknowledged in ledger.counted.items():
        there = int(tags.get(name) or 0)
        if not acknowledged <= there <= ledger.sent[name]:
            found.append(f"lost: {name} is {there}, acknowledged {acknowledged}, sent {ledger.sent[name]}")
    return found


def snapshot(app, to):
    """The database as the crash left it, its log included, so that looking changes nothing of it."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for path in app.data.glob("main.db*"):
        shutil.copy(path, to)
    return to / "main.db"


def controls(path, ledger, believed):
    """Faults made by hand, which the checks must find."""

    def altered(name, *statements):
        copy = path.parent / f"{name}.db"
        source = sqlite3.connect(path)
        target = sqlite3.connect(copy)
        source.backup(target)
        source.close()
        for statement in statements:
            changed = target.execute(*statement).rowcount
            assert changed == 1, f"{statement} changed {changed} rows"
        target.commit()
        target.close()
        return copy

    batch = sorted(ledger.batches)[-1]
    comment = sorted(ledger.comments)[-1]
    tag = sorted(ledger.tags)[-1]
    columns = "post_id, author_id, body, created_at"
    cases = [
        ("lost: create", altered("lost", ("DELETE FROM tags WHERE name = ?", (tag,))), ledger),
        ("half: batch", altered("half", ("DELETE FROM tags WHERE name = ?", (f"{batch}-1",))), ledger),
        (
            "twice: comment",
            altered(
                "twice",
                (
                    f"INSERT INTO comments (id, {columns}) SELECT randomblob(16), {columns} FROM comments WHERE body = ?",
                    (comment,),
                ),
            ),
            ledger,
        ),
        # Also says whether any kill came while a write was under way: else the run would have shown nothing.
        ("lost: ", path, believed),
    ]
    return [wanted for wanted, copy, told in cases if not any(fault.startswith(wanted) for fault in faults(copy, told))]


def main():
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print(f"seed {seed}, {cycles} cycles", flush=True)
    app = App("blog")
    app.run("migrate")
    app.start("serve")
    headers = {"authorization": f"Bearer {app.secret}", "content-type": "application/json"}
    post, author = prepare(app, headers)
    clients = [Client(number, headers, post, author) for number in range(CLIENTS)]
    ledger, believed, wrong, ready = Ledger(), Ledger(), [], []
    passed, failed = 0, 0
    looked = app.folder / "look"
    for cycle in range(cycles):
        threads = [threading.Thread(target=client.run, args=(app.url,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(dice.uniform(*LIFE))
        app.kill()
        for thread in threads:
            thread.join()
        for client in clients:
            ledger.add(client.told)
            believed.add(client.believed)
            wrong += client.wrong
            client.wrong = []
        path = snapshot(app, looked)
        found = faults(path, ledger) + wrong
        wrong = []
        if found:
            failed += 1
            print(f"FAILED  cycle {cycle}: " + "; ".join(found[:5]))
        else:
            passed += 1
        ready.append(app.start("serve"))
    # Doubts that are left are settled by one more retry each, and then nothing is there twice.
    for client in clients:
        address = urlsplit(app.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        for name in client.retries:
            client.comment(connection, name)
        ledger.add(client.told)
        wrong += client.wrong
    app.stop()
    path = snapshot(app, looked)
    found = faults(path, ledger) + wrong
    if ledger.comments != believed.comments:
        found.append(f"{len(believed.comments - ledger.comments)} retries gave no answer")
    missed = controls(path, ledger, believed)
    for name, bad in [("the end", found), ("known-bad controls", [f"not seen: {name}" for name in missed])]:
        passed, failed = passed + (not bad), failed + bool(bad)
        print(f"{'FAILED' if bad else 'ok    '}  {name} {'; '.join(bad[:5])}")
    ready.sort()
    print(
        f"{sum(client.writes for client in clients)} acknowledged writes, {cycles} kills; "
        f"ready again in {ready[len(ready) // 2] * 1000:.0f} ms (median), {ready[-1] * 1000:.0f} ms (most)"
    )
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def prepare(app, headers):
    """A post to comment on, its author, and a row per client to count in."""
    address = urlsplit(app.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)

    def make(path, body):
        connection.request("POST", path, json.dumps(body), {**headers, "prefer": "return=representation"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), text
        return json.loads(text)

    author = make("/auth/v1/signup", {"email": "crash@example.com", "password": "a long enough password"})["user"]["id"]
    row = {"title": "Crash", "slug": "crash", "body": "x", "status": "published", "author_id": author}
    post = make("/rest/v1/posts", row)[0]["id"]
    make("/rest/v1/tags", [{"name": f"n-{number}"} for number in range(CLIENTS)])
    return post, author


if __name__ == "__main__":
    main()
