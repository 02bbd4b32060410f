"""What PostgREST lacks and the API adds, over plain HTTP: versions, cursors, retries, batches, ranges, CSV, HEAD and OPTIONS."""

import concurrent.futures
import csv
import io
import re

import httpx
import pytest
from conftest import problem, unique

ABSENT = "01900000-0000-7000-8000-000000000000"


def test_versions(ann, bob):
    post = ann.post_row(status="published")
    path = f"/rest/v1/posts/{post['id']}"
    first = ann.get(path)
    assert first.json() == post
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[^"]+"', tag), tag
    assert ann.get(path, headers={"if-none-match": tag}).status_code == 304
    assert ann.get(path, headers={"if-none-match": f'"other", {tag}'}).status_code == 304
    changed = ann.patch(path, json={"title": "Two"}, headers={"if-match": tag, "prefer": "return=representation"})
    assert changed.status_code == 200 and changed.json()["title"] == "Two"
    problem(ann.patch(path, json={"title": "Three"}, headers={"if-match": tag}), 412, "UG412")
    problem(ann.delete(path, headers={"if-match": tag}), 412, "UG412")
    assert ann.get(path).json()["title"] == "Two"
    fresh = ann.get(path, headers={"if-none-match": tag})
    assert fresh.status_code == 200 and fresh.headers["etag"] != tag
    assert ann.patch(path, json={"title": "Three"}, headers={"if-match": "*"}).status_code == 204
    problem(ann.patch(f"/rest/v1/posts/{ABSENT}", json={"title": "x"}, headers={"if-match": "*"}), 412, "UG412")
    assert ann.delete(path, headers={"if-match": ann.get(path).headers["etag"]}).status_code == 204
    problem(ann.get(path), 404, "UG404")


def test_no_guard_is_passed_over(ann, app):
    """A condition or a key in letters that no header should have counts all the same."""
    post = ann.post_row()
    path = f"/rest/v1/posts/{post['id']}"
    for tag in ("\"é\"".encode(), "\"é\"".encode("latin-1")):
        problem(ann.patch(path, json={"title": "x"}, headers={"if-match": tag}), 412, "UG412")
    key = f"é {unique('key')}".encode()
    row = {"title": "Once", "slug": unique("once")}
    first = ann.post("/rest/v1/posts", json=row, headers={"idempotency-key": key})
    again = ann.post("/rest/v1/posts", json=row, headers={"idempotency-key": key})
    assert (first.status_code, again.status_code, again.headers.get("idempotency-replayed")) == (201, 201, "true")
    problem(ann.post("/rest/v1/posts", json=row, headers={"idempotency-key": "é".encode("latin-1")}), 400, "UG104")
    many = {"prefer": "handling=strict, max-affected=0, odd=é".encode()}
    problem(ann.delete(f"/rest/v1/posts?id=eq.{post['id']}", headers=many), 400, "PGRST122")
    step = {"method": "DELETE", "path": path, "headers": {"if-match": '"é"'}}
    problem(ann.post("/rest/v1/batch", json={"steps": [step]}), 422, "UG103")
    assert ann.get(path).json()["title"] == post["title"]


def test_no_update_is_lost(ann):
    """Sixteen clients add one each, by read and conditional write: the sum is sixteen."""
    post = ann.post_row(title="0")
    path = f"/rest/v1/posts/{post['id']}"

    def add(_):
        for _ in range(500):
            read = ann.get(path)
            more = {"title": str(int(read.json()["title"]) + 1)}
            if ann.patch(path, json=more, headers={"if-match": read.headers["etag"]}).status_code == 204:
                return
        raise AssertionError("never got through")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(16)))
    assert ann.get(path).json()["title"] == "16"


@pytest.mark.parametrize("order", ["", "title.desc", "published_at.desc.nullslast,title", "status,created_at.desc"])
def test_pages_by_cursor(ann, visitor, order):
    mark = unique("page")
    rows = [
        {
            "title": f"{mark} {n % 7}",
            "slug": f"{mark}-{n}",
            "body": "x",
            "status": "published",
            "published_at": None if n % 3 == 0 else f"2026-01-{n % 5 + 1:02}T00:00:00Z",
        }
        for n in range(53)
    ]
    ann.make("posts", rows)
    query = f"/rest/v1/posts?select=id,slug&title=like.{mark}*" + (f"&order={order}" if order else "")
    whole = [row["slug"] for row in visitor.get(query).json()]
    assert len(whole) == 53
    seen, url, pages = [], f"{query}&limit=10", 0
    while url:
        answer = visitor.get(url)
        assert answer.status_code == 200
        seen += [row["slug"] for row in answer.json()]
        pages += 1
        link = answer.headers.get("link")
        url = re.fullmatch(r'<([^>]+)>; rel="next"', link).group(1) if link else None
        assert pages < 10
    assert seen == whole


