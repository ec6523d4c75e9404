"""Lines of an export, to the ledger and from it, a bounded number at a time."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import msgspec
from msgspec import Struct

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.codec import invalid
from personad.contract.errors import LedgerError
from personad.contract.events import (
    AnyEvent,
    Appended,
    Exported,
    Import,
    Recorded,
    check_event,
)

CHUNK_EVENTS = 2_000
CHUNK_BYTES = 2 << 20
"""Of text; as a message it may be larger, because a short number takes nine bytes there."""

_ITEM = re.compile(r"\$\.items\[(\d+)\](.*)")
_EXPORTED = msgspec.json.Decoder(Exported)
_EVENT: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_ENCODER = msgspec.json.Encoder()


class Bad(Struct, frozen=True):
    """A line that is not taken, and why."""

    line: int
    reason: str


class Good(Struct, frozen=True):
    """A line that says what an event is."""

    line: int
    size_bytes: int
    item: Exported


class Taken(Struct, frozen=True):
    """What has become of the lines so far."""

    imported: int = 0
    duplicates: int = 0
    anomalies: int = 0
    quarantined: int = 0
    bad: int = 0


class _Shape(Struct, frozen=True):
    """Tells a line of an export from a bare event."""

    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_SHAPE = msgspec.json.Decoder(_Shape)


def exported(recorded: Recorded) -> bytes:
    """A line of an export, newline included."""
    event = recorded.event
    derived = type(event).DAEMON_ONLY
    line = Exported(event=event, receipt=recorded.receipt, derived=derived)
    return _ENCODER.encode(line) + b"\n"


def parse(lines: IO[bytes]) -> Iterator[Good | Bad]:
    """Each line that isn't empty; one longer than a message may be is bad, and never held whole."""
    number = 0
    while line := lines.readline(MAX_MESSAGE_BYTES + 1):
        number += 1
        if len(line) > MAX_MESSAGE_BYTES:
            while line and not line.endswith(b"\n"):
                line = lines.readline(MAX_MESSAGE_BYTES)
            yield Bad(number, f"longer than {MAX_MESSAGE_BYTES:,} bytes")
            continue
        text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if text:
            yield _parsed(number, text)


def _parsed(number: int, text: bytes) -> Good | Bad:
    try:
        if _SHAPE.decode(text).event is msgspec.UNSET:
            event = _EVENT.decode(text)
            check_event(event)
            return Good(number, len(text), Exported(event=event, derived=type(event).DAEMON_ONLY))
        item = _EXPORTED.decode(text)
        check_event(item.event, "$.event")
        return Good(number, len(text), item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Bad(number, invalid(error).message)


def chunks(lines: Iterable[Good]) -> Iterator[list[Good]]:
    """The lines in messages that the daemon takes."""
    chunk: list[Good] = []
    size_bytes = 0
    for line in lines:
        if chunk and (len(chunk) >= CHUNK_EVENTS or size_bytes + line.size_bytes > CHUNK_BYTES):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(line)
        size_bytes += line.size_bytes
    if chunk:
        yield chunk


class Importer:
    """Sends lines to the ledger, leaving out the bad ones and naming them.

    Args:
        send: `Ledger.ask`.
        strict: Nothing after the first bad line is sent.
        on_bad: Told of each bad line at once.
        on_progress: Told what has been taken, after each message.
    """

    def __init__(
        self,
        send: Callable[[Import], Appended],
        *,
        strict: bool,
        on_bad: Callable[[Bad], None],
        on_progress: Callable[[Taken], None],
    ) -> None:
        self._send = send
        self._strict = strict
        self._on_bad = on_bad
        self._on_progress = on_progress
        self.taken = Taken()

    def run(self, lines: IO[bytes]) -> Taken:
        """Raises LedgerError where the daemon can't take anything at all."""
        for chunk in chunks(self._good(parse(lines))):
            go_on = self._deliver(chunk)
            self._on_progress(self.taken)
            if not go_on:
                break
        return self.taken

    def _good(self, lines: Iterable[Good | Bad]) -> Iterator[Good]:
        for line in lines:
            if isinstance(line, Good):
                yield line
                continue
            self._refuse(line)
            if self._strict:
                return

    def _refuse(self, bad: Bad) -> None:
        self.taken = msgspec.structs.replace(self.taken, bad=self.taken.bad + 1)
        self._on_bad(bad)

    def _deliver(self, chunk: list[Good]) -> bool:
        """Whether to go on; what only the daemon finds wrong is bad too, and named like it.

        What follows a bad line goes in parts that begin small, because others may be near.
        """
        go_on = True
        waiting = [chunk]
        while waiting:
            part = waiting.pop()
            if not part:
                continue
            try:
                answer = self._send(Import(items=[line.item for line in part]))
            except LedgerError as error:
                place = _place(error, part)
                if place is None:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]
                    continue
                self._refuse(Bad(part[place].line, error.message))
                go_on = not self._strict
                waiting = [*waiting, *reversed(_growing(part[place + 1 :]))] if go_on else []
                waiting.append(part[:place])
            else:
                self._count(len(part), answer)
        return go_on

    def _count(self, sent: int, answer: Appended) -> None:
        taken = self.taken
        self.taken = msgspec.structs.replace(
            taken,
            imported=taken.imported + sent - answer.duplicates - answer.quarantined,
            duplicates=taken.duplicates + answer.duplicates,
            anomalies=taken.anomalies + answer.anomalies,
            quarantined=taken.quarantined + answer.quarantined,
        )


def _growing(lines: list[Good]) -> list[list[Good]]:
    """The lines in parts of 1, 2, 4, … of them."""
    return [lines[2**n - 1 : 2 ** (n + 1) - 1] for n in range((len(lines) + 1).bit_length())]


def _place(error: LedgerError, part: list[Good]) -> int | None:
    """Which line of the part the daemon doesn't take; None where only their sum is too large.

    Raises:
        LedgerError: `error`, where it is no line's fault.
    """
    if error.code not in ("invalid", "too-large"):
        raise error
    found = _ITEM.fullmatch(error.field or "")
    if found is not None and int(found[1]) < len(part):
        return int(found[1])
    if error.code == "invalid":
        raise error
    return 0 if len(part) == 1 else None
