"""The closed set of what can go wrong between a client and the daemon."""

from typing import Literal, assert_never

from .base import Reply

Code = Literal[
    "invalid",
    "not-found",
    "conflict",
    "too-large",
    "budget-exceeded",
    "unavailable",
    "internal",
]


class Failure(Reply, frozen=True, tag="failure"):
    """A request that was not done; nothing of it was."""

    code: Code
    message: str
    field: str | None = None
    """Where in the request, as a JSON path: `$.events[3].cost_nanousd`."""
    hint: str | None = None
    """What to do next."""


class LedgerError(Exception):
    """What the daemon answered, or that it did not answer, as an exception of ours.

    The message is meant for people; `hint` says what to do next.
    """

    def __init__(
        self, code: Code, message: str, *, field: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.field = field
        self.hint = hint

    @classmethod
    def of(cls, failure: Failure) -> "LedgerError":
        return cls(failure.code, failure.message, field=failure.field, hint=failure.hint)

    def failure(self) -> Failure:
        return Failure(code=self.code, message=self.message, field=self.field, hint=self.hint)


def exit_code(code: Code) -> int:
    """The exit status of a command that ended with this error; the only such table."""
    match code:
        case "invalid" | "not-found" | "too-large":
            return 64
        case "conflict":
            return 1
        case "budget-exceeded" | "unavailable":
            return 75
        case "internal":
            return 70
        case _:
            assert_never(code)
