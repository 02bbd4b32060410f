"""Loaded by schemathesis: its check that good requests are taken, in the form that an API with rules and versions needs.

A request may agree with the document and still be refused for what the document cannot know: who asks, what is stored, which
version. Those refusals have codes of their own, listed here; any other 4xx of a good request is a fault of server or document.
"""

import schemathesis

# By code: what no schema can tell.
STATE = {
    "42501",  # the rules
    "PGRST301", "PGRST302", "PGRST303",  # credentials
    "23503", "23505", "40001",  # other rows
    "UG404", "UG409", "UG412", "UG422", "UG429",  # other requests
    "UG101",  # a cursor that a machine made up
    "PGRST103", "PGRST116",  # how many rows there are
    # The same of the auth surface.
    "invalid_credentials", "user_already_exists", "email_exists", "weak_password", "refresh_token_not_found", "refresh_token_already_used",
    "no_authorization", "bad_jwt", "session_not_found", "over_request_rate_limit", "reauthentication_needed", "same_password",
    "email_address_not_authorized",
}


def told(response):
    try:
        body = response.json()
    except ValueError:
        return None, []
    return body.get("error_code") or body.get("code"), body.get("errors", [])


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Asks for the body that the document describes: OpenAPI cannot say that an answer's body is there only when asked for."""
    prefer = (case.headers or {}).get("Prefer") or ""
    if case.method in ("POST", "PUT") and case.path.startswith("/rest/v1/") and "return=" not in prefer:
        case.headers = {**(case.headers or {}), "Prefer": "return=representation"}
    # An inner embed may leave nothing of the row that was written to answer with.
    if case.method in ("POST", "PUT") and "!inner" in str((case.query or {}).get("select")):
        del case.query["select"]


@schemathesis.check
def good_requests_are_taken(ctx, response, case):
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if response.status_code < 400 or mode is None or not mode.is_positive:
        return
    code, errors = told(response)
    if code in STATE:
        return
    # A check of the model is an expression: no schema says it. It says itself by this.
    if code == "23514" and all(error["code"] == "check" for error in errors):
        return
    # A default that is the caller's id has no value for a secret key.
    if code == "23502" and all("its default has no value here" in error["message"] for error in errors):
        return
    # `columns` says which members of the body count: a body may lack all of them.
    if "columns" in (case.query or {}):
        return
    # What a step may be depends on its path, and what a token's body may be on the query: neither can be said in a schema.
    if case.path == "/rest/v1/batch" and any(error["pointer"].startswith("/steps/") for error in errors):
        return
    if case.path == "/auth/v1/token" and code == "validation_failed":
        return
    raise AssertionError(f"a request that the document allows was refused: {response.status_code} {code}: {response.text[:500]}")
