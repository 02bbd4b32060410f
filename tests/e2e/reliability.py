#!/usr/bin/env python3
"""What the application does when its PostgreSQL or MariaDB, the wire to it, or itself is killed under load (TRUST.md, R1 and R3).

Clients create, change, batch, retry and read without pause, and check every answer. In the middle of it, one after another: the server is
killed (-9); the database is; PostgreSQL is stopped `-m immediate`; all sessions are terminated; the wire resets every
connection; loses answers; loses packets; holds all bytes. Held, in each round:

- no answer is wrong: a read shows what was acknowledged before it, and nothing that was never sent;
- no acknowledged write is lost, no batch is there by half, no Idempotency-Key had two effects, however often it was sent again;
- a request that fails is a problem with 503 or 409 and comes in time; soon after the database is back none fails, and work goes on.

The harness proves that it can see: the checks must find fault with altered copies of what they read, with a ledger that believes
writes before they are acknowledged, and with a database that acknowledges before it writes.

    reliability.py [--clients N] [ROUNDS] [FAULT …]      rounds of each fault, or of those named

Which database: E2E_STORE, PostgreSQL if it says nothing.
"""

import argparse
import copy
import http.client
import json
import os
import random
import sys
import threading
import time
from urllib.parse import urlsplit

import stores
from app import App
from cluster import MariaDb, Postgres, Wire, isolate, lose

ROUNDS = 1
CLIENTS = 16
BATCH = 3
# Before the fault, while it lasts (where it has a length), and from the end of it to the look.
BEFORE, DURING, AFTER = 1.0, 3.0, 4.0
# A request under a fault is to fail within 2 s. How many took longer is told; held is what the product's own limits add up to: a silent wire
# is given up after 2 s at most, and work that had not begun to commit waits a quarter of a second more for another connection. The rest
# is for machines that run other things too.
FAILURE_SECONDS_AIM, FAILURE_SECONDS_MAX = 2.0, 3.5
# From when the database takes questions again to when no request fails any more.
RECOVERY_SECONDS_MAX = 3.0
# Of the rate before the fault: a pool that is stuck gives nothing. More would measure the machine's other work.
RATE_MIN = 0.1


class Ledger:
    """What clients were told. Each client writes to its own."""

    def __init__(self):
        self.tags, self.batches, self.comments = set(), set(), set()
        # Counter rows: the last value that was acknowledged, and the last that was sent.
        self.counted, self.sent = {}, {}

    def add(self, other):
        self.tags |= other.tags
        self.batches |= other.batches
        self.comments |= other.comments
        self.counted.update(other.counted)
        self.sent.update(other.sent)


class Gone(Exception):
    """The connection to the application ended without an answer."""


