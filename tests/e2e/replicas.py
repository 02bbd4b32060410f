#!/usr/bin/env python3
"""Reads of a streaming replica, through the binary: `Prefer: consistency=eventual` on a primary and a standby of the test's own.

An answer that may be old has everything that was acknowledged before its bound began; one that does not say that it may be old, and every
answer to those who did not ask, has everything that was acknowledged before its request. This is held while the standby's replay is
paused, while it is frozen, killed and started again, under writing. No read fails, and none waits for the replica for long.

The harness proves that it can see: with a bound of a minute, and replay paused, it must find answers older than a second.

Absent: what a replica is asked and when (crates/store-postgres/src/tests/replicas.rs).
"""

import http.client
import json
import signal
import sys
import threading
import time
from urllib.parse import urlsplit

import stores
from app import App
from cluster import Postgres, Standby

BOUND_SECONDS = 1
PHASE_SECONDS = 4.0
READERS = 3
# The bound is the server's, from before the request was sent; between two clocks of one machine there is nothing.
SECONDS_MAX = 2.0
EVENTUAL = {"prefer": "consistency=eventual"}


class Connection:
    """Requests on a connection that is made anew when it breaks."""

    def __init__(self, app):
        self.wire = http.client.HTTPConnection("127.0.0.1", urlsplit(app.url).port, timeout=30)
        self.headers = {"authorization": f"Bearer {app.secret}", "content-type": "application/json"}

    def ask(self, method, path, body=None, headers=None):
        """Status, JSON, and whether the answer says that it may be old."""
        try:
            self.wire.request(method, path, None if body is None else json.dumps(body), {**self.headers, **(headers or {})})
            answer = self.wire.getresponse()
            text = answer.read()
            old = "consistency=eventual" in (answer.getheader("preference-applied") or "")
            return answer.status, json.loads(text) if text else None, old
        except (OSError, http.client.HTTPException) as error:
            self.wire.close()
            return 0, repr(error), False


class Counter:
    """A row whose text counts up, and which count was acknowledged when."""

    def __init__(self, app):
        self.app, self.acknowledged, self.ended = app, [(0.0, 0)], threading.Event()
        assert Connection(app).ask("POST", "/rest/v1/tags", {"name": "count", "description": "0"})[0] == 201
        self.failed, self.slowest = [], 0.0

    def write(self):
        connection, count = Connection(self.app), 0
        while not self.ended.is_set():
            count += 1
            status, body, _ = connection.ask("PATCH", "/rest/v1/tags?name=eq.count", {"description": str(count)})
            if status != 204:
                self.failed.append(f"write: {status} {body}")
            self.acknowledged.append((time.monotonic(), count))
            time.sleep(0.005)

    def at_least(self, moment):
        """What was acknowledged last before a moment."""
        return max(count for at, count in list(self.acknowledged) if at <= moment)


class Tally:
    """What readers saw in a phase."""

    def __init__(self):
        self.wrong, self.eventual, self.primary, self.behind, self.slowest = [], 0, 0, 0, 0.0

    def __str__(self):
        return (f"{self.eventual} answers of the replica, {self.behind} of them behind, {self.primary} of the primary when asked for old ones, "
                f"the slowest {self.slowest:.2f} s")


def read(counter, bound, seconds, tally):
    """Asks in both ways in turn, and judges."""
    connection = Connection(counter.app)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for headers in (EVENTUAL, {}):
            began = time.monotonic()
            newest = counter.at_least(began)
            status, rows, old = connection.ask("GET", "/rest/v1/tags?name=eq.count&select=description", headers=headers)
            tally.slowest = max(tally.slowest, time.monotonic() - began)
            if status != 200 or len(rows) != 1:
                tally.wrong.append(f"{'eventual' if headers else 'plain'} read: {status} {rows}")
                continue
            if old and not headers:
                tally.wrong.append("an answer that may be old, unasked")
            count = int(rows[0]["description"])
            least = counter.at_least(began - bound) if old else newest
            if count < least:
                tally.wrong.append(f"{'old' if old else 'new'} answer: {count}, at least {least} was acknowledged")
            tally.eventual += old
            tally.behind += old and count < newest
            tally.primary += bool(headers) and not old


def judged(counter, bound, seconds, tally):
    """The same, where what goes wrong with the reader itself is wrong too."""
    try:
        read(counter, bound, seconds, tally)
    except Exception as error:
        tally.wrong.append(repr(error))


