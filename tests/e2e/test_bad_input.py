"""Bad input: each gets a clear problem with a code, and nothing is changed."""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import stores
from app import BINARY
from conftest import problem, unique

MEGABYTE = 1 << 20


def dump(app):
    """All that the application's tables hold."""
    if app.database:
        return stores.dump(app.database)
    database = sqlite3.connect(f"file:{app.data}/main.db?mode=ro", uri=True)
    try:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        return {name: sorted(map(repr, database.execute(f'SELECT * FROM "{name}"'))) for name in names}
    finally:
        database.close()


@pytest.fixture(scope="module")
def accounts(app, ann, bob, admin):
    """The accounts are there, and the entries of the audit log about them are bound, which the server else does a moment later."""
    line = [BINARY, "audit", "verify", str(app.app), "--data", str(app.data)]
    subprocess.run(line, env=app.environment, check=True, capture_output=True, timeout=60)


@pytest.fixture(autouse=True)
def nothing_changed(app, accounts):
    """Every test of this file leaves the database as it was."""
    # The server makes a key for tokens with the first account.
    before = dump(app)
    assert len(before) >= 6, before.keys()
    yield
    after = dump(app)
    assert {name for name in before if before[name] != after.get(name)} == set()


def post(**more):
    slug = unique("bad")
    return {"title": "Bad", "slug": slug, **more}


@pytest.mark.parametrize(
    "change, status, code, pointer",
    [
        ({"colour": "red"}, 422, "PGRST204", "/colour"),
        ({"created_at": "2020-01-01T00:00:00Z"}, 422, "428C9", "/created_at"),
        ({"title": None}, 422, "23502", "/title"),
        ({"title": 5}, 422, "22P02", "/title"),
        ({"title": True}, 422, "22P02", "/title"),
        ({"title": ["x"]}, 422, "22P02", "/title"),
        ({"title": {"$ne": 1}}, 422, "22P02", "/title"),
        ({"status": {"$ne": 1}}, 422, "22P02", "/status"),
        ({"status": "gone"}, 422, "22P02", "/status"),
        ({"author_id": {"id": 1}}, 422, "22P02", "/author_id"),
        ({"author_id": "nobody"}, 422, "22P02", "/author_id"),
        ({"published_at": "yesterday"}, 422, "22P02", "/published_at"),
        ({"published_at": 0}, 422, "22P02", "/published_at"),
        ({"title": ""}, 422, "23514", "/title"),
        ({"title": "x" * 201}, 422, "23514", "/title"),
        ({"slug": "Not A Slug"}, 422, "23514", "/slug"),
        ({"title": "nul \0 in it"}, 422, "22P02", "/title"),
    ],
)
def test_values(ann, change, status, code, pointer):
    told = problem(ann.post("/rest/v1/posts", json=post(**change)), status, code)
    assert pointer in [error["pointer"] for error in told["errors"]], told
    # The second of two rows: its place is told, and the first is not made.
    told = problem(ann.post("/rest/v1/posts", json=[post(), post(**change)]), status, code)
    assert f"/1{pointer}" in [error["pointer"] for error in told["errors"]], told


def test_all_mistakes_at_once(ann):
    answer = ann.post("/rest/v1/posts", json={"title": "", "slug": 5, "colour": "red", "created_at": "x", "status": "gone"})
    assert answer.status_code == 422
    named = {error["pointer"] for error in answer.json()["errors"]}
    assert named >= {"/title", "/slug", "/colour", "/created_at", "/status"}, answer.text


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"", 400, "PGRST102"),
        (b"{", 400, "PGRST102"),
        (b'{"title": "x",}', 400, "PGRST102"),
        (b'{"title": "x"} trailing', 400, "PGRST102"),
        (b'{"title": "\xff\xfe"}', 400, "PGRST102"),
        (b'{"title": "\\ud800"}', 400, "PGRST102"),
        (b'"text"', 400, "PGRST102"),
        (b"5", 400, "PGRST102"),
        (b"[1]", 400, "PGRST102"),
        (b"NaN", 400, "PGRST102"),
        (b"[" * 100_000 + b"]" * 100_000, 400, None),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, None),
        (b'{"title":' + b"[" * 100_000, 400, None),
    ],
)
def test_bodies(app, ann, body, status, code):
    before = app.memory()
    answer = ann.post("/rest/v1/posts", content=body, headers={"content-type": "application/json"})
    told = problem(answer, status, code or answer.json()["code"])
    assert told["code"] in ("PGRST102", "UG400") and told["message"]
    assert app.memory() - before < 64 * MEGABYTE


