"""The four APIs' errors, as they document them."""

from typing import Any

from .scripts import Format

USUAL = {
    400: "bad_request",
    401: "key",
    403: "rights",
    404: "model",
    413: "too_large",
    429: "rate_limit",
    500: "server",
    502: "server",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_ANTHROPIC = {
    "bad_request": ("invalid_request_error", "max_tokens: Field required"),
    "key": ("authentication_error", "invalid x-api-key"),
    "rights": ("permission_error", "Your API key does not have permission to use this resource."),
    "model": ("not_found_error", "model: nobody-1"),
    "too_large": ("request_too_large", "Request exceeds the maximum size"),
    "rate_limit": ("rate_limit_error", "This request would exceed your rate limit."),
    "quota": (
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing "
        "to upgrade or purchase credits.",
    ),
    "content": ("invalid_request_error", "Output blocked by content filtering policy"),
    "server": ("api_error", "Internal server error"),
    "overloaded": ("overloaded_error", "Overloaded"),
    "timeout": ("timeout_error", "Request timed out"),
}
_OPENAI = {
    "bad_request": ("invalid_request_error", None, "Invalid value for 'messages'."),
    "key": (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: {key}. You can find your API key at https://example.com.",
    ),
    "rights": ("invalid_request_error", "model_not_found", "You have insufficient permissions."),
    "model": (
        "invalid_request_error",
        "model_not_found",
        "The model `nobody-1` does not exist or you do not have access to it.",
    ),
    "too_large": ("invalid_request_error", "context_length_exceeded", "Too long."),
    "rate_limit": ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "content": (None, "content_filter", "The response was filtered."),
    "server": ("server_error", None, "The server had an error while processing your request."),
    "overloaded": ("server_error", None, "The engine is currently overloaded."),
    "timeout": ("server_error", None, "The request timed out."),
}
_GEMINI = {
    "bad_request": ("INVALID_ARGUMENT", "Invalid JSON payload received.", []),
    "key": (
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    ),
    "rights": ("PERMISSION_DENIED", "The caller does not have permission.", []),
    "model": ("NOT_FOUND", "models/nobody-1 is not found for API version v1beta.", []),
    "too_large": ("INVALID_ARGUMENT", "The input token count exceeds the maximum.", []),
    "rate_limit": (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
        [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
        ],
    ),
    "quota": (
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
        [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
            }
        ],
    ),
    "content": ("INVALID_ARGUMENT", "The prompt violates our content policy.", []),
    "server": ("INTERNAL", "An internal error has occurred.", []),
    "overloaded": ("UNAVAILABLE", "The model is overloaded. Please try again later.", []),
    "timeout": ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", []),
}
_OLLAMA = {
    "bad_request": "invalid format",
    "key": "unauthorized",
    "rights": "forbidden",
    "model": "model 'nobody-1' not found",
    "too_large": "input length exceeds the context length",
    "rate_limit": "server busy, please try again.  maximum pending requests exceeded",
    "quota": "you have reached your spending limit",
    "content": "blocked by content filter",
    "server": "llama runner process has terminated: exit status 2",
    "overloaded": "server busy",
    "timeout": "timed out waiting for llama runner to start",
}

KNOWS_LESS = {
    "anthropic": "output_config: Extra inputs are not permitted",
    "openai": "response_format and stream_options are not supported by this server",
    "gemini": 'Unknown name "responseJsonSchema" at "generation_config"',
    "ollama": "json schema is not supported",
}
"""What a server says that speaks an API and lacks its means for a schema."""

STATUS = {("gemini", "key"): 400}
"""Where an API answers with another status than the others."""


def error(spoken: Format, name: str, status: int, key: str | None) -> dict[str, Any]:
    """The API's error; `key` is repeated in it where the API does so."""
    if name == "schema":
        said = KNOWS_LESS[spoken]
        return {"error": said if spoken == "ollama" else {"message": said, "type": "invalid"}}
    match spoken:
        case "anthropic":
            kind, message = _ANTHROPIC[name]
            return {"type": "error", "error": {"type": kind, "message": message}}
        case "openai":
            kind_, code, message = _OPENAI[name]
            said = message.format(key=key)
            return {"error": {"message": said, "type": kind_, "param": None, "code": code}}
        case "gemini":
            status_, message, details = _GEMINI[name]
            found = {"code": status, "message": message, "status": status_}
            return {"error": found | ({"details": details} if details else {})}
        case "ollama":
            return {"error": _OLLAMA[name]}