def phase(counter, bound=BOUND_SECONDS, seconds=PHASE_SECONDS):
    tally = Tally()
    readers = [threading.Thread(target=judged, args=(counter, bound, seconds, tally)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return tally


def served(app, database, standby, lag):
    """The blog with a replica."""
    with open(app.app / "undergird.toml", "a") as settings:
        replica = f"{standby.url(database)}?sslmode=disable"
        settings.write(f'\n[stores.main]\nreplicas = ["{replica}"]\nreplica_lag_seconds = {lag}\n')
    app.start()
    return app


def until(wanted, seconds=20):
    """Waits for something, and gives how long that took; None when it never came."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if wanted():
            return time.monotonic() - began
        time.sleep(0.05)
    return None


def main():
    passed, failed = 0, 0

    def told(name, bad, words=""):
        nonlocal passed, failed
        passed, failed = passed + (not bad), failed + bool(bad)
        print(f"{'FAILED' if bad else 'ok    '}  {name}{': ' + str(words) if words else ''}" + "".join(f"\n        {one[:300]}" for one in bad[:6]), flush=True)

    primary, standby, apps = Postgres(stores.program), None, []
    try:
        primary.start()
        standby = Standby(stores.program, primary)
        standby.start()
        url = stores.create(primary.url())
        database = urlsplit(url).path.strip("/")
        app = App("blog", url=f"{url}?sslmode=disable")
        apps.append(app)
        served(app, database, standby, BOUND_SECONDS)
        replay = lambda what: stores.sql(standby.url(), f"SELECT pg_wal_replay_{what}()")
        by_replica = lambda: Connection(app).ask("GET", "/rest/v1/tags?limit=1", headers=EVENTUAL)[2]
        took = until(by_replica)
        told("a replica that is near answers", [] if took is not None else [app.log.read_text()[-300:]], f"after {took or 0:.1f} s")

        # Rules are those of the rows' own moment: a draft is nobody's to see there either.
        connection = Connection(app)
        author = connection.ask("POST", "/auth/v1/signup", {"email": "a@example.com", "password": "a long enough password"}, {"apikey": app.publishable})[1]
        token = {"authorization": f"Bearer {author['access_token']}", "apikey": app.publishable}
        made = connection.ask("POST", "/rest/v1/posts", {"title": "Draft", "slug": "draft", "body": "-"}, token)[0]
        visitor = {"authorization": f"Bearer {app.publishable}"}
        seen = until(lambda: connection.ask("GET", "/rest/v1/posts?select=slug", headers={**EVENTUAL, **token})[1:] == ([{"slug": "draft"}], True))
        hidden = connection.ask("GET", "/rest/v1/posts?select=slug", headers={**EVENTUAL, **visitor})
        told("its author's draft is read there, and no visitor's", [] if made == 201 and seen is not None and hidden == (200, [], True) else [f"{made} {seen} {hidden}"])

        counter = Counter(app)
        until(lambda: Connection(app).ask("GET", "/rest/v1/tags?name=eq.count", headers=EVENTUAL)[1:] != ([], True))
        writer = threading.Thread(target=counter.write, daemon=True)
        writer.start()
        try:
            tally = phase(counter)
            told("while it replays", tally.wrong + ([] if tally.eventual > 0 else ["none of the replica"]), tally)

            replay("pause")
            tally = phase(counter)
            told("replay paused", tally.wrong + ([] if tally.behind > 0 and tally.primary > 0 else ["nothing was behind, or nothing left to the primary"]), tally)
            tally = phase(counter, seconds=1)
            told("paused for longer than the bound", tally.wrong + ([] if tally.eventual == 0 else ["answers past the bound"]), tally)
            replay("resume")
            took = until(by_replica)
            told("replay resumed", [] if took is not None else ["never again"], f"used again after {took or 0:.1f} s")

            freeze = threading.Timer(PHASE_SECONDS / 4, lambda: standby.signal(signal.SIGSTOP))
            freeze.start()
            tally = phase(counter)
            slow = [] if tally.slowest <= SECONDS_MAX else [f"{tally.slowest:.2f} s"]
            told("frozen in the middle", tally.wrong + slow + ([] if tally.primary > 0 else ["none of the primary"]), tally)
            standby.signal(signal.SIGCONT)
            took = until(by_replica)
            told("thawed", [] if took is not None else ["never again"], f"used again after {took or 0:.1f} s")

            kill = threading.Timer(PHASE_SECONDS / 4, standby.kill)
            kill.start()
            tally = phase(counter)
            slow = [] if tally.slowest <= SECONDS_MAX else [f"{tally.slowest:.2f} s"]
            told("killed in the middle", tally.wrong + slow + ([] if tally.primary > 0 else ["none of the primary"]), tally)
            standby.start()
            took = until(by_replica)
            told("started again", [] if took is not None else ["never again"], f"used again after {took or 0:.1f} s")
        finally:
            counter.ended.set()
            writer.join()
        told("no write failed meanwhile", counter.failed, f"{counter.acknowledged[-1][1]} writes")
        app.stop()

        slack = App("blog", {"UNDERGIRD_PUBLISHABLE_KEY": app.publishable, "UNDERGIRD_SECRET_KEY": app.secret}, url=f"{url}?sslmode=disable")
        apps.append(slack)
        served(slack, database, standby, 60)
        Connection(slack).ask("DELETE", "/rest/v1/tags?name=eq.count")
        counter = Counter(slack)
        until(lambda: Connection(slack).ask("GET", "/rest/v1/tags?name=eq.count", headers=EVENTUAL)[1:] == ([{"name": "count"}], True), 2)
        writer = threading.Thread(target=counter.write, daemon=True)
        writer.start()
        replay("pause")
        tally = phase(counter)
        replay("resume")
        counter.ended.set()
        writer.join()
        found = [one for one in tally.wrong if one.startswith("old answer")]
        other = [one for one in tally.wrong if one not in found]
        told("known-bad control: a bound of a minute", other + ([] if found else ["no answer was too old"]), f"{len(found)} answers older than a second")
    finally:
        for app in apps:
            app.stop()
        if standby:
            standby.remove()
        primary.remove()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