def test_other_media(ann):
    problem(ann.post("/rest/v1/posts", content=b"x", headers={"content-type": "image/png"}), 415, "PGRST107")
    problem(ann.get("/rest/v1/posts", headers={"accept": "image/png"}), 406, "PGRST107")
    packed = ann.post("/rest/v1/posts", content=b"x", headers={"content-type": "application/json", "content-encoding": "gzip"})
    assert packed.status_code in (400, 415)


@pytest.mark.parametrize(
    "query, status, code, hint",
    [
        ("titel=eq.x", 400, "42703", "title"),
        ("select=titel", 400, "42703", "title"),
        ("order=titel", 400, "42703", "title"),
        ("select=id,user(name)", 400, "PGRST200", "users"),
        ("title=equals.x", 400, "PGRST100", None),
        ("title=x", 400, "PGRST100", None),
        ("title=eq", 400, "PGRST100", None),
        ("title", 400, "PGRST100", None),
        ("id=eq.1", 400, "22P02", None),
        ("id=in.(1,2", 400, "PGRST100", None),
        ("created_at=gt.soon", 400, "22P02", None),
        ("created_at=like.x", 400, "42883", None),
        ("title=is.maybe", 400, "PGRST100", None),
        pytest.param("title=fts.x", 400, "PGRST127", None, marks=pytest.mark.skipif(os.environ.get("E2E_STORE") == "postgres", reason="PostgreSQL has it")),
        ("title=match.(", 400, None, None),
        ("select=id&select=title", 400, "PGRST100", None),
        ("limit=-1", 416, "PGRST103", None),
        ("limit=x", 400, "PGRST100", None),
        ("offset=99999999999999999999", 400, "PGRST100", None),
        ("order=title.sideways", 400, "PGRST100", None),
        ("or=(title.eq.x", 400, "PGRST100", None),
        ("or=" + "(and" * 200, 400, None, None),
        ("or=" + "(or" * 3000 + "(id.eq.1)" + ")" * 3000, 400, None, None),
        ("select=" + "users(" * 500 + "id" + ")" * 500, 400, None, None),
        ("id=in.(" + ",".join(["01900000-0000-7000-8000-000000000000"] * 400) + ")", 200, None, None),
        ("&".join(["title=neq.x"] * 500), 400, "UG400", None),
        ("title=eq.%ff%fe", 400, "PGRST100", None),
        ("title=eq.%00", 400, None, None),
        ("%ff=eq.x", 400, None, None),
        ("after=x", 400, "UG101", None),
        ("select=title.sum()", 400, "42883", None),
        ("select=title::money", 400, None, None),
        ("columns=title", 200, None, None),
        ("comments.limit=5", 400, "PGRST108", None),
    ],
)
def test_queries(ann, query, status, code, hint):
    answer = ann.get(f"/rest/v1/posts?{query}")
    assert answer.status_code == status, answer.text[:500]
    if status >= 400:
        told = answer.json()
        assert code is None or told["code"] == code, told
        assert len(answer.content) < 4_000, "an error must not send the question back in full"
        if hint:
            assert hint in told["hint"], told


@pytest.mark.parametrize("path", ["/rest/v1/posts/%ff", "/rest/v1/%ff", "/rest/v1/posts/a/b"])
def test_paths(ann, path):
    assert ann.get(path).status_code in (400, 404)


def test_unknown_names_have_a_hint(ann):
    assert "posts" in problem(ann.get("/rest/v1/post"), 404, "PGRST205")["hint"]
    problem(ann.get("/rest/v1/posts/x"), 400, "22P02")
    problem(ann.get("/nothing"), 404, "PGRST125")
    told = ann.request("BREW", "/rest/v1/posts")
    problem(told, 405, "PGRST117")
    assert "GET" in told.headers["allow"]


