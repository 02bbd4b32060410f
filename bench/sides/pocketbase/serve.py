"""PocketBase with the blog's rows and rules: serve.py PLAIN_DATABASE.

The collections are made by its API, the rows are put into its file while it is stopped, and the measured server is started anew.
"""

import json
import pathlib
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROGRAM = pathlib.Path(sys.executable).with_name("pocketbase")
PASSWORD = secrets.token_urlsafe(18)
ADMIN = ("admin@example.com", PASSWORD)
OPEN = "status = 'published' || author_id = @request.auth.id"
MINE = "author_id = @request.auth.id"


def text(name, required=True):
    return {"name": name, "type": "text", "required": required}


def collections(users):
    return {
        "name": "posts",
        "type": "base",
        "listRule": OPEN, "viewRule": OPEN, "createRule": MINE, "updateRule": MINE, "deleteRule": MINE,
        "fields": [
            text("title"), text("slug"), text("body", required=False),
            {"name": "status", "type": "select", "values": ["draft", "published"], "maxSelect": 1},
            {"name": "author_id", "type": "relation", "collectionId": users, "required": True, "cascadeDelete": True, "maxSelect": 1},
            {"name": "published_at", "type": "date"},
            {"name": "created_at", "type": "autodate", "onCreate": True},
        ],
        "indexes": [
            "CREATE UNIQUE INDEX posts_slug ON posts (slug)",
            "CREATE INDEX posts_author ON posts (author_id)",
            "CREATE INDEX posts_newest ON posts (status, created_at DESC)",
        ],
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, data):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--dir", data, "--http", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                self.ask("GET", "/api/health")
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("PocketBase did not start")

    def ask(self, method, path, body=None, token=None):
        headers = {"content-type": "application/json"} | ({"authorization": token} if token else {})
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")

    def sign_in(self, collection, name, password):
        return self.ask("POST", f"/api/collections/{collection}/auth-with-password", {"identity": name, "password": password})

    def stop(self):
        self.process.terminate()
        self.process.wait()


def short(identifier):
    """PocketBase's ids have 15 characters."""
    return identifier[-15:]


def prepare(plain, data):
    subprocess.run([PROGRAM, "superuser", "upsert", *ADMIN, "--dir", data], check=True, stdout=subprocess.DEVNULL)
    server = Server(data)
    admin = server.sign_in("_superusers", *ADMIN)["token"]
    users = server.ask("GET", "/api/collections/users", token=admin)
    server.ask("PATCH", "/api/collections/users", {"viewRule": "", "listRule": ""}, admin)
    server.ask("POST", "/api/collections", collections(users["id"]), admin)
    server.stop()
    rows, ours = sqlite3.connect(plain), sqlite3.connect(data / "data.db")
    ours.executemany(
        "INSERT INTO users (id, name, email, tokenKey, password) VALUES (?, ?, ?, ?, '')",
        ((short(i), name, f"{i}@example.com", i * 2) for i, name in rows.execute("SELECT id, name FROM users")),
    )
    ours.executemany(
        "INSERT INTO posts (id, title, slug, body, status, author_id, published_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((short(i), title, slug, body, status, short(author), f"{published[:23]}Z" if published else "", f"{created[:23]}Z")
         for i, title, slug, body, status, author, published, created in rows.execute("SELECT * FROM posts")),
    )
    ours.execute("ANALYZE")
    ours.commit()


def main(plain):
    data = pathlib.Path(plain).with_name("pocketbase")
    shutil.rmtree(data, ignore_errors=True)
    prepare(plain, data)
    server = Server(data)
    person = {"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD}
    server.ask("POST", "/api/collections/users/records", person)
    session = server.sign_in("users", person["email"], PASSWORD)
    print(f"token {session['token']}\nauthor {session['record']['id']}\nready {server.url}", flush=True)
    server.process.wait()


main(*sys.argv[1:])
