#!/usr/bin/env python3
"""Databases for whole apps: a fresh one on the store that E2E_STORE names, gone afterwards.

    stores.py create        prints the URL of a new database
    stores.py drop URL
    stores.py sql URL       runs what comes on standard input

Where the servers are, E2E_POSTGRES and E2E_MYSQL tell (`run` sets them). By the servers' own command-line clients, so that only the standard
library is needed. Absent: starting servers (`cargo xtask services`), but for the one that reliability.py kills.
"""

import glob
import os
import re
import secrets
import shutil
import subprocess
import sys
from urllib.parse import unquote, urlsplit

# A store: the variable that says where its server is, by the kind's name. SQLite needs none.
SERVERS = {"sqlite": None, "postgres": "E2E_POSTGRES", "mysql": "E2E_MYSQL"}


def program(name):
    """A program's path: PostgreSQL's are not on the path of every Debian."""
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: [int(n) for n in re.findall(r"\d+", path)], reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*versions, os.environ.get("PATH", ""), "/usr/sbin"]))
    if not found:
        raise FileNotFoundError(f"there is no {name}")
    return found


def sql(url, statement):
    """What a statement gives, as text: a line per row, tabs between columns."""
    parts = urlsplit(url)
    if parts.scheme == "postgres":
        line = [program("psql"), "--no-psqlrc", "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", url.split("?")[0], "-c", statement]
        environment = dict(os.environ, PGCONNECT_TIMEOUT="10")
    else:
        line = [program("mariadb"), "--no-defaults", "-h", parts.hostname, "-P", str(parts.port), "-u", unquote(parts.username),
                "--batch", "--skip-column-names", "--raw", "-e", statement]
        if parts.path.strip("/"):
            line.append(parts.path.strip("/"))
        environment = dict(os.environ, MYSQL_PWD=unquote(parts.password or ""))
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60)
    if ended.returncode != 0:
        raise RuntimeError(f"{statement[:200]}: {ended.stderr.strip()}")
    return ended.stdout


def named(server, database):
    return urlsplit(server)._replace(path=f"/{database}").geturl()


def create(server):
    """The URL of a new database."""
    name = f"ug_e2e_{secrets.token_hex(6)}"
    sql(server, f"CREATE DATABASE {name}")
    return named(server, name)


def drop(server, url):
    name = urlsplit(url).path.strip("/")
    assert re.fullmatch(r"ug_e2e_[0-9a-f]{12}", name), name
    sql(server, f"DROP DATABASE IF EXISTS {name}" + (" WITH (FORCE)" if url.startswith("postgres") else ""))


def dump(url):
    """All rows of a database, by table, as text that is the same when they are."""
    if url.startswith("postgres"):
        tables = "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        rows = "query_to_xml(format('SELECT t::text FROM %s t ORDER BY 1', name), true, false, '')"
        text = sql(url, f"SELECT '@' || name, {rows} FROM ({tables}) AS tables ORDER BY name")
        return dict(part.split("\t", 1) for part in text.split("\n@"))
    parts = urlsplit(url)
    line = [program("mariadb-dump"), "--no-defaults", "-h", parts.hostname, "-P", str(parts.port), "-u", unquote(parts.username),
            "--compact", "--no-create-info", "--order-by-primary", "--skip-extended-insert", "--hex-blob", parts.path.strip("/")]
    environment = dict(os.environ, MYSQL_PWD=unquote(parts.password or ""))
    text = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60, check=True).stdout
    found = {}
    for row in text.splitlines():
        found.setdefault(row.split("`")[1] if "`" in row else "", []).append(row)
    return found


def server():
    """The server that this run is on; None on SQLite."""
    variable = SERVERS[os.environ.get("E2E_STORE", "sqlite")]
    return os.environ[variable] if variable else None


if __name__ == "__main__":
    if sys.argv[1:] == ["create"]:
        print(create(server()))
    elif len(sys.argv) == 3 and sys.argv[1] == "drop":
        drop(server(), sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] == "sql":
        print(sql(sys.argv[2], sys.stdin.read()), end="")
    else:
        sys.exit(__doc__)
