"""One server on examples/blog for each module of tests, and its users.

Every answer that any test gets is looked at on its way: an error is a problem (RFC 9457) with a stable code, and there is no 5xx.
"""

import itertools
import os
import sys

import httpx
import pytest

sys.path.insert(0, os.path.dirname(__file__))

from app import App  # noqa: E402

PASSWORD = "a long enough password"
PROBLEM = {"type", "title", "status", "request_id", "code", "message", "details", "hint"}
numbers = itertools.count(1)


def unique(prefix):
    """A name that no other test has."""
    return f"{prefix}-{next(numbers)}"


def look(response):
    """Holds an answer to what every answer promises."""
    assert response.status_code < 500, f"{response.request.url}: {response.status_code}"
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    path = response.request.url.path
    if response.status_code < 400 or path.startswith("/auth/v1/") or response.request.method == "HEAD":
        return
    response.read()
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert PROBLEM <= body.keys() <= PROBLEM | {"errors"}, body
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["type"] == f"urn:undergird:problem:{body['code']}"
    for error in body.get("errors", []):
        assert {"pointer", "code", "message"} == error.keys(), error


class User(httpx.Client):
    """A caller, with the id of its account."""

    def __init__(self, app, token, id=None):
        headers = {"apikey": app.publishable}
        if token:
            headers["authorization"] = f"Bearer {token}"
        super().__init__(base_url=app.url, headers=headers, event_hooks={"response": [look]}, timeout=30)
        self.token, self.id = token, id

    def rows(self, path):
        """The rows of a list."""
        answer = self.get(f"/rest/v1/{path}")
        assert answer.status_code in (200, 206), answer.text
        return answer.json()

    def make(self, collection, row):
        """A new row, as it is now."""
        answer = self.post(f"/rest/v1/{collection}", json=row, headers={"prefer": "return=representation"})
        assert answer.status_code == 201, answer.text
        return answer.json()[0] if isinstance(row, dict) else answer.json()

    def post_row(self, **more):
        """A new post."""
        slug = unique("post")
        return self.make("posts", {"title": f"Title of {slug}", "slug": slug, "body": "Text", **more})


@pytest.fixture(scope="module")
def app():
    app = App("blog")
    app.start()
    yield app
    app.stop()


def sign_up(app, name):
    answer = httpx.post(
        f"{app.url}/auth/v1/signup",
        json={"email": f"{unique(name)}@example.com", "password": PASSWORD, "data": {"name": name.capitalize()}},
        headers={"apikey": app.publishable},
    )
    assert answer.status_code == 200, answer.text
    session = answer.json()
    return User(app, session["access_token"], session["user"]["id"])


@pytest.fixture(scope="module")
def ann(app):
    return sign_up(app, "ann")


@pytest.fixture(scope="module")
def bob(app):
    return sign_up(app, "bob")


@pytest.fixture(scope="module")
def visitor(app):
    return User(app, None)


@pytest.fixture(scope="module")
def admin(app):
    return User(app, app.secret)


def problem(answer, status, code):
    """The body of an error that must be this one."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    return answer.json()
