"""docs/stores.md: each row of what stores refuse, tried on the store of this run, gives what its cell says.

A cell begins with "there", with "refused at the start", or with a code. Absent: whether what is there means the same everywhere (the
conformance suite holds that).
"""

import json
import os
import re

import httpx
import pytest
from app import ROOT, App

PAGE = (ROOT / "docs/stores.md").read_text()
TABLE = PAGE.split("## What is refused, and why")[1].split("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")][1:]
COLUMN = {"sqlite": 1, "postgres": 2, "mysql": 3}[os.environ.get("E2E_STORE", "sqlite")]

FIELDS = """
[fields]
text = { type = "text", optional = true }
pattern = { type = "text", optional = true }
tags = { type = "list", of = "text", optional = true }
ints = { type = "list", of = "int", optional = true }
data = { type = "json", optional = true }
at = { type = "timestamp", optional = true }
"""


def things(rule):
    return {"things": FIELDS + f'[access]\ncreate = "true"\nread = "{rule}"\n'}


ROW = {"text": "a" * 40 + "!", "pattern": "a", "tags": ["a"], "ints": [1], "data": [1], "at": "2026-01-01T00:00:00Z"}
DEEP = "[" * 32 + "]" * 32


def asked(*queries):
    """An application whose rows anybody reads, asked for them."""
    return things("true"), [("GET", query, None) for query in queries]


def made(models):
    """An application that is only started."""
    return models, []


def named(fields, head=""):
    return made({"things": f"{head}\n[fields]\n{fields}\n"})


def keyed(text):
    return made({"things": f"key = \"name\"\n[fields]\nname = {text}\n"})


# By the first words of a row: the applications that are tried, each with its requests.
CASES = {
    "full-text operators": [asked(*(f"text={name}.a" for name in ("fts", "plfts", "phfts", "wfts")))],
    "range operators": [asked(*(f"ints={name}.{{1}}" for name in ("sl", "sr", "nxr", "nxl", "adj")))],
    "a regular expression that a row holds": [made(things("text.matches(pattern)"))],
    "regular expressions that are too heavy": [asked({2: "text=match.(a?){300}", 3: "text=match.(a%2B)%2B$"}.get(COLUMN, "text=match.(a?){300}"))],
    "lists that are greater or less": [asked("tags=gt.{a}", "ints=lte.{2}")],
    "a list cast to what is no text": [asked("select=ints::int")],
    "durations read from a row's text": [made(things("at + duration(text) < now"))],
    "a text in a key": [
        keyed('{ type = "text" }'),
        keyed('{ type = "text", max = 769 }'),
        named('name = { type = "text", unique = true }'),
        named('name = { type = "text" }\n[[indexes]]\nfields = ["name"]'),
    ],
    "names with characters beyond": [
        named('name = { type = "int" }', 'table = "\U0001f600"'), named('name = { type = "int", column = "\U0001f600" }'),
    ],
    "names of tables and columns of 64": [
        named('name = { type = "int" }', f'table = "{"x" * 64}"'), named(f'name = {{ type = "int", column = "{"x" * 64}" }}'),
    ],
    "… of more than 64": [
        named('name = { type = "int" }', f'table = "{"x" * 65}"'), named(f'name = {{ type = "int", column = "{"x" * 65}" }}'),
    ],
    "JSON of 32 levels or more in a filter": [asked(f"data=eq.{DEEP}", f"data=cs.{DEEP}", f"data=lt.{DEEP}")],
    "… in a row": [(things("true"), [("POST", "", {"data": json.loads(DEEP)})])],
}  # fmt: skip
# What is beside the limits is there on every store.
BESIDE = [
    asked("order=tags", "select=tags::text", f"data=eq.{DEEP[1:-1]}", "tags=eq.{a}"),
    keyed('{ type = "text", max = 768 }'),
    keyed('{ type = "email" }'),
    named('name = { type = "int" }', f'table = "{"x" * 63}"'),
    (things("true"), [("POST", "", {"data": json.loads(DEEP[1:-1])})]),
]


def answers(models, requests):
    """What each request is answered with, or one answer: that the server does not start."""
    app = App("blog")
    for file in app.app.glob("models/*.toml"):
        file.unlink()
    (app.app / "undergird.toml").write_text('name = "stores"\n')
    for name, text in models.items():
        (app.app / f"models/{name}.toml").write_text(text)
    try:
        try:
            app.start()
        except AssertionError:
            said = app.log.read_text()
            assert "was not changed" in said or "cannot keep these rules" in said, said
            return ["refused at the start"]
        headers = {"authorization": f"Bearer {app.secret}"}
        if not requests:
            return ["there"]
        assert httpx.post(f"{app.url}/rest/v1/things", json=ROW, headers=headers).status_code == 201
        found = []
        for method, query, body in requests:
            answer = httpx.request(method, f"{app.url}/rest/v1/things?{query}", json=body, headers=headers, timeout=30)
            found.append("there" if answer.is_success else answer.json()["code"])
        return found
    finally:
        app.stop()


def promised(cell):
    found = re.match(r"there|refused at the start|`(\w+)`", cell)
    assert found, f"a cell that says nothing: {cell}"
    return found[1] or found[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_of_the_table(row):
    cases = [cases for words, cases in CASES.items() if row[0].startswith(words)]
    assert len(cases) == 1, f"no case for the row: {row[0]}"
    for models, requests in cases[0]:
        assert set(answers(models, requests)) == {promised(row[COLUMN])}, (row, models, requests)


@pytest.mark.parametrize("models, requests", BESIDE, ids=range(len(BESIDE)))
def test_beside_the_limits(models, requests):
    assert set(answers(models, requests)) == {"there"}, (models, requests)


def test_every_case_is_on_the_page():
    assert len(ROWS) == len(CASES)