def exchange(app, *parts, seconds=10):
    """Sends bytes as they are; gives what comes back until the other side closes or the time is up."""
    address = urlsplit(app.url)
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass
        answer = b""
        try:
            while b"\r\n\r\n" not in answer or len(answer) < 200:
                got = connection.recv(65_536)
                if not got:
                    break
                answer += got
        except OSError:
            pass
        return answer


def test_an_oversized_url(app, ann):
    problem(ann.get("/rest/v1/posts?title=eq." + "x" * 20_000), 414, "UG414")
    for length in (100_000, 3_000_000):
        answer = exchange(app, b"GET /rest/v1/posts?title=eq." + b"x" * length + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer.split(b" ", 2)[1] in (b"414", b"431"), answer[:200]


def test_oversized_headers(app):
    answer = exchange(app, b"GET /rest/v1/posts HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 2_000_000 + b"\r\n\r\n")
    assert answer.split(b" ", 2)[1] == b"431", answer[:200]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_ten_gigabytes(app, ann, declared):
    """With a length that says so, and in chunks that never end: refused soon, and never held in memory."""
    size = 10 << 30
    before = app.memory()
    address = urlsplit(app.url)
    head = (
        "POST /rest/v1/posts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {ann.token}\r\n"
        + (f"content-length: {size}\r\n\r\n" if declared else "transfer-encoding: chunked\r\n\r\n")
    )
    piece = b'["' + b"x" * (MEGABYTE - 2)
    sent, answer, started = 0, b"", time.monotonic()
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head.encode())
        try:
            while sent < size:
                connection.setblocking(False)
                try:
                    answer += connection.recv(65_536)
                except BlockingIOError:
                    pass
                connection.settimeout(20)
                if answer:
                    break
                connection.sendall(piece if declared else b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
        except OSError:
            # The other side would read no more; what it said is still to be read.
            try:
                answer += connection.recv(65_536)
            except OSError:
                pass
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert b"UG413" in answer
    assert time.monotonic() - started < 5
    assert sent < 100 * MEGABYTE
    assert app.memory() - before < 64 * MEGABYTE


MISTAKES = """
[fields]
title  = { type = "txt" }
body   = { type = "text", mim = 1 }
author = { type = "ref", to = "user" }
status = { type = "enum", values = ["a", "b"], default = "c" }
amount = { type = "decimal", precision = 2, scale = 5 }
Slug   = { type = "text" }
rank   = { type = "int", min = 5, max = 1 }
code   = { type = "text", pattern = "(" }

[access]
read   = "titel == 'x'"
create = "body == 5"
"""


def test_a_definition_with_ten_mistakes(tmp_path):
    app = tmp_path / "app"
    shutil.copytree(Path(__file__).resolve().parents[2] / "examples/blog", app, ignore=shutil.ignore_patterns("data"))
    (app / "models/wrong.toml").write_text(MISTAKES)
    ended = subprocess.run([BINARY, "check", str(app), "--json"], capture_output=True, text=True, timeout=30, env={})
    assert ended.returncode == 2, ended
    told = json.loads(ended.stdout)
    diagnostics = told["diagnostics"] if isinstance(told, dict) else told
    assert {entry["file"] for entry in diagnostics} == {"models/wrong.toml"}, ended.stdout
    lines = {entry["line"] for entry in diagnostics}
    assert len(diagnostics) >= 10, ended.stdout
    wrong = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if "=" in line}
    assert lines == wrong, (lines, wrong)
    text = json.dumps(told)
    assert "models/wrong.toml" in text
    for nearest in ("text", "min", "users", "title"):
        assert nearest in text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400 Bad Request"),
        (b"GET /rest/v1/posts?data->a=eq.1 HTTP/1.1\r\nhost: x\r\n\r\n", b"400 Bad Request"),
        (b'GET /rest/v1/posts?title=in.("a") HTTP/1.1\r\nhost: x\r\n\r\n', b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n", b"431 Request Header Fields Too Large"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"414 URI Too Long"),
    ],
)
def test_what_is_no_http(app, sent, status):
    """Answered by the library that reads HTTP, in these bytes (docs/api.md)."""
    address = urlsplit(app.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(sent)
        answer = b""
        while more := connection.recv(65_536):
            answer += more
    assert re.fullmatch(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: [^\r]+\r\n\r\n", answer), answer
