"""Undergird's blog as a database that anybody else would have made: ids as 32 hexadecimal digits, times as text.

    plain.py FROM TO

For the peers on SQLite, so that none of them has to read our form of a row.
"""

import datetime
import sqlite3
import sys

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE users (id CHAR(32) PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE posts (
    id CHAR(32) PRIMARY KEY, title TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, body TEXT NOT NULL, status TEXT NOT NULL,
    author_id CHAR(32) NOT NULL REFERENCES users (id) ON DELETE CASCADE, published_at TEXT, created_at TEXT NOT NULL);
"""
INDEXES = """
CREATE INDEX posts_author ON posts (author_id);
CREATE INDEX posts_newest ON posts (status, created_at DESC);
ANALYZE;
"""
EPOCH = datetime.datetime(1970, 1, 1)


def time(microseconds):
    if microseconds is None:
        return None
    moment = EPOCH + datetime.timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def main(source, target):
    ours, plain = sqlite3.connect(source), sqlite3.connect(target)
    plain.executescript(SCHEMA)
    plain.executemany("INSERT INTO users VALUES (?, ?)", ((i.hex(), name) for i, name in ours.execute("SELECT id, name FROM users")))
    posts = ours.execute("SELECT id, title, slug, body, status, author_id, published_at, created_at FROM posts")
    plain.executemany(
        "INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((i.hex(), title, slug, body, status, author.hex(), time(published), time(created))
         for i, title, slug, body, status, author, published, created in posts),
    )
    plain.commit()
    plain.executescript(INDEXES)


main(*sys.argv[1:])
