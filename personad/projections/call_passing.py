"""Where calls lie, as the writer sees them go by: so that what it has just written needn't be read
again to be noted (see `call_places`)."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set

from personad import civil
from personad.contract.base import Event
from personad.contract.cost import CostCorrected, CostRecorded
from personad.log import Entry
from personad.projections import call_places
from personad.projections.call_places import Place

BLOCKS = 8
"""So many are noted together."""
KEPT_BLOCKS = 4_000
"""Far more than are ever waiting to be noted."""
_ONLY_CALLS: Set[type[Event]] = {CostRecorded}
_Dearest = tuple[int | None, int]
"""Nano-dollars of the dearest call, and how many have no cost."""


class Passing:
    """What committed events say of blocks of the log; only of those that were seen whole.

    A copy of what the log says, for the one thread that writes it.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What was seen is no longer what the log says."""
        self._unread: list[Entry] = []
        self._kinds: set[type[Event]] = set()
        """Of what is unread."""
        self._next = 0
        """The seq after the last that was looked at."""
        self._asked_at = 0
        """What that was when it was last asked for."""
        self._first = 0
        """The first block that was seen from its beginning on."""
        self._blocks: dict[int, dict[int, _Dearest]] = {}
        """By block and quarter-hour."""
        self._corrected: set[int] = set()
        """Blocks with a correction, of which more is to be known."""

    @property
    def are_many(self) -> bool:
        """Whether it is time to note those that have become full."""
        return self._next - self._asked_at >= BLOCKS << call_places.SHIFT

    def see(self, entries: Sequence[Entry], kinds: Set[type[Event]]) -> None:
        """All that one transaction has brought, in order, once it is committed, and of what kinds
        it is."""
        self._unread += entries
        self._kinds |= kinds
        if len(self._unread) >> call_places.SHIFT:
            self._read()

    def see_calls(
        self,
        first_seq: int,
        costs: "array[int]",
        quarters: tuple[int, int],
        times: Callable[[], Sequence[int]],
    ) -> None:
        """The same of what calls cost and nothing else, one after the other; -1: it isn't known.
        They are of these quarter-hours, from the first to the last; `times` gives theirs.
        """
        self._read()
        first, last = quarters
        last_seq = first_seq + len(costs) - 1
        self._follow(first_seq, last_seq, len(costs))
        each_time = () if first == last else times()
        for block, start, end in _blocks(first_seq, last_seq):
            some = costs[start:end]
            if first == last:
                dearest = max(some)
                self._note(block, first, dearest if dearest >= 0 else None, some.count(-1))
            else:
                told = [cost if cost >= 0 else None for cost in some]
                self._read_calls(block, each_time[start:end], told)

    def take(self, first: int, end: int) -> list[Place] | None:
        """What is to be noted of these blocks, once; None where they weren't all seen, or there are
        corrections among them. Those before are forgotten."""
        self._read()
        self._asked_at = self._next
        blocks = range(first, end)
        places = None
        is_seen = first >= self._first and end << call_places.SHIFT <= self._next
        if is_seen and self._corrected.isdisjoint(blocks):
            places = [
                Place(quarter, block, *told)
                for block in blocks
                for quarter, told in self._blocks.get(block, {}).items()
            ]
        self._blocks = {block: told for block, told in self._blocks.items() if block >= end}
        self._corrected = {block for block in self._corrected if block >= end}
        self._first = max(self._first, end)
        return places

    def _read(self) -> None:
        entries, kinds = self._unread, self._kinds
        if not entries:
            return
        self._unread, self._kinds = [], set()
        seq, last = entries[0][0], entries[-1][0]
        self._follow(seq, last, len(entries))
        for block, start, end in _blocks(seq, last):
            some: Sequence[Entry] = entries[start:end]
            if kinds != _ONLY_CALLS:
                if any(type(entry[2]) is CostCorrected for entry in some):
                    self._corrected.add(block)
                some = [entry for entry in some if type(entry[2]) is CostRecorded]
            if some:
                times, costs = [entry[1] for entry in some], [entry[3] for entry in some]
                self._read_calls(block, times, costs)

    def _follow(self, first: int, last: int, count: int) -> None:
        """These are looked at next; where they don't follow on, what was known begins anew."""
        if first != self._next or last - first + 1 != count or len(self._blocks) > KEPT_BLOCKS:
            self._blocks.clear()
            self._corrected.clear()
            self._first, self._asked_at = -(-first >> call_places.SHIFT), first
        self._next = last + 1

    def _read_calls(self, block: int, times: Sequence[int], costs: Sequence[int | None]) -> None:
        quarter = min(times) // civil.QUARTER_US
        if quarter == max(times) // civil.QUARTER_US:
            self._add(block, quarter, costs)
            return
        quarters: dict[int, list[int | None]] = defaultdict(list)
        for at, cost in zip(times, costs, strict=True):
            quarters[at // civil.QUARTER_US].append(cost)
        for quarter, some in quarters.items():
            self._add(block, quarter, some)

    def _add(self, block: int, quarter: int, costs: Sequence[int | None]) -> None:
        told = [each for each in costs if each is not None]
        self._note(block, quarter, max(told, default=None), costs.count(None))

    def _note(self, block: int, quarter: int, dearest: int | None, unpriced: int) -> None:
        quarters = self._blocks.setdefault(block, {})
        known, before = quarters.get(quarter, (None, 0))
        if known is not None and (dearest is None or dearest < known):
            dearest = known
        quarters[quarter] = dearest, before + unpriced


def _blocks(first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The blocks that these are in, and which of them are in each: from there to before there."""
    for block in range(first >> call_places.SHIFT, (last >> call_places.SHIFT) + 1):
        start = max(0, (block << call_places.SHIFT) - first)
        yield block, start, ((block + 1) << call_places.SHIFT) - first
