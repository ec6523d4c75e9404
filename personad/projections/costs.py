"""What calls cost: which figure counts for a call, what is reserved, and the sums of all of it.

Of several `cost.recorded` for one call the greatest by (total tokens, output tokens, id) counts,
and the newest `cost.corrected` stands over it, but for a settlement where the answer came after
all; what counted before is taken back out. So the result depends on no order. A call that was
granted and whose answer never came counts at what was reserved for it, until a bill or a correction
says otherwise.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Event
from personad.log import Entry
from personad.projections import cost_sums, counted, open_calls
from personad.projections.book import Book
from personad.projections.cost_sums import total_tokens
from personad.projections.open_calls import OpenCall

NAME = "costs"
VERSION = 1
SCHEMA = counted.SCHEMA + counted.FRESH_SCHEMA + open_calls.SCHEMA + cost_sums.SCHEMA
TABLES: tuple[str, ...] = ("call", "open_call", *cost_sums.TABLES)
WANTS: tuple[type[Event], ...] = (
    c.CostRecorded,
    c.CallStarted,
    c.CallAbandoned,
    c.CostCorrected,
    b.BatchInterrupted,
)

COST_MAX = 10**16
"""Nano-dollars of one call, ten million dollars, or tokens of a kind: more is a mistake, and would
spoil every sum."""
TOO_LARGE = "too large to be a call's tokens or cost"

_KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_tokens_of = attrgetter(*_KINDS)
_outcome_of = attrgetter("outcome")


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    fold = _Fold(book)
    kinds = {type(entry[2]) for entry in entries}
    parts: Iterable[tuple[bool, Iterable[Entry]]] = [(True, entries)]
    if len(kinds) > 1 or c.CostRecorded not in kinds:
        parts = groupby(entries, lambda entry: type(entry[2]) is c.CostRecorded)
    for is_cost, some in parts:
        if is_cost:
            fold.recorded([*some])
        else:
            for entry in some:
                fold.other(entry)
    cost_sums.add(book, fold.added, fold.removed)
    return fold.anomalies


class _Fold:
    """What one group of events adds to the sums, and takes out of them."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.counted = book.counted
        self.added: list[Entry] = []
        self.removed: list[Entry] = []
        self.anomalies: list[tuple[int, str]] = []

    def recorded(self, entries: list[Entry]) -> None:
        """Costs in a row: nearly always each is the first of its call, and has an answer."""
        if len(entries) == 1:
            self._alone(entries[0])
            return
        events: list[c.CostRecorded] = [entry[2] for entry in entries]  # type: ignore[misc]
        costs = [entry[3] or 0 for entry in entries]
        if not are_possible(events, costs):
            entries = self._possible(entries)
            events = [entry[2] for entry in entries]  # type: ignore[misc]
        first = {event.call: entry[0] for event, entry in zip(events, entries, strict=True)}
        told = self.counted.told(first.keys())
        odd: list[Entry] = []
        if told or len(first) < len(entries) or "unknown" in map(_outcome_of, events):
            entries, odd = _parted(entries, told)
            first = {entry[2].call: entry[0] for entry in entries}  # type: ignore[union-attr]
        if first:
            self.counted.add(first)
            self.added += entries
            self._close(first)
        for entry in odd:
            self._one(entry)

    def _alone(self, entry: Entry) -> None:
        """The same for one by itself."""
        event: c.CostRecorded = entry[2]  # type: ignore[assignment]
        if not self._possible([entry]):
            return
        if event.outcome == "unknown" or self.counted.told({event.call}):
            self._one(entry)
            return
        self.counted.add({event.call: entry[0]})
        self.added.append(entry)
        self._close((event.call,))

    def _possible(self, entries: list[Entry]) -> list[Entry]:
        """Those with figures that a call can have."""
        fit = []
        for entry in entries:
            if max(entry[3] or 0, *_tokens_of(entry[2])) > COST_MAX:
                self.anomalies.append((entry[0], TOO_LARGE))
            else:
                fit.append(entry)
        return fit

    def _one(self, entry: Entry) -> None:
        """A cost of which it isn't plain that it counts."""
        event: c.CostRecorded = entry[2]  # type: ignore[assignment]
        found = self.counted.get(event.call)
        if found is None:
            found = entry[0], None
            self.counted.put(event.call, entry[0], None)
        seq, corrected = found
        if seq != entry[0]:
            old = self.book.past(seq)
            if old is None:
                reason = f"an earlier figure of {event.call} is older than what the ledger keeps"
                self.anomalies.append((entry[0], reason))
                return
            if isinstance(old[2], c.CostRecorded) and _rank(old[2]) >= _rank(event):
                return
            self.removed.append(self._counted(old, corrected))
            self.counted.put(event.call, entry[0], corrected)
        if event.outcome == "unknown" and corrected is None:
            self._given_up(entry)
        counted = self._counted(entry, corrected)
        if event.outcome != "unknown":
            self._close((event.call,))
        self.added.append(counted)

    def _given_up(self, entry: Entry) -> None:
        _, at, event, cost = entry
        assert isinstance(event, c.CostRecorded)
        if cost is None:
            cost = self._granted(event.call)
        row = OpenCall(event.batch, event.experiment, at, "unresolved", cost, None)
        self.book.open_calls.give_up(event.call, row)

    def other(self, entry: Entry) -> None:
        match entry[2]:
            case c.CallStarted() as event:
                self._started(entry[0], entry[1], event)
            case c.CallAbandoned(call=call):
                if call in self.book.open_calls and self.counted.get(call) is None:
                    self._close((call,))
            case c.CostCorrected() as event:
                self._corrected(entry[0], event)
            case b.BatchInterrupted() as event:
                self.book.open_calls.lose(event.batch)
            case _:
                raise AssertionError(f"{type(entry[2])} is none of {NAME}'s")

    def _started(self, seq: int, at: int, event: c.CallStarted) -> None:
        reserved = event.reserved_nanousd or 0
        held = OpenCall(event.batch, event.experiment, at, "open", reserved, seq)
        found = self.counted.get(event.call)
        if found is None:
            self.book.open_calls.start(event.call, held)
            return
        counted = self.book.past(found[0])
        if event.call not in self.book.open_calls or counted is None:
            return
        if counted[3] is not None:
            self.book.open_calls.was_started(event.call, seq)
            return
        # Its answer never came, which was told first: it counts at what is reserved for it.
        self.removed.append(self._counted(counted, found[1]))
        self.book.open_calls.start(event.call, held)
        self.added.append(self._counted(counted, found[1]))

    def _corrected(self, seq: int, event: c.CostCorrected) -> None:
        found = self.counted.get(event.call)
        if found is None:
            opened = self.book.open_calls.get(event.call)
            if opened is not None and opened.started is not None:
                found = opened.started, None
        counted = self.book.past(found[0]) if found is not None else None
        if found is None or counted is None:
            self.anomalies.append((seq, f"nothing is known that {event.call} cost before"))
            return
        if max(event.cost_nanousd, *(tokens or 0 for tokens in _tokens_of(event))) > COST_MAX:
            self.anomalies.append((seq, TOO_LARGE))
            return
        # A call that was only granted counts nothing before its first correction.
        if isinstance(counted[2], c.CostRecorded) or found[1] is not None:
            self.removed.append(self._counted(counted, found[1]))
        self.counted.put(event.call, counted[0], seq)
        self.added.append(self._counted(counted, seq))
        self._close((event.call,))

    def _counted(self, entry: Entry, corrected: int | None) -> Entry:
        """What a call counts as: its event with the figures that hold."""
        seq, at, event, cost = entry
        if isinstance(event, c.CallStarted):
            event = never_answered(event)
        assert isinstance(event, c.CostRecorded)
        correction = self.book.past(corrected) if corrected is not None else None
        # What was settled for want of an answer gives way to the answer.
        if correction is not None and stands_over(event, correction[2]):
            figures: c.CostCorrected = correction[2]  # type: ignore[assignment]
            event = as_corrected(event, figures)
            return seq, at, event, figures.cost_nanousd
        if event.outcome == "unknown" and cost is None:
            held = self.book.open_calls.get(event.call)
            cost = min(held.reserved_nanousd, COST_MAX) if held is not None else None
        return seq, at, event, cost

    def _granted(self, call: str) -> int:
        """What was reserved for it when it was granted, whatever has been told of it since."""
        known = self.book.open_calls.get(call)
        if known is None or known.started is None:
            return 0
        begun = self.book.past(known.started)
        return (begun[2].reserved_nanousd or 0) if begun else 0  # type: ignore[union-attr]

    def _close(self, calls: Iterable[str]) -> None:
        if self.book.open_calls:
            self.book.open_calls.close(calls)