class Client(threading.Thread):
    """Sends requests one after another, and checks each answer."""

    def __init__(self, number, world):
        super().__init__(daemon=True)
        self.number, self.world = number, world
        self.told, self.believed = Ledger(), Ledger()
        self.connection = None
        self.turn = 0
        self.last_tag, self.last_batch = None, None
        # When each answer came, how long it took, and its problem's code when it was one.
        self.answers = []
        self.wrong = []
        # The comment that is in doubt; it is sent again until it is acknowledged.
        self.doubt = None

    def run(self):
        acts = [self.tag, self.batch, self.comment, self.count, self.read_count, self.read_tag, self.read_batch]
        while not self.world.over.is_set():
            if self.world.paused.is_set():
                self.world.idle.release()
                self.world.resumed.wait()
                continue
            self.turn += 1
            # The request may begin before the server is back, and fail after.
            may_fail = self.world.app_may_be_gone.is_set()
            try:
                # What is in doubt is settled first.
                (self.comment if self.doubt else acts[self.turn % len(acts)])()
            except Gone as gone:
                if not may_fail and not self.world.app_may_be_gone.is_set():
                    self.wrong.append(f"no answer: {gone}")
                time.sleep(0.02)
            except Exception as error:  # noqa: BLE001: a client that stops silently would check nothing
                self.wrong.append(f"client: {error!r}")
                time.sleep(0.1)

    def send(self, method, path, body=None, extra=None):
        """Status and body of an answer, the latter as JSON."""
        started = time.monotonic()
        try:
            if self.connection is None:
                address = urlsplit(self.world.app.url)
                self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
            text = None if body is None else json.dumps(body)
            self.connection.request(method, path, text, {**self.world.headers, **(extra or {})})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            raise Gone(f"{method} {path} after {time.monotonic() - started:.2f} s: {error!r}") from error
        now = time.monotonic()
        good = answer.status < 400
        if good:
            self.answers.append((now, now - started, None))
            return answer.status, json.loads(text) if text else None
        problem = json.loads(text) if answer.headers.get("content-type") == "application/problem+json" else {}
        if answer.status not in (503, 409) or not problem.get("code") or not problem.get("message"):
            self.wrong.append(f"{method} {path}: {answer.status} {text[:300]!r}")
        self.answers.append((now, now - started, problem.get("code", "")))
        kind = f"{method} {path.split('?')[0].removeprefix('/rest/v1/')} {answer.status} {problem.get('code')}"
        self.world.codes[kind] = self.world.codes.get(kind, 0) + 1
        return answer.status, None

    def name(self, kind):
        return f"{kind}-{self.number}-{self.turn}"

    def tag(self):
        name = self.name("t")
        self.believed.tags.add(name)
        if self.send("POST", "/rest/v1/tags", {"name": name})[0] == 201:
            self.told.tags.add(name)
            self.last_tag = name

    def batch(self):
        name = self.name("b")
        steps = [
            {"method": "POST", "path": "/rest/v1/tags", "body": {"name": f"{name}-{step}"}} for step in range(BATCH)
        ]
        self.believed.batches.add(name)
        self.last_batch = name
        if self.send("POST", "/rest/v1/batch", {"steps": steps})[0] == 200:
            self.told.batches.add(name)

    def comment(self):
        self.doubt = self.doubt or self.name("c")
        self.believed.comments.add(self.doubt)
        row = {"post_id": self.world.post, "author_id": self.world.author, "body": self.doubt}
        if self.send("POST", "/rest/v1/comments", row, {"idempotency-key": self.doubt})[0] == 201:
            self.told.comments.add(self.doubt)
            self.doubt = None
        else:
            time.sleep(0.02)

    def count(self):
        name = f"n-{self.number}"
        value = self.told.sent.get(name, 0) + 1
        self.told.sent[name] = value
        if self.send("PATCH", f"/rest/v1/tags?name=eq.{name}", {"description": str(value)})[0] == 204:
            self.told.counted[name] = value

    def read_count(self):
        name = f"n-{self.number}"
        status, rows = self.send("GET", f"/rest/v1/tags?name=eq.{name}&select=description")
        if status == 200:
            there = int(rows[0]["description"] or 0) if len(rows) == 1 else -1
            if not self.told.counted.get(name, 0) <= there <= self.told.sent.get(name, 0):
                self.wrong.append(f"read {name}: {rows}, acknowledged {self.told.counted.get(name)}, sent {self.told.sent.get(name)}")

    def read_tag(self):
        if self.last_tag:
            status, rows = self.send("GET", f"/rest/v1/tags?name=eq.{self.last_tag}&select=name")
            if status == 200 and rows != [{"name": self.last_tag}]:
                self.wrong.append(f"read {self.last_tag}: {rows}")

    def read_batch(self):
        if self.last_batch:
            name = self.last_batch
            status, rows = self.send("GET", f"/rest/v1/tags?name=like.{name}-*&select=name")
            wanted = (BATCH,) if name in self.told.batches else (0, BATCH)
            if status == 200 and len(rows) not in wanted:
                self.wrong.append(f"read batch {name}: {rows}, acknowledged: {name in self.told.batches}")


