"""docs/clients.md, from top to bottom: every fenced example runs as it stands, in one folder, against one server on examples/blog.

Absent: what stands indented, which installs packages and sets the environment that is given here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from app import BINARY, ROOT, App

PAGE = (ROOT / "docs/clients.md").read_text()
BLOCKS = [(found[1], found[2]) for found in re.finditer(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)]
PACKAGES = Path(os.environ.get("E2E_CACHE") or ROOT / "target/e2e") / "node/node_modules"
# What a run must print, so that one that does nothing is not taken for good.
PRINTED = {
    "ts": "[ { title: 'Hello', author: { name: 'Ann' }, comments: [] } ]",
    "python": "[{'title': 'Hello', 'author': {'name': 'Ann'}}]",
    "sh": '[{"title":"A better title","comments":[{"count":1}]}]',
}


def run(command, folder, environment):
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def typescript(folder, environment):
    compiler = str(PACKAGES / "typescript/bin/tsc")
    options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    run(["node", compiler, *options, "example.ts"], folder, environment)
    return run(["node", "example.js"], folder, environment)


def example(language, text, folder, environment):
    match language:
        case "sh":
            return run(["bash", "-euo", "pipefail", "-c", text], folder, environment)
        case "python":
            return run([sys.executable, "-c", text], folder, environment)
        case "ts":
            (folder / "example.ts").write_text(text)
            return typescript(folder, environment)
    raise AssertionError(f"an example in a language that is not run: {language}")


@pytest.fixture
def app():
    app = App("blog")
    app.start()
    yield app
    app.stop()


def test_the_page_runs(app):
    folder = app.folder / "page"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "node_modules").symlink_to(PACKAGES)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "undergird").symlink_to(Path(BINARY).resolve())
    environment = {
        **app.environment, "PATH": f"{folder}:{os.environ['PATH']}", "BLOG_URL": app.url, "BLOG_KEY": app.publishable, "NO_COLOR": "1",
    }  # fmt: skip
    printed = {}
    for language, text in BLOCKS:
        printed[language] = printed.get(language, "") + example(language, text, folder, environment)
    assert printed.keys() == PRINTED.keys()
    for language, text in PRINTED.items():
        assert text in printed[language], printed[language]