def _parted(entries: Sequence[Entry], told: Container[str]) -> tuple[list[Entry], list[Entry]]:
    """Those that are their calls' only figures, with an answer; and the others."""
    calls = [entry[2].call for entry in entries]  # type: ignore[union-attr]
    often = Counter(calls)
    plain: list[Entry] = []
    odd: list[Entry] = []
    for call, entry in zip(calls, entries, strict=True):
        is_plain = often[call] == 1 and call not in told and entry[2].outcome != "unknown"  # type: ignore[union-attr]
        (plain if is_plain else odd).append(entry)
    return plain, odd


def are_possible(events: Sequence[c.CostRecorded], costs: Sequence[int | None]) -> bool:
    """Whether these are figures that calls can have; where it says no in doubt, each is to be
    looked at."""
    # Of numbers together it has every bit of each, so none is greater, and it is one pass.
    most = max(
        [
            (cost or 0)
            | event.input_tokens
            | event.output_tokens
            | event.cache_read_tokens
            | event.cache_write_tokens
            for event, cost in zip(events, costs, strict=True)
        ]
    )
    return most <= COST_MAX


def stands_over(event: c.CostRecorded, correction: Event) -> bool:
    """Whether it is the correction that holds: what was guessed gives way to an answer."""
    is_guess = isinstance(correction, c.CostCorrected) and correction.reason == "settled"
    return event.outcome == "unknown" or not is_guess


def as_corrected(event: c.CostRecorded, figures: c.CostCorrected) -> c.CostRecorded:
    """The call with the tokens that hold; once somebody says what it cost, it isn't unknown."""
    told = {kind: getattr(figures, kind) for kind in _KINDS}
    return msgspec.structs.replace(
        event,
        outcome="error" if event.outcome == "unknown" else event.outcome,
        **{kind: tokens for kind, tokens in told.items() if tokens is not None},
    )


def never_answered(event: c.CallStarted) -> c.CostRecorded:
    """A granted call of which nothing came but a correction."""
    return c.CostRecorded(
        id=event.id,
        at=event.at,
        call=event.call,
        provider=event.provider,
        model=event.model,
        operation="generation",
        outcome="unknown",
        batch=event.batch,
        persona=event.persona,
        experiment=event.experiment,
    )


def _rank(event: c.CostRecorded) -> tuple[int, int, bytes]:
    return total_tokens(event), event.output_tokens, event.id.bytes
