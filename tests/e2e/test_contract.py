"""`/openapi.json` is valid OpenAPI 3.1 by a third party's reading, and the server keeps to it by schemathesis's.

Schemathesis runs with all its checks on both examples, as a visitor, a user and a secret key, with a fixed seed: no server error, no
status, media type, header or body that the document does not have, no bad input that is taken for good.
"""

import os
import subprocess
import sys

import httpx
import pytest
from conftest import sign_up
from app import App
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES_PER_OPERATION = int(os.environ.get("E2E_SCHEMATHESIS_EXAMPLES", "3"))


@pytest.fixture(scope="module", params=["blog", "hostile"])
def served(request):
    app = App(request.param)
    app.start()
    yield app
    app.stop()


def test_the_document_is_valid(served):
    document = httpx.get(f"{served.url}/openapi.json").json()
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []
    assert document["openapi"].startswith("3.1.")


@pytest.mark.parametrize("role", ["visitor", "user", "secret key"])
def test_the_server_keeps_to_it(served, role):
    if served.example == "hostile" and role != "secret key":
        pytest.skip("most of it is closed to them: the attack test of crates/server asks as they")
    token = {"visitor": None, "secret key": served.secret}.get(role) if role != "user" else sign_up(served, "sam").token
    command = [
        os.path.join(os.path.dirname(sys.executable), "schemathesis"), "--config-file", f"{HERE}/schemathesis.toml",
        "run", f"{served.url}/openapi.json", "--checks", "all",
        # Ours knows the codes of refusals that no schema can foresee.
        "--exclude-checks", "positive_data_acceptance",
        "--max-examples", str(EXAMPLES_PER_OPERATION if served.example == "blog" else 1), "--seed", "7", "--generation-deterministic",
        "--workers", "1", "--no-color", "--max-response-time", "10", "-H", f"apikey: {served.publishable}",
    ]  # fmt: skip
    if role == "user":
        # It ends the session that the run needs.
        command += ["--exclude-operation-id", "auth.logout"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    environment = dict(os.environ, SCHEMATHESIS_HOOKS="contract_hooks", PYTHONPATH=HERE)
    ended = subprocess.run(command, capture_output=True, text=True, cwd=served.folder, env=environment, timeout=300)
    assert ended.returncode == 0, ended.stdout[-12_000:] + ended.stderr[-2_000:]
