"""What a reader of one format hands on, still with names in it, before it is redacted.

A reader is a function `(TextFile, Wishes) -> Iterator[Found]`. It yields what it can and goes on
after a `Broken` part; a `ReadProblem` ends the file, and what came before it stays.
"""

import re
import unicodedata
from typing import Literal, TypeAlias

from msgspec import Struct


class Said(Struct, frozen=True):
    """One utterance, answer or fact."""

    locator: str
    text: str
    speaker: str | None = None
    """The label or id as it stands in the file; None is the file's own, unnamed participant."""
    question: str | None = None
    kind: Literal["speech", "fact"] = "speech"
    declared: bool = False
    """The file states that `speaker` is the participant's id (a column, a field, a header line),
    so that the same id in another file is the same person."""


class Named(Struct, frozen=True):
    """A person's name, to be redacted; `speaker` None and `declared` False: an interviewer's."""

    name: str
    speaker: str | None = None
    declared: bool = False
    of_file: bool = False
    """The name is that of the file's own, otherwise unnamed participant."""


class Broken(Struct, frozen=True):
    """A part that could not be read."""

    reason: str
    line: int | None = None


class Layout(Struct, frozen=True):
    """How a table or a list of objects was understood."""

    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    participant_column: str | None
    delimiter: str | None = None
    notes: tuple[str, ...] = ()


Found: TypeAlias = Said | Named | Broken | Layout


class Wishes(Struct, frozen=True):
    """What the user said about columns; empty and None: found automatically."""

    text_columns: tuple[str, ...] = ()
    participant_column: str | None = None


class ReadProblem(Exception):
    """The rest of this file can't be read. `reason` holds none of the file's words."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def unnamed(locator: str) -> str:
    """A speaker who is known by his place in the file only; never the same as any id."""
    return f"@{locator}"


_INVISIBLE = re.compile(
    # Controls (tab, line feed and carriage return are white space, below), soft hyphens,
    # zero-width and direction marks: they could hide a name or drive a terminal.
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


def clean(text: str) -> str:
    """The text in Unicode's composed form, without invisible characters, white space collapsed."""
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return " ".join(_INVISIBLE.sub("", text).split())
