"""Where calls could have cost less: ways of paying for them, each judged on the real calls.

A way says how a group of calls would have been billed: to another model, with the beginning of its
prompts from a cache, not at all. The way that saves most is taken first, and every other one is
judged again on what is left of the bill: so no dollar is saved twice, and all savings together are
never more than what was spent.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Usage(NamedTuple):
    """What some calls took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Cached ones included."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


class Cell(NamedTuple):
    """Calls of one kind, in a stretch of time in which no price changed."""

    stretch: int
    provider: str
    model: str
    operation: str
    outcome: str
    experiment: str | None
    """Only of those that are looked at by themselves."""


class Terms(NamedTuple):
    """Whom calls are billed by, for what."""

    provider: str
    model: str
    usage: Usage
    is_batch: bool = False
    """Whether by the prices of the provider's batch processing."""
    is_moved: bool = False
    """Whether another model is billed than the one that was called."""


class Bill(NamedTuple):
    """What is left of the cost of a cell's calls."""

    cell: Cell
    terms: Terms
    left_nanousd: int


Price = Callable[[Terms, int], int | None]
"""What such calls cost in a stretch, in nano-dollars; None: nobody knows."""


class Way(NamedTuple):
    """A way of paying less."""

    id: str
    changed: Callable[[Bill], Terms | None]
    """How a bill would be made out; None where the bill is none of this way's. Without calls: it
    would not be."""
    excludes: str = ""
    """Of ways with the same word here only one is taken."""


class Saving(NamedTuple):
    """What a way saves, of what the ways before it have left."""

    way: Way
    calls: int
    cost_nanousd: int
    saving_nanousd: int


def chosen(
    bills: Iterable[Bill], ways: Iterable[Way], price: Price, least_nanousd: int
) -> list[Saving]:
    """The ways that save at least so much each, without overlap, in the order of what they save."""
    bills, ways = list(bills), list(ways)
    found: list[Saving] = []
    while ways:
        judged = [_judged(bills, way, price) for way in ways]
        best = max(range(len(ways)), key=lambda each: judged[each][0].saving_nanousd)
        saving, bills_then = judged[best]
        if saving.saving_nanousd < max(1, least_nanousd):
            break
        found.append(saving)
        bills, taken = bills_then, saving.way
        ways = [
            way
            for way in ways
            if way is not taken and not (taken.excludes and way.excludes == taken.excludes)
        ]
    # What one way has left may make a later one worth more than it was before.
    return sorted(found, key=lambda each: -each.saving_nanousd)


def _judged(bills: Sequence[Bill], way: Way, price: Price) -> tuple[Saving, list[Bill]]:
    """What the way saves, and the bills as they were then."""
    after: list[Bill] = []
    calls = cost = saving = 0
    for bill in bills:
        terms = way.changed(bill)
        saved = None if terms is None else _saved(bill, terms, price)
        if terms is None or saved is None:
            after.append(bill)
            continue
        calls += bill.terms.usage.calls
        cost += bill.left_nanousd
        saving += saved
        after.append(Bill(bill.cell, terms, bill.left_nanousd - saved))
    return Saving(way, calls, cost, saving), after


def _saved(bill: Bill, terms: Terms, price: Price) -> int | None:
    """May be negative: a model that is cheaper on the whole may be dearer for some calls.

    Where calls cost less than their prices say, as at a discount that one had, it is that from
    which is saved; where they cost more, it is their prices: so what is saved is the way's doing.
    """
    if not terms.usage.calls:
        return bill.left_nanousd
    would_be = price(terms, bill.cell.stretch)
    if would_be is None:
        return None
    usual = price(bill.terms, bill.cell.stretch)
    return (bill.left_nanousd if usual is None else min(bill.left_nanousd, usual)) - would_be


def cached(usage: Usage, prefix_tokens: int, written: float) -> Usage:
    """The same calls with that beginning of each prompt read from the cache, but for a share of
    them, which write it there."""
    writes = math.ceil(usage.calls * written)
    wanted = (usage.calls - writes) * prefix_tokens - usage.cache_read_tokens
    if wanted <= 0:
        return usage
    due = writes * prefix_tokens
    from_write = min(wanted, max(0, usage.cache_write_tokens - due))
    from_input = min(wanted - from_write, usage.input_tokens)
    write = usage.cache_write_tokens - from_write
    more_writes = min(max(0, due - write), usage.input_tokens - from_input)
    return usage._replace(
        input_tokens=usage.input_tokens - from_input - more_writes,
        cache_read_tokens=usage.cache_read_tokens + from_write + from_input,
        cache_write_tokens=write + more_writes,
    )


def moved(usage: Usage, output_ratio: float, attempts_ratio: float) -> Usage:
    """The same calls of another model that writes more, or fails more often; of its cache nobody
    knows, so all of the prompt is billed in full."""
    return Usage(
        calls=math.ceil(usage.calls * attempts_ratio),
        input_tokens=math.ceil(usage.prompt_tokens * attempts_ratio),
        output_tokens=math.ceil(usage.output_tokens * output_ratio * attempts_ratio),
    )


def shortened(usage: Usage, share: float) -> Usage:
    """The same calls with that share of their prompts left out, of what was not cached."""
    return usage._replace(
        input_tokens=max(0, usage.input_tokens - math.floor(usage.prompt_tokens * share))
    )