def test_the_next_page_is_as_long_as_the_first(ann):
    for _ in range(5):
        ann.post_row()
    first = ann.get("/rest/v1/posts?order=title", headers={"range": "0-1"})
    second = ann.get(re.match(r"<([^>]+)>", first.headers["link"]).group(1))
    assert (len(first.json()), len(second.json())) == (2, 2)


def test_a_cursor_is_for_the_same_caller_and_question(ann, bob):
    link = ann.get("/rest/v1/posts?order=title&limit=2").headers["link"]
    url = re.match(r"<([^>]+)>", link).group(1)
    assert ann.get(url).status_code == 200
    problem(bob.get(url), 400, "UG101")
    problem(ann.get(url.replace("order=title", "order=slug")), 400, "UG101")
    problem(ann.get(url + "&status=eq.draft"), 400, "UG101")
    where, after = url.split("after=")
    for at in range(0, len(after), 7):
        other = after[:at] + ("A" if after[at] != "A" else "B") + after[at + 1 :]
        problem(ann.get(f"{where}after={other}"), 400, "UG101")


def test_idempotency(ann, bob):
    slug = unique("once")
    row = {"title": "Once", "slug": slug}
    headers = {"idempotency-key": unique("key"), "prefer": "return=representation"}
    first = ann.post("/rest/v1/posts", json=row, headers=headers)
    again = ann.post("/rest/v1/posts", json=row, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    problem(ann.post("/rest/v1/posts", json={**row, "title": "Other"}, headers=headers), 422, "UG422")
    assert len(ann.rows(f"posts?slug=eq.{slug}")) == 1
    # Keys are each caller's own: the same key of another is another request.
    assert bob.post("/rest/v1/posts", json={**row, "slug": unique("once")}, headers=headers).status_code == 201


def test_idempotency_in_parallel(ann):
    slug = unique("parallel")
    headers = {"idempotency-key": unique("key"), "prefer": "return=representation"}

    def send(_):
        return ann.post("/rest/v1/posts", json={"title": "Once", "slug": slug}, headers=headers)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert made and len({answer.content for answer in made}) == 1
    assert len(ann.rows(f"posts?slug=eq.{slug}")) == 1


def batch(user, *steps, **headers):
    return user.post("/rest/v1/batch", json={"steps": list(steps)}, headers=headers)


def test_batch(ann):
    slug = unique("batch")
    answer = batch(
        ann,
        {"id": "post", "method": "POST", "path": "/rest/v1/posts", "body": {"title": "B", "slug": slug}},
        {"method": "POST", "path": "/rest/v1/comments", "body": {"post_id": {"$ref": "post#/0/id"}, "body": "First!"}},
        {"method": "PATCH", "path": "/rest/v1/posts/{post#/0/id}", "body": {"title": "Bb"}},
        {"method": "GET", "path": "/rest/v1/posts/{post#/0/id}?select=title,comments(body)"},
    )
    assert answer.status_code == 200, answer.text
    steps = answer.json()["answers"]
    assert [step["status"] for step in steps] == [201, 201, 200, 200]
    assert [step["id"] for step in steps] == ["post", "1", "2", "3"]
    assert steps[3]["body"] == {"title": "Bb", "comments": [{"body": "First!"}]}


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "POST", "path": "/rest/v1/posts", "body": {"title": ""}},
        {"method": "POST", "path": "/rest/v1/tags", "body": {"name": "not-mine"}},
        {"method": "GET", "path": "/rest/v1/posts?titel=eq.x"},
        {"method": "GET", "path": "/rest/v1/post"},
        {"method": "GET", "path": "/rest/v1/posts/{nothing#/0/id}"},
        {"method": "GET", "path": "/auth/v1/user"},
        {"method": "GET", "path": "/rest/v1/batch"},
        {"method": "BREW", "path": "/rest/v1/posts"},
        {"method": "POST", "path": "/rest/v1/posts", "headers": {"authorization": "Bearer x"}, "body": {}},
        {"method": "PATCH", "path": f"/rest/v1/posts/{ABSENT}", "body": {"title": "x"}, "headers": {"if-match": "*"}},
        "a step",
        {"method": "POST", "path": "/rest/v1/posts", "body": {"title": {"$ref": "0#/0/nothing"}, "slug": "s"}},
    ],
)
def test_a_batch_is_all_or_nothing(ann, bad):
    slug = unique("none")
    answer = batch(ann, {"method": "POST", "path": "/rest/v1/posts", "body": {"title": "N", "slug": slug}}, bad)
    assert 400 <= answer.status_code < 500, answer.text
    told = answer.json()
    assert any(error["pointer"].startswith("/steps/1") for error in told["errors"]), told
    assert ann.rows(f"posts?slug=eq.{slug}") == []


