"""`/openapi.json` is valid OpenAPI 3.1 by a third party's reading, and the server keeps to it by schemathesis's.

Schemathesis runs with all its checks, as they come, on both examples, as a visitor, a user and a secret key, with a fixed seed: no server
error, no status, media type, header or body that the document does not have, no good input that is refused, no bad input that is taken
for good. What no document can say is in schemathesis.toml and contract_hooks.py, each with its reason.
"""

import concurrent.futures
import os
import subprocess
import sys

import httpx
import pytest
from app import App
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = os.path.dirname(os.path.abspath(__file__))
# Beside the examples of the document and the cases that cover it, of which there are some six thousand for the blog.
EXAMPLES_PER_OPERATION = {"blog": 3, "hostile": 1}
RUNS = [(example, role) for example in EXAMPLES_PER_OPERATION for role in ("visitor", "user", "secret key")]
# A run is a process that computes most of the time.
AT_ONCE = 2
RUN_SECONDS_MAX = 660


@pytest.mark.parametrize("example", EXAMPLES_PER_OPERATION)
def test_the_document_is_valid(example):
    app = App(example)
    app.start()
    try:
        document = httpx.get(f"{app.url}/openapi.json").json()
    finally:
        app.stop()
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []
    assert document["openapi"].startswith("3.1.")


def attack(example, role):
    """Schemathesis on a server of its own."""
    app = App(example)
    app.start()
    try:
        examples = os.environ.get("E2E_SCHEMATHESIS_EXAMPLES") or EXAMPLES_PER_OPERATION[example]
        command = [
            os.path.join(os.path.dirname(sys.executable), "schemathesis"), "--config-file", f"{HERE}/schemathesis.toml",
            "run", f"{app.url}/openapi.json", "--checks", "all", "--max-examples", str(examples), "--seed", "7",
            "--generation-deterministic", "--workers", "1", "--no-color", "--max-response-time", "10", "-H", f"apikey: {app.publishable}",
        ]  # fmt: skip
        if role == "secret key":
            command += ["-H", f"Authorization: Bearer {app.secret}"]
        environment = dict(
            os.environ, SCHEMATHESIS_HOOKS="contract_hooks", PYTHONPATH=HERE, CONTRACT_ROLE=role, CONTRACT_URL=app.url
        )
        return subprocess.run(command, capture_output=True, text=True, cwd=app.folder, env=environment, timeout=RUN_SECONDS_MAX)
    finally:
        app.stop()


@pytest.fixture(scope="module")
def attacks():
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        # The long ones first.
        started = {run: pool.submit(attack, *run) for run in reversed(RUNS)}
        yield started
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("example", "role"), RUNS)
def test_the_server_keeps_to_it(attacks, example, role):
    ended = attacks[example, role].result()
    assert ended.returncode == 0, ended.stdout[-12_000:] + ended.stderr[-2_000:]
