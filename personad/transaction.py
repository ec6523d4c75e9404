"""A transaction: what is done to the ledger at once, an append and every fold of it.

It is the only way to change the ledger, and used by one thread, the writer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate, chain, pairwise
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from personad import log, prepared, price_data, quarantine
from personad.civil import QUARTER_US
from personad.contract.budget import PriceSet
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent, Append, Appended
from personad.kinds import body_of, check_size, microseconds
from personad.log import Entry, Priced
from personad.projections import call_places, fold
from personad.projections.book import Book
from personad.projections.call_passing import BLOCKS, Passing
from personad.projections.prices import newest_own, price_call

AHEAD_MAX = timedelta(days=1)
"""How far ahead of the daemon's clock an event's time may lie and still be folded."""
_TRY_META = "INSERT OR REPLACE INTO meta (name, value) VALUES ('written_to_try', ?)"

_time_of: Callable[[Entry], int] = itemgetter(1)
_event_of: Callable[[Entry], AnyEvent] = itemgetter(2)


class Ready(NamedTuple):
    """An append that was prepared, with the events themselves for whoever has to look at them."""

    prepared: prepared.Prepared
    read: Callable[[], Append]
    """Reads them."""


class Transaction:
    """What is done to the ledger between one BEGIN and its COMMIT."""

    def __init__(self, book: Book, last_seq: int, now: datetime) -> None:
        self.book = book
        self.db = book.db
        self.now = now
        self.last_seq = self._since = last_seq
        self._parts: list[list[Entry] | tuple[int, Ready]] = []
        """Everything that was added; of what was prepared, its first seq."""
        self.kinds: set[type[AnyEvent]] = set()
        """The kinds of it."""
        self.silent: list[tuple[int, int]] = []
        """The seqs, first and last, of what nobody is to be alarmed by."""
        self.refused: set[str] = set()
        """Scopes of budgets that let a call not start."""
        self.anomalies: dict[int, str] = {}
        self._unfolded: list[Entry] = []

    def conclude(self, events: Sequence[AnyEvent], *, priced: Priced | None = None) -> None:
        """Adds what the daemon itself says, which is never too old: it happens now, even where a
        clock that was ahead had the mark moved past now, and whoever asks knows it from a repeat.
        """
        self._add(events, (), priced)

    def add(
        self,
        events: Sequence[AnyEvent],
        *,
        priced: Priced | None = None,
        silent: bool = False,
    ) -> Callable[[], Appended]:
        """Adds what a client says; what comes back tells, after `fold`, what became of it.

        `priced` tells what calls cost that don't say it; the prices in force, if not given.
        `silent` events raise no alerts.
        """
        before = self.last_seq
        appended = self._add(*self._parted(events), priced)
        if silent:
            self.silent.append((before + 1, self.last_seq))
        return appended

    def add_together(
        self, events: Sequence[AnyEvent], counts: Sequence[int]
    ) -> list[Callable[[], Appended]] | None:
        """The same for several clients' events at once, with what became of each one's; `counts`
        are how many each of them said. None, with nothing added, where one is old or was known.
        """
        if self._parted(events)[1]:
            return None
        added = log.insert_new(
            self.db,
            self.book.names,
            events,
            after=self.last_seq,
            now=self.now,
            priced=partial(price_call, self.book),
        )
        if added is None:
            return None
        firsts = [*accumulate(counts, initial=self.last_seq + 1)]
        self.last_seq += len(added)
        self._unfolded += added
        return [
            partial(self._appended, first, first + count - 1)
            for first, count in zip(firsts, counts, strict=False)
        ]

    def add_prepared(self, some: Sequence[Ready]) -> list[Callable[[], Appended]] | None:
        """The same for appends that were prepared, which are folded, too. None, with nothing added,
        where their events have to be looked at."""
        self.fold()
        told = [each.prepared for each in some]
        if not self._are_plain(told) or not prepared.are_new(self.book, told):
            return None
        db, names, after = self.db, self.book.names, self.last_seq
        if not prepared.insert(db, names, told, after=after, now_us=microseconds(self.now)):
            return None
        prepared.fold(self.book, told, after=after, since=self._since)
        self.kinds.add(CostRecorded)
        answers: list[Callable[[], Appended]] = []
        for each in some:
            first, count = self.last_seq + 1, each.prepared.count
            self._parts.append((first, each))
            self.last_seq += count
            answers.append(partial(self._appended, first, first + count - 1))
        return answers

    def _are_plain(self, some: Sequence[prepared.Prepared]) -> bool:
        """Whether all of these fall into a time of which events are taken and folded, and what was
        priced was so by the prices there are."""
        if max(each.last_at for each in some) > microseconds(self.now + AHEAD_MAX):
            return False
        if not self._takes_all():
            before = quarantine.pruned_before(self.db)
            if before is not None and min(each.first_at for each in some) < before:
                return False
        priced_by = {each.prices for each in some if each.prices is not None}
        return not priced_by or priced_by == {(newest_own(self.db), price_data.fetched_stamp())}

    def _takes_all(self) -> bool:
        if self.book.takes_all is None:
            self.book.takes_all = quarantine.pruned_before(self.db) is None
        return self.book.takes_all

    def _parted(self, events: Sequence[AnyEvent]) -> tuple[Sequence[AnyEvent], Sequence[AnyEvent]]:
        return (events, ()) if self._takes_all() else quarantine.parted(self.db, events)

    def _appended(
        self, first: int, last: int, duplicates: int = 0, quarantined: int = 0
    ) -> Appended:
        return Appended(
            first_seq=first if last >= first else None,
            last_seq=last if last >= first else None,
            duplicates=duplicates,
            anomalies=sum(first <= seq <= last for seq in self.anomalies),
            quarantined=quarantined,
        )

    def _add(
        self, fresh: Sequence[AnyEvent], old: Sequence[AnyEvent], priced: Priced | None
    ) -> Callable[[], Appended]:
        parts = [fresh]
        if PriceSet in set(map(type, fresh)):
            for index, event in enumerate(fresh):
                check_size(body_of(event, self.book.names.word), index)
            parts = _after_each_price(fresh)
        before = self.last_seq
        for number, part in enumerate(parts):
            if number:
                self.fold()
            added = log.insert(
                self.db,
                self.book.names,
                part,
                after=self.last_seq,
                now=self.now,
                priced=priced or partial(price_call, self.book),
            )
            self.last_seq += len(added)
            self._unfolded += added
        if old:
            quarantine.put(self.db, self.book.names, old, self.now)
        duplicates = len(fresh) - (self.last_seq - before)
        return partial(self._appended, before + 1, self.last_seq, duplicates, len(old))

    @property
    def first_seq(self) -> int:
        """Of what was added, if anything was."""
        return self._since + 1

    @property
    def count(self) -> int:
        """How many events were added."""
        return self.last_seq - self._since

    @property
    def entries(self) -> list[Entry]:
        """All that was added and folded. Of what was prepared the events are read for it, once."""
        read = [_entries(*part) if isinstance(part, tuple) else part for part in self._parts]
        self._parts[:] = read
        return read[0] if len(read) == 1 else [*chain.from_iterable(read)]

    @property
    def unfolded(self) -> list[AnyEvent]:
        """What was added and is still to be folded."""
        return [*map(_event_of, self._unfolded)]

    @property
    def unprepared(self) -> list[Entry]:
        """The same without what was prepared."""
        return [*chain.from_iterable([part for part in self._parts if isinstance(part, list)])]

    @property
    def billed(self) -> set[tuple[str | None, str | None]]:
        """Experiments and batches of the calls in what was prepared."""
        return {
            group.kind[5:]
            for part in self._parts
            if isinstance(part, tuple)
            for group in part[1].prepared.groups
        }

    def pass_by(self) -> None:
        """Lets what was committed be seen by who notes where calls lie."""
        passing = self.book.passing
        for part in self._parts:
            if isinstance(part, tuple):
                _see(passing, *part)
            else:
                passing.see(part, self.kinds)

    @property
    def news(self) -> list[Entry]:
        """What was added and folded, but for what was added silently or prepared."""
        if not self.silent:
            return self.unprepared
        return [
            entry
            for entry in self.unprepared
            if not any(first <= entry[0] <= last for first, last in self.silent)
        ]

    def write_something(self) -> None:
        """Fails where the disk takes nothing: a transaction that changes nothing never would."""
        self.db.execute(_TRY_META, (f"{self.now:%FT%T}",))

    def knows(self, event_id: UUID) -> bool:
        return log.knows(self.db, event_id)

    def fold(self) -> None:
        """Brings every projection up to the newest event."""
        if not self._unfolded:
            return
        limit_us = microseconds(self.now + AHEAD_MAX)
        early: list[tuple[int, str]] = []
        fit = self._unfolded
        if max(map(_time_of, fit)) > limit_us:
            why = f"happened over a day ahead of the daemon's clock ({self.now:%F %T} UTC)"
            early = [(seq, why) for seq, at, _, _ in fit if at > limit_us]
            misfits = {seq for seq, _ in early}
            fit = [entry for entry in fit if entry[0] not in misfits]
        found = early + fold(self.book, fit, since=self._since)
        if found:
            log.mark(self.db, found)
            self.anomalies.update(found)
        self._parts.append(self._unfolded)
        self.kinds.update(map(type, map(_event_of, self._unfolded)))
        self._unfolded = []


def _entries(first_seq: int, ready: Ready) -> list[Entry]:
    told = ready.prepared
    times = prepared.times_of(told)
    costs = [cost if cost >= 0 else None for cost in prepared.costs_of(told)]
    seqs = range(first_seq, first_seq + told.count)
    return [*zip(seqs, times, ready.read().events, costs, strict=True)]


def _see(passing: Passing, first_seq: int, ready: Ready) -> None:
    told = ready.prepared
    quarters = told.first_at // QUARTER_US, told.last_at // QUARTER_US
    costs, times = prepared.costs_of(told), partial(prepared.times_of, told)
    passing.see_calls(first_seq, costs, quarters, times)


def _after_each_price(events: Sequence[AnyEvent]) -> list[Sequence[AnyEvent]]:
    """Parts that end with a `price.set` each: what follows it is priced by it."""
    ends = [n for n, event in enumerate(events, 1) if isinstance(event, PriceSet)]
    places = [0, *ends, len(events)]
    return [events[begin:end] for begin, end in pairwise(places)]


@contextmanager
def transaction(book: Book, last_seq: int, now: datetime) -> Iterator[Transaction]:
    """Commits at the end, to the disk; an exception takes everything back."""
    db = book.db
    db.execute("BEGIN IMMEDIATE")
    try:
        # Here, as it is little once it was seen, and needs no commit of its own.
        if book.passing.are_many:
            call_places.place(db, BLOCKS, book.passing.take)
        txn = Transaction(book, last_seq, now)
        yield txn
        txn.fold()
        db.execute("COMMIT")
    except BaseException:
        book.forget()
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    txn.pass_by()
