"""What a server said instead of an answer → a kind of error, how long to wait, and what to do.

Read from what the four APIs document, and from what servers that speak one of them make of it:
OpenAI's `error.code` and `error.type`, Anthropic's `error.type`, Google's `error.status` and
`error.details` (google.rpc.ErrorInfo, QuotaFailure, RetryInfo), Ollama's and FastAPI's bare texts.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from persona.generation.cleaning import clean_line
from persona.generation.providers.base import ErrorKind, ProviderError

SHOWN = 240
"""How much of a server's own words is repeated, in characters."""
_READ = 4_000
"""How much of them is read for what they mean."""

_QUOTA = re.compile(
    r"insufficient_quota|billing|budget_exceeded|credit balance|"
    r"credits? (?:exhausted|remaining)|exceeded your current quota, please check your plan|PerDay",
    re.IGNORECASE,
)
_SPENT = re.compile(
    r"out of credits|any credits|credits are depleted|spend(?:ing)? (?:limit|cap)|"
    r"budget has been exceeded|key limit exceeded|API usage limit|"
    r"(?:daily|weekly|monthly) usage limit",
    re.IGNORECASE,
)
"""Words that nobody says of a full minute."""
_PACED = re.compile(r"rate_limit|RESOURCE_EXHAUSTED|PerMinute", re.IGNORECASE)
"""Codes of a full minute, the message of which may well name the page where one pays for more."""
_CONTENT = re.compile(
    r"content_filter|content_policy|content (?:filter|management|policy)|responsibleai|"
    r"usage polic|moderation_blocked|requires moderation|PROHIBITED_CONTENT",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(
    r"request too large|must be reduced in order to run|required for long context", re.IGNORECASE
)
"""One call is more than a whole minute's limit: it never fits, however long one waits."""
_BAD_KEY = re.compile(
    r"API_KEY_INVALID|invalid_api_key|API key not valid|API key expired|authentication_error|"
    r"permission_error|permission_denied|unauthenticated|organization has been disabled",
    re.IGNORECASE,
)
_KINDS: dict[ErrorKind, str] = {
    "rate_limit": "rate_limit|resource_exhausted|too_many_requests",
    "timeout": "timeout|deadline_exceeded",
    "server_error": "overloaded|api_error|server_error|internal|unavailable",
    "bad_request": "invalid_request|invalid_argument|not_found|failed_precondition|too_large",
}
"""Where there is no status, since the answer had begun with a good one."""
_STATUS = re.compile(r"\b[45]\d\d\b")
"""Many servers put the status that it would have been into the error's code."""
_BY_STATUS: dict[int, ErrorKind] = {
    401: "authentication",
    402: "quota_exhausted",
    403: "authentication",
    407: "connection",
    408: "timeout",
    409: "server_error",
    425: "server_error",
    429: "rate_limit",
    504: "timeout",
    524: "timeout",
}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_UNIT_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


class Refusal(Struct, frozen=True):
    """A server's error: its words, and every code in it, each on one line."""

    message: str
    codes: str
    retry_after_s: float | None = None


class Server(Struct, frozen=True):
    """Who was asked, as far as a message needs it."""

    host: str
    model: str
    key_name: str | None
    """The variable that the provider's key stands in; None where it takes none."""
    has_key: bool
    key_kept_back: bool = False
    """A key there was, which may not go to this server."""
    keyless: Callable[[str], str] = str
    """Takes the key out of a text."""

    def words(self, told: Refusal) -> str:
        """What is repeated of it. The key goes before it is cut: of half a key nothing is known."""
        return clean_line(self.keyless(told.message), SHOWN)


def refused(server: Server, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The error that an answer with this status is."""
    told = read(body)
    kind = _kind(status, told)
    said = f": {server.words(told)}" if told.message else ""
    if 300 <= status < 400:
        said = ": it sends us elsewhere, and no key is carried there"
    return ProviderError(
        kind,
        _advised(f"{server.host} answered {status}{said}", _advice(server, kind, status)),
        _wait_s(headers, told) if kind in ("rate_limit", "server_error") else None,
        request_id=request_id(headers),
    )


def broken_off(server: Server, error: object, *, maybe_paid: bool) -> ProviderError:
    """The error that a stream ends with after it had begun; `error` is the API's object."""
    told = _refusal(error)
    kind = _kind(None, told)
    return ProviderError(
        kind,
        _advised(
            f"{server.host} broke off: {server.words(told) or 'it does not say why'}",
            _advice(server, kind, None),
        ),
        told.retry_after_s,
        maybe_paid=maybe_paid,
    )


def read(body: bytes) -> Refusal:
    """What an error's body says; of what is no JSON, the beginning of its text."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", body.decode("utf-8", "replace"))
        return Refusal(clean_line(text, _READ), "")
    while isinstance(found, list) and found:
        found = found[0]
    error = found.get("error", found) if isinstance(found, dict) else found
    return _refusal(error)


def request_id(headers: Mapping[str, str]) -> str | None:
    for name in ("request-id", "x-request-id", "apim-request-id", "x-goog-request-id"):
        if found := headers.get(name):
            return found
    return None


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How long the server asks to wait: a number of seconds or an HTTP date (RFC 9110, 10.2.3),
    or in a provider's own header; None where it asks for nothing that can be read.

    A date is counted from the server's own clock where it tells it.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    clock = _date(headers.get("date")) or now or datetime.now(UTC)
    if text and (then := _date(text)) is not None:
        return max(0.0, (then - clock).total_seconds())
    waits = [_reset_s(headers, name, clock) for name in _spent(headers)]
    return max((wait for wait in waits if wait is not None), default=None)


def duration_s(text: str) -> float | None:
    """`1m30.5s`, `20ms`, `37s`: the durations in headers and in google.rpc.RetryInfo."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    parts = zip(found.groups(), _UNIT_S, strict=True)
    return sum(float(part) * unit_s for part, unit_s in parts if part)


def _spent(headers: Mapping[str, str]) -> Iterator[str]:
    """The reset headers of the limits of which nothing remains (OpenAI's and Anthropic's)."""
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
            yield f"x-ratelimit-reset-{kind}"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
        if headers.get(f"anthropic-ratelimit-{kind}-remaining") == "0":
            yield f"anthropic-ratelimit-{kind}-reset"


def _reset_s(headers: Mapping[str, str], name: str, clock: datetime) -> float | None:
    text = headers.get(name, "")
    if (duration := duration_s(text)) is not None:
        return duration
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, (then - clock).total_seconds()) if then.tzinfo is not None else None


def _wait_s(headers: Mapping[str, str], told: Refusal) -> float | None:
    asked = retry_after_s(headers)
    return told.retry_after_s if asked is None else asked


def _kind(status: int | None, told: Refusal) -> ErrorKind:
    """By what the error says where a status says too little, else by the status."""
    said = f"{told.codes} {told.message}"
    if status in (None, 400, 402, 403, 429) and _is_quota(told):
        return "quota_exhausted"
    if status in (None, 400, 403, 422) and _CONTENT.search(said):
        return "content_refused"
    if status in (None, 429) and _TOO_LARGE.search(told.message):
        return "bad_request"
    if status in (None, 400) and _BAD_KEY.search(said):
        return "authentication"
    if status is not None:
        return _BY_STATUS.get(status, "server_error" if status >= 500 else "bad_request")
    if (named := _STATUS.search(told.codes)) is not None:
        return _kind(int(named[0]), told)
    codes = told.codes.casefold()
    return next((kind for kind, form in _KINDS.items() if re.search(form, codes)), "server_error")


def _is_quota(told: Refusal) -> bool:
    """Google says of a full minute what it says of an empty account: its codes differ."""
    if _QUOTA.search(told.codes) or _SPENT.search(told.message):
        return True
    return bool(_QUOTA.search(told.message)) and not _PACED.search(told.codes)


def _refusal(error: object) -> Refusal:
    match error:
        case {"detail": detail, **rest} if "message" not in rest:
            return Refusal(clean_line(_text(detail), _READ), "")
        case dict():
            nested = [one for one in error.get("details") or () if isinstance(one, dict)]
            codes = [error.get(name) for name in ("type", "code", "status")]
            inner = error.get("innererror")
            codes.append(inner.get("code") if isinstance(inner, dict) else None)
            codes += [one.get("reason") for one in nested]
            codes += [each.get("quotaId") for one in nested for each in _violations(one)]
            waits = (one.get("retryDelay") for one in nested)
            delays = (duration_s(wait) for wait in waits if isinstance(wait, str))
            return Refusal(
                clean_line(_text(error.get("message", "")), _READ),
                " ".join(str(code) for code in codes if code is not None),
                next((delay for delay in delays if delay is not None), None),
            )
        case _:
            return Refusal(clean_line(_text(error), _READ), "")


def _violations(detail: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = detail.get("violations")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _advised(said: str, advice: str) -> str:
    return said.removesuffix(".") + advice if advice else said


def _advice(server: Server, kind: ErrorKind, status: int | None) -> str:
    match kind:
        case "authentication" if server.key_kept_back:
            return "; no key was sent, as the way there is not encrypted: use https"
        case "authentication" if server.key_name is not None and not server.has_key:
            return f"; set {server.key_name}, or {server.key_name}_FILE to a file with the key"
        case "authentication" if status == 403 and server.key_name is not None:
            return f"; the key in {server.key_name} lacks the right to do this"
        case "authentication" if server.key_name is not None:
            return f"; check the key in {server.key_name}"
        case "quota_exhausted":
            return "; add credit, or raise the limit, at the provider"
        case "bad_request" if status == 429:
            return "; with a greater -n each call is smaller"
        case "bad_request" if status == 404:
            return f"; is there a model {server.model}, and is --base-url right?"
        case _:
            return ""