def test_a_batch_is_kept_too(ann):
    slug = unique("kept")
    step = {"method": "POST", "path": "/rest/v1/posts", "body": {"title": "K", "slug": slug}}
    key = {"idempotency-key": unique("key")}
    first, again = batch(ann, step, **key), batch(ann, step, **key)
    assert first.status_code == 200 and first.content == again.content
    assert len(ann.rows(f"posts?slug=eq.{slug}")) == 1


def test_ranges(ann, visitor):
    mark = unique("range")
    ann.make("posts", [{"title": mark, "slug": f"{mark}-{n}", "body": "x", "status": "published"} for n in range(5)])
    path = f"/rest/v1/posts?select=slug&title=eq.{mark}&order=slug"
    cases = [
        ({"range": "0-1"}, 200, "0-1/*", 2),
        ({"range": "3-"}, 200, "3-4/*", 2),
        ({"range": "0-1", "prefer": "count=exact"}, 206, "0-1/5", 2),
        ({"range": "0-9", "prefer": "count=exact"}, 200, "0-4/5", 5),
        ({"range": "9-9"}, 200, "*/*", 0),
    ]
    for headers, status, content_range, rows in cases:
        answer = visitor.get(path, headers={"range-unit": "items", **headers})
        assert (answer.status_code, answer.headers["content-range"], len(answer.json())) == (status, content_range, rows)
    problem(visitor.get(path, headers={"range": "9-9", "prefer": "count=exact"}), 416, "PGRST103")
    problem(visitor.get(path, headers={"range": "2-1"}), 416, "PGRST103")


