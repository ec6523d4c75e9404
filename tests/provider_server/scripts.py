"""What the server is asked, what it is to do about it, and what it is paid for."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

Format = Literal["anthropic", "openai", "gemini", "ollama"]
FORMATS: tuple[Format, ...] = ("anthropic", "openai", "gemini", "ollama")


class Turn(Struct, frozen=True, kw_only=True):
    """What happens to one request; by default it gets a faithful persona, streamed."""

    status: int = 200
    error: str = ""
    """Which of the API's errors: see `errors.py`; empty for the status's usual one."""
    retry_after: str | None = None
    headers: dict[str, str] = {}
    body: bytes | None = None
    """Sent as it is, in place of an error's or an answer's own."""
    content_type: str | None = None
    delay_s: float = 0.0
    """Before anything is sent."""
    gap_s: float = 0.0
    """Between two pieces."""
    pieces: int = 6
    text: str | None = None
    """The answer, in place of a persona."""
    edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Changes the persona."""
    ending: Literal["stop", "length", "refusal"] = "stop"
    cut_after: int | None = None
    """The connection is closed after so many pieces."""
    error_after: int | None = None
    """The stream ends in the API's error after so many pieces."""
    nonsense_after: int | None = None
    """A message that is no JSON comes after so many pieces."""
    usage: bool = True
    thought: int = 0
    """Tokens of reasoning, which are output, too."""
    streams: bool = True
    hangs: Literal["", "before", "after"] = ""
    """Says nothing at all, or everything and then keeps the connection open."""


class Asked(Struct, frozen=True, kw_only=True):
    """One request, as the API it was made by reads it."""

    number: int
    """From 1, over all formats."""
    format: Format
    path: str
    headers: dict[str, str]
    key: str | None
    model: str
    instructions: str
    turns: list[str]
    """What was said after the instructions: one, or three where an answer is to be repaired."""
    schema: dict[str, Any]
    max_tokens: int
    body: dict[str, Any]
    marked_for_cache: bool = False

    @property
    def records(self) -> list[dict[str, str]]:
        """The group's records, as they were sent."""
        lines = [line for line in self.turns[0].splitlines() if line.startswith("{")]
        return [msgspec.json.decode(line, type=dict[str, str]) for line in lines]


class Paid(Struct, frozen=True):
    """The tokens of one call, as the provider bills them."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    model: str = ""


class Refusal(Exception):
    """A request that the API would not take; it costs nothing."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def tokens(text: str) -> int:
    """As this server counts: one in five bytes, begun ones included."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 5)
