"""Errors that servers were heard to give beyond what their pages document: what each one is."""

import msgspec
import pytest
from persona.generation.providers.base import ErrorKind
from persona.generation.providers.refusals import Server, broken_off, refused

HEARD: list[tuple[int | None, dict[str, object], ErrorKind]] = [
    (
        429,
        {
            "message": "Rate limit reached for model `small` on tokens per minute (TPM). Please "
            "try again in 2s. Need more? Upgrade today at https://example.com/settings/billing",
            "type": "tokens",
            "code": "rate_limit_exceeded",
        },
        "rate_limit",
    ),
    (
        429,
        {"message": "Your prepayment credits are depleted.", "status": "RESOURCE_EXHAUSTED"},
        "quota_exhausted",
    ),
    (
        429,
        {"message": "It has exceeded its monthly spending cap.", "status": "RESOURCE_EXHAUSTED"},
        "quota_exhausted",
    ),
    (
        400,
        {
            "message": "You have reached your specified API usage limits. You will regain access "
            "on 2026-12-01 at 00:00 UTC.",
            "type": "invalid_request_error",
        },
        "quota_exhausted",
    ),
    (
        400,
        {"message": "This organization has been disabled.", "type": "invalid_request_error"},
        "authentication",
    ),
    (
        400,
        {"message": "Max budget: 1.0", "type": "budget_exceeded", "code": "400"},
        "quota_exhausted",
    ),
    (403, {"message": "Key limit exceeded (total limit).", "code": 403}, "quota_exhausted"),
    (403, {"message": "You have not any credits yet."}, "quota_exhausted"),
    (403, {"message": "a model that requires moderation; flagged", "code": 403}, "content_refused"),
    (
        400,
        {"message": "Flagged as violating our usage policy.", "code": "invalid_prompt"},
        "content_refused",
    ),
    (429, {"message": "you have reached your weekly usage limit"}, "quota_exhausted"),
    (429, {"message": "you've reached your hourly usage limit, please wait"}, "rate_limit"),
    (
        429,
        {
            "message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, "
            "Requested 30601. The input or output tokens must be reduced in order to run.",
            "code": "rate_limit_exceeded",
        },
        "bad_request",
    ),
    (None, {"message": "Provider returned error", "code": 429}, "rate_limit"),
    (None, {"message": "Too long.", "type": "BadRequestError", "code": 400}, "bad_request"),
    (None, {"message": "Too long.", "type": "request_too_large"}, "bad_request"),
    (None, {"message": "Provider disconnected", "code": 502}, "server_error"),
]


@pytest.mark.parametrize(("status", "error", "kind"), HEARD)
def test_errors_that_servers_were_heard_to_give_are_told_apart(
    status: int | None, error: dict[str, object], kind: ErrorKind
) -> None:
    server = Server(host="host", model="small", key_name="SOME_API_KEY", has_key=True)
    if status is None:
        found = broken_off(server, error, maybe_paid=True)
    else:
        found = refused(server, status, {}, msgspec.json.encode({"error": error}))

    assert found.kind == kind
