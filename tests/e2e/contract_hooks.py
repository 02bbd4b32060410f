"""Loaded by schemathesis (its hooks, formats and one more check): what no OpenAPI document can say of a good request.

Absent: anything that makes a check milder. Which statuses a good request may get besides the tool's own is in schemathesis.toml; the
check here is the stricter side of it, and says with which codes.
"""

import os
import re
import uuid

import httpx
import schemathesis
from hypothesis import strategies
from schemathesis.core.parameters import ParameterLocation

# A cursor is sealed by the server: nobody else makes one but the empty one, the beginning.
schemathesis.openapi.format("cursor", strategies.just(""))


def good(case, location):
    """Whether this part of the request is as the document says."""
    part = case.meta and case.meta.components.get(location)
    return part is None or part.mode.is_positive


class Account:
    """Signs up, and again when a token is good no more: every operation is tried, signing out and changing the password among them."""

    def get(self, case, ctx):
        account = {"email": f"{uuid.uuid4()}@example.org", "password": str(uuid.uuid4())}
        answer = httpx.post(f"{os.environ['CONTRACT_URL']}/auth/v1/signup", json=account, timeout=30)
        return answer.raise_for_status().json()["access_token"]

    def set(self, case, token, ctx):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


if os.environ.get("CONTRACT_ROLE") == "user":
    schemathesis.auth()(Account)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if case.method not in ("POST", "PUT", "PATCH", "DELETE") or not case.path.startswith("/rest/v1/"):
        return
    # The key of one request is no other's: the tool makes few values, and sends them again with everything else changed.
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 1 <= len(key) <= 255:
        case.headers = {**case.headers, "Idempotency-Key": str(uuid.uuid4())}
    # An answer of 201 has a body only when asked for, which the document cannot tie to a request's header.
    prefer = (case.headers or {}).get("Prefer") or ""
    if case.method in ("POST", "PUT") and "return=" not in prefer and case.path != "/rest/v1/batch":
        case.headers = {**(case.headers or {}), "Prefer": "return=representation"}
    # An inner embed may leave nothing of a row that was written: then there is nothing to show of it.
    if case.method == "PUT" and "!inner" in str((case.query or {}).get("select")):
        case.query = {name: value for name, value in case.query.items() if name != "select"}
    # `columns` says which members count, and the others may be anything: then no body is a bad one.
    if "columns" in (case.query or {}) and not good(case, ParameterLocation.BODY):
        case.query = {name: value for name, value in case.query.items() if name != "columns"}


# The statuses that schemathesis.toml adds: of which operations, with which codes.
FORESEEN = [
    (r"\.list$", {"PGRST103"}),
    (r"\.(update_one|delete_one|replace|replace_one)$", {"UG412"}),
    (r"^auth\.signup$", {"weak_password", "user_already_exists"}),
    (r"^auth\.update_user$", {"weak_password", "email_exists", "same_password"}),
    (r"^auth\.admin\.(create_user|update_user)$", {"weak_password", "email_exists", "validation_failed"}),
    (r"^auth\.factors\.enroll$", {"mfa_factor_name_conflict", "too_many_enrolled_mfa_factors", "invalid_credentials"}),
    (r"^auth\.factors\.verify$", {"mfa_challenge_expired", "validation_failed", "webauthn_verification_failed"}),
    (r"^auth\.passkeys\.begin_registration$", {"invalid_credentials"}),
    (r"^auth\.passkeys\.finish_", {"webauthn_verification_failed", "webauthn_challenge_expired"}),
    (r"^auth\.passkeys\.(rename|finish_registration)$", {"validation_failed"}),
    (r"^auth\.recovery_codes", {"mfa_recovery_codes_sole_factor", "mfa_verification_failed"}),
    # What the profile wants of `data`; which members go together; addresses that are taken.
    (r"^auth\.(otp|magiclink|invite|verify)$", {"validation_failed", "email_exists"}),
    (r"^auth\.admin\.generate_link$", {"validation_failed", "weak_password", "email_exists"}),
    (r"^auth\.update_user$", {"reauthentication_not_valid"}),
    (r"^auth\.(authorize|link_identity)$", {"validation_failed"}),
    (r"^auth\.token$", {"invalid_credentials", "refresh_token_not_found", "validation_failed"}),
]
# By the tool's own list.
ALWAYS = {401, 403, 404, 409, 429}


@schemathesis.check
def refusals_are_the_foreseen(ctx, response, case):
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if response.status_code < 400 or response.status_code in ALWAYS or mode is None or not mode.is_positive:
        return
    try:
        body = response.json()
    except ValueError:
        body = {}
    code, errors = body.get("error_code") or body.get("code"), body.get("errors", [])
    operation = case.operation.definition.raw["operationId"]
    if any(re.search(pattern, operation) and code in codes for pattern, codes in FORESEEN):
        return
    # Challenges are hashes, and URLs to come back to are those of the settings: a page says so, in words.
    if operation.startswith("pages.") and response.status_code == 400 and re.search("code_challenge,|redirect_urls", response.text):
        return
    # A check of the model is an expression over the row.
    if code == "23514" and all(error["code"] == "check" for error in errors):
        return
    # A default that is the caller's id has no value for a secret key.
    if code == "23502" and all("its default has no value here" in error["message"] for error in errors):
        return
    # A step of a batch is a request of its own, and says which it was.
    if operation == "batch" and errors and all(error["pointer"].startswith("/steps/") for error in errors):
        return
    raise AssertionError(f"a good request was refused: {response.status_code} {code}: {response.text[:500]}")