class World:
    """A database, the wire, the application, and its clients."""

    def __init__(self, seed, store, clients):
        self.seed, self.store = seed, store
        self.codes = {}
        self.over, self.paused, self.resumed, self.app_may_be_gone = (threading.Event() for _ in range(4))
        self.idle = threading.Semaphore(0)
        self.cluster = STORES[store](stores.program)
        self.cluster.start()
        self.database = stores.create(self.cluster.url())
        self.wire = Wire(self.cluster.port)
        name = urlsplit(self.database).path.strip("/")
        self.app = App("blog", url=self.cluster.url_by(self.wire, name))
        self.app.run("migrate")
        self.app.start("serve")
        self.headers = {"authorization": f"Bearer {self.app.secret}", "content-type": "application/json"}
        self.post, self.author = self.prepare(clients)
        self.clients = [Client(number, self) for number in range(clients)]

    def prepare(self, clients):
        """A post to comment on, its author, and a row per client to count in."""
        address = urlsplit(self.app.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)

        def make(path, body):
            connection.request("POST", path, json.dumps(body), {**self.headers, "prefer": "return=representation"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status in (200, 201), text
            return json.loads(text)

        account = {"email": "reliable@example.com", "password": "a long enough password"}
        author = make("/auth/v1/signup", account)["user"]["id"]
        row = {"title": "Reliable", "slug": "reliable", "body": "x", "status": "published", "author_id": author}
        post = make("/rest/v1/posts", row)[0]["id"]
        make("/rest/v1/tags", [{"name": f"n-{number}"} for number in range(clients)])
        return post, author

    def pause_at_start(self):
        """Clients wait for the first `resume`."""
        self.paused.set()
        for client in self.clients:
            client.start()
        for _ in self.clients:
            assert self.idle.acquire(timeout=60), "a client hangs"

    def pause(self):
        """Waits until every client has its answer and sends nothing."""
        self.resumed.clear()
        self.paused.set()
        for _ in self.clients:
            assert self.idle.acquire(timeout=60), "a client hangs"

    def resume(self):
        self.paused.clear()
        self.resumed.set()

    def state(self):
        """What is in the database."""
        tags = dict(line.split("\t") for line in stores.sql(self.database, "SELECT name, coalesce(description, '') FROM tags").splitlines())
        return {"tags": tags, "comments": stores.sql(self.database, "SELECT body FROM comments").splitlines()}

    def ledgers(self):
        told, believed = Ledger(), Ledger()
        for client in self.clients:
            told.add(client.told)
            believed.add(client.believed)
        # What clients believe of counters is what they sent.
        believed.sent, believed.counted = told.sent, told.counted
        return told, believed

    def close(self):
        self.over.set()
        self.resume()
        self.app.stop()
        self.wire.stop()
        self.cluster.remove()


def faults(state, ledger):
    """What is wrong in a database, given what clients were told. Each as a sentence."""
    tags, comments = state["tags"], {}
    for body in state["comments"]:
        comments[body] = comments.get(body, 0) + 1
    found = [f"lost: create {name}" for name in ledger.tags - tags.keys()]
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


def kill_app(world):
    world.app_may_be_gone.set()
    world.app.kill()
    world.app.start("serve")
    world.app_may_be_gone.clear()


def kill_database(world):
    world.cluster.kill()
    world.cluster.start()


def stop_immediately(world):
    world.cluster.end()
    world.cluster.start()


def terminate_all(world):
    if world.store == "postgres":
        stores.sql(world.database, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
    else:
        stores.sql(world.database, "KILL HARD USER undergird")


def reset(world):
    world.wire.tell("reset")


def hold(world):
    world.wire.tell("hold")
    time.sleep(DURING)
    world.wire.tell("pass")


def lose_answers(world):
    """Commits arrive and their answers do not: nobody can tell what happened, but by the key of a retry."""
    world.wire.tell("mute")
    time.sleep(0.5)
    world.wire.tell("reset")
    world.wire.tell("pass")


def hold_and_reset(world):
    """A network that breaks for a while and forgets its connections."""
    world.wire.tell("hold")
    time.sleep(DURING)
    world.wire.tell("reset")
    world.wire.tell("pass")


def lose_packets(world):
    """A network that swallows what is sent."""
    lose(True)
    time.sleep(DURING)
    lose(False)


STORES = {"postgres": Postgres, "mysql": MariaDb}

FAULTS = {
    "kill the server": kill_app,
    "kill the database": kill_database,
    "immediate stop": stop_immediately,
    "terminate all": terminate_all,
    "reset": reset,
    "lose answers": lose_answers,
    "lose packets": lose_packets,
    "hold": hold,
    "hold and reset": hold_and_reset,
}

STALLS = ["hold", "hold and reset"]
# What MariaDB has no word for.
POSTGRES_ONLY = ["immediate stop"]


def rate(answers, begin, end):
    return sum(1 for at, _, code in answers if code is None and begin <= at < end) / (end - begin)


def one(world, name):
    """One fault under load; gives what was wrong, and a few words."""
    world.resume()
    begin = time.monotonic()
    time.sleep(BEFORE)
    struck = time.monotonic()
    FAULTS[name](world)
    back = time.monotonic()
    time.sleep(AFTER)
    end = time.monotonic()
    world.pause()
    answers, wrong = [], []
    for client in world.clients:
        answers += client.answers
        wrong += client.wrong
        client.answers, client.wrong = [], []
    # Two that meet on the same pages are told to try again with or without a fault.
    conflicts = sum(1 for _, _, code in answers if code == "40001")
    failures = [(at, spent) for at, spent, code in answers if code not in (None, "40001")]
    # Who holds bytes but acknowledges them cannot be told from a database that is slow; there a statement's own limit holds, and the
    # commit's. Held is that these requests end when the wire is back.
    stalled = name in STALLS
    slow = [spent for at, spent in failures if spent > FAILURE_SECONDS_MAX and not (stalled and at - spent < back)]
    late = [at - back for at, _ in failures if at - back > RECOVERY_SECONDS_MAX]
    before = rate(answers, begin + 0.2, struck)
    after = rate(answers, max(back, end - 1.0), end)
    if slow:
        wrong.append(f"{len(slow)} failures took longer than {FAILURE_SECONDS_MAX} s, {max(slow):.1f} s at most")
    if late:
        wrong.append(f"{len(late)} failures later than {RECOVERY_SECONDS_MAX} s after the database was back, the last {max(late):.1f} s")
    if after < RATE_MIN * before:
        wrong.append(f"{after:.0f} requests/s after the fault, {before:.0f} before it")
    last = max((at - back for at, _ in failures), default=0)
    words = (
        f"{before:.0f}/s before, {after:.0f}/s after; {len(failures)} failed, {sum(1 for _, spent in failures if spent > FAILURE_SECONDS_AIM)} later than after {FAILURE_SECONDS_AIM:.0f} s, in {max((spent for _, spent in failures), default=0):.2f} s at most, "
        f"the last {last:+.2f} s from when it was back; slowest good {max((spent for _, spent, code in answers if code is None), default=0):.2f} s; {conflicts} conflicts"
    )
    return wrong, words


def controls(state, ledger, believed):
    """Faults made by hand, which the checks must find; gives those that they do not."""

    def altered(change):
        other = copy.deepcopy(state)
        change(other)
        return other

    batch, comment, tag = sorted(ledger.batches)[-1], sorted(ledger.comments)[-1], sorted(ledger.tags)[-1]
    counter = sorted(ledger.counted)[0]
    cases = [
        ("lost: create", altered(lambda other: other["tags"].pop(tag)), ledger),
        ("half: batch", altered(lambda other: other["tags"].pop(f"{batch}-1")), ledger),
        ("lost: comment", altered(lambda other: other["comments"].remove(comment)), ledger),
        ("twice: comment", altered(lambda other: other["comments"].append(comment)), ledger),
        (f"lost: {counter}", altered(lambda other: other["tags"].update({counter: "0"})), ledger),
        # Also says whether any fault came while a write was under way: else the run would have shown nothing.
        ("lost: ", state, believed),
    ]
    return [wanted for wanted, seen, told in cases if not any(fault.startswith(wanted) for fault in faults(seen, told))]


def careless(world):
    """A database that acknowledges what it has not written: the loss must be seen. Gives a sentence when it is not."""
    if world.store == "postgres":
        settings = ["ALTER SYSTEM SET synchronous_commit = off", "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()"]
    else:
        settings = ["SET GLOBAL innodb_flush_log_at_trx_commit = 0"]
    for _ in range(3):
        for setting in settings:
            stores.sql(world.database, setting)
        world.resume()
        time.sleep(BEFORE)
        kill_database(world)
        time.sleep(0.5)
        world.pause()
        found = [fault for fault in faults(world.state(), world.ledgers()[0]) if fault.startswith("lost: ")]
        if found or any("read " in wrong for client in world.clients for wrong in client.wrong):
            return None, f"{len(found)} acknowledged writes lost by a careless database"
    return "a careless database lost nothing that was seen", ""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=CLIENTS)
    arguments.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    arguments.add_argument("faults", nargs="*", metavar="FAULT", help="of: " + ", ".join(FAULTS))
    given = arguments.parse_args()
    store = os.environ.get("E2E_STORE", "postgres")
    rounds, isolated = given.rounds, isolate(sys.argv)
    able = [name for name in FAULTS if store == "postgres" or name not in POSTGRES_ONLY]
    names = given.faults or [name for name in able if isolated or name != "lose packets"]
    if not isolated:
        print("skipped: \"lose packets\" takes root and a network of its own (unshare, ip)")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}, {rounds} rounds of {len(names)} faults on {store}, {given.clients} clients", flush=True)
    world = World(seed, store, given.clients)
    passed, failed, doubtful = 0, 0, 0
    try:
        world.pause_at_start()
        for turn in range(rounds):
            for name in names:
                found, words = one(world, name)
                found += faults(world.state(), world.ledgers()[0])
                passed, failed = passed + (not found), failed + bool(found)
                print(f"{'FAILED' if found else 'ok    '}  {name} {turn + 1}: {words}" + "".join(f"\n        {fault[:400]}" for fault in found[:6]), flush=True)
        # Comments in doubt are settled by now or by one more round without faults; then nothing is there twice.
        world.resume()
        time.sleep(0.5)
        world.pause()
        told, believed = world.ledgers()
        state = world.state()
        end = faults(state, told)
        if told.comments != believed.comments:
            end.append(f"{len(believed.comments - told.comments)} retries gave no answer")
        doubtful = len((believed.tags & state["tags"].keys()) - told.tags)
        missed = [f"not seen: {name}" for name in controls(state, told, believed)]
        sentence, words = careless(world)
        missed += [sentence] if sentence else []
        for name, bad in [("the end", end), (f"known-bad controls ({words})", missed)]:
            passed, failed = passed + (not bad), failed + bool(bad)
            print(f"{'FAILED' if bad else 'ok    '}  {name} {'; '.join(bad[:5])}")
        writes = len(told.tags) + len(told.batches) + len(told.comments) + sum(told.counted.values())
        print(f"about {writes} acknowledged writes; {doubtful} creates are there without a good answer; refused: {world.codes}")
    finally:
        world.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