def test_csv_in_and_out(ann):
    mark = unique("csv")
    values = ["plain", "with, comma", 'with "quotes"', "two\nlines", "Zürich 🦀", "NULL-ish"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["title", "slug", "published_at"])
    for at, value in enumerate(values):
        writer.writerow([value, f"{mark}-{at}", "NULL"])
    sent = ann.post("/rest/v1/posts", content=text.getvalue().encode(), headers={"content-type": "text/csv"})
    assert sent.status_code == 201, sent.text
    answer = ann.get(f"/rest/v1/posts?select=title,published_at&slug=like.{mark}*&order=slug", headers={"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows == [{"title": value, "published_at": ""} for value in values]
    problem(ann.post("/rest/v1/posts", content=b"title,slug\nonly-one\n", headers={"content-type": "text/csv"}), 400, "PGRST102")


def test_head_and_options(ann, visitor):
    post = ann.post_row(status="published")
    for path in ["/rest/v1/posts?limit=1", f"/rest/v1/posts/{post['id']}", "/openapi.json", "/health/ready"]:
        got, head = visitor.get(path), visitor.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("etag") == got.headers.get("etag")
    asked = visitor.options("/rest/v1/posts")
    assert asked.status_code in (200, 204)
    assert set(asked.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
    preflight = {"origin": "https://app.example", "access-control-request-method": "PATCH"}
    allowed = visitor.options("/rest/v1/posts", headers={**preflight, "access-control-request-headers": "apikey,prefer"})
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    assert "prefer" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers


def test_put_makes_a_row_exactly_this(ann):
    post = ann.post_row(status="published")
    path = f"/rest/v1/posts/{post['id']}"
    answer = ann.put(path, json={"title": "Put", "slug": post["slug"]}, headers={"prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["title"], body["status"], body["body"], body["id"]) == ("Put", "draft", "", post["id"])
    problem(ann.put(path, json={"id": ABSENT, "title": "Put", "slug": post["slug"]}), 400, "PGRST115")


def test_operating(app, visitor, admin):
    assert visitor.get("/health/live").status_code == 200
    assert visitor.get("/health/ready").status_code == 200
    assert visitor.get("/metrics").status_code in (401, 403)
    assert "undergird_" in admin.get("/metrics").text
    assert "total;dur=" in visitor.get("/rest/v1/posts").headers["server-timing"]
    assert visitor.get("/openapi.json").json()["openapi"].startswith("3.1")
    # Not where there is a strong ETag: it names bytes, and one tag cannot name two encodings.
    packed = visitor.get("/rest/v1/posts?select=*&limit=50", headers={"accept-encoding": "gzip"})
    assert packed.headers.get("content-encoding") == "gzip" and len(packed.json()) == 50
    with httpx.Client(http1=True, base_url=app.url) as plain:
        assert plain.get("/docs").status_code == 200


def test_put_by_conditions(ann, bob, visitor):
    """PostgREST's PUT: the conditions are the key of one row, or nothing is written."""
    key, slug = "01900000-0000-7000-8000-0000000000d1", unique("put")
    path, rows = f"/rest/v1/posts?id=eq.{key}", {"prefer": "return=representation"}
    made = ann.put(path, json={"title": "One", "slug": slug}, headers=rows)
    assert made.status_code == 201 and made.json()[0]["title"] == "One" and made.json()[0]["id"] == key
    assert set(made.json()[0]) == {"id", "title", "slug", "body", "status", "author_id", "published_at", "created_at"}
    changed = ann.put(path, json={"id": key, "title": "Two", "slug": slug}, headers=rows)
    assert changed.status_code == 200 and [row["title"] for row in changed.json()] == ["Two"]
    assert ann.put(path, json=[{"title": "Three", "slug": slug}]).status_code == 204
    problem(ann.put(path, json={"id": ABSENT, "title": "x", "slug": slug}), 400, "PGRST115")
    for query in ["", f"?slug=eq.{slug}", f"?id=eq.{key}&slug=eq.{slug}", f"?id=gt.{key}", f"?id=in.({key})"]:
        refused = ann.put(f"/rest/v1/posts{query}", json={"title": "x", "slug": slug})
        problem(refused, 405, "PGRST105")
        assert "PUT" in refused.headers["allow"]
    problem(bob.put(path, json={"title": "Mine", "slug": slug}), 403, "42501")
    problem(visitor.put(path, json={"title": "Mine", "slug": slug}), 401, "42501")
    assert ann.get(f"/rest/v1/posts/{key}").json()["title"] == "Three"
    step = {"method": "PUT", "path": path, "body": {"title": "Four", "slug": slug}}
    assert ann.post("/rest/v1/batch", json={"steps": [step]}).status_code == 200
    wrong = {"method": "PUT", "path": f"/rest/v1/posts?slug=eq.{slug}", "body": {"title": "x", "slug": slug}}
    problem(ann.post("/rest/v1/batch", json={"steps": [wrong]}), 405, "PGRST105")
    assert ann.get(f"/rest/v1/posts/{key}").json()["title"] == "Four"


def test_a_condition_on_what_is_not_embedded_writes_nothing(ann):
    post = ann.post_row(title="kept")
    for query in ["comments.body=eq.x", "select=id&comments.body=eq.x", "comments.or=(body.eq.x,body.eq.y)"]:
        problem(ann.delete(f"/rest/v1/posts?{query}"), 400, "PGRST108")
        problem(ann.patch(f"/rest/v1/posts?{query}", json={"title": "lost"}), 400, "PGRST108")
    assert ann.get(f"/rest/v1/posts/{post['id']}").json()["title"] == "kept"


def test_statuses_of_creates(ann):
    """201, unless rows were merged and none was made."""
    slug = unique("status")
    row = {"title": "x", "slug": slug}
    merge, ignore = {"prefer": "resolution=merge-duplicates"}, {"prefer": "resolution=ignore-duplicates"}
    path = "/rest/v1/posts?on_conflict=slug"
    assert ann.post("/rest/v1/posts", json=[]).status_code == 201
    assert ann.post(path, json=row, headers=merge).status_code == 201
    assert ann.post(path, json=row, headers=merge).status_code == 200
    assert ann.post(path, json=row, headers=ignore).status_code == 201


def test_an_aggregate_of_one_row_has_no_version(ann):
    # It is no row: what a version is made of would have to be a group.
    row = ann.post_row()
    there = f"/rest/v1/posts/{row['id']}?select=count()"
    answer = ann.get(there)
    assert (answer.status_code, answer.json()) == (200, {"count": 1}), answer.text
    assert "etag" not in answer.headers
    answer = ann.patch(there, json={"title": "Changed"}, headers={"prefer": "return=representation"})
    assert (answer.status_code, answer.json()) == (200, {"count": 1}), answer.text
