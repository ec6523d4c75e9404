"""The sums of what calls cost: by time and kind of call, by persona, and how long calls took."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from operator import add as plus
from typing import Any, TypeVar

from msgspec import Struct

from personad.contract.cost import CostRecorded
from personad.kinds import Text
from personad.log import Entry
from personad.projections import persona_costs, sketches
from personad.projections.book import Book
from personad.projections.buckets import Family

SUMS = (
    "calls",
    "unpriced_calls",
    "unpriced_tokens",
    "estimated_calls",
    "cost_nanousd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
COST = Family("cost", "dim", SUMS)
SCHEMA = f"""
{persona_costs.SCHEMA}
{persona_costs.FRESH_SCHEMA}
{COST.schema}
CREATE INDEX cost_of_experiment ON cost_experiment_quarter (experiment);
"""
TABLES: tuple[str, ...] = (
    "persona_cost",
    *(f"{each.name}_quarter" for each in COST.buckets if "quarter" in each.tiers),
)


def total_tokens(event: CostRecorded) -> int:
    return (
        event.input_tokens
        + event.output_tokens
        + event.cache_read_tokens
        + event.cache_write_tokens
    )


K = TypeVar("K", bound=Hashable)
Numbered = Any
"""The fields of a `cost.recorded` as they lie on disk, words by their numbers."""
_QUARTER_US = 900_000_000
Kind = tuple[int, str, str, str, str, str | None, str | None]
"""Quarter-hour, provider, model, operation, outcome, experiment and batch."""


class Group(Struct, array_like=True, gc=False):
    """What calls of one kind add up to, before anything is known of the ledger."""

    kind: Kind
    sums: list[int]
    """As in `SUMS`."""
    durations_ms: list[int]
    """Of those with an answer that say it, as the next."""
    firsts_ms: list[int]
    """Until the first token."""


class OfBatch(Struct, array_like=True, gc=False):
    """What calls in one batch say of its personas."""

    batch: str
    told: bytes
    """As `persona_costs` puts it down."""
    personas: int
    """How many it tells of."""


def add(book: Book, added: Sequence[Entry], removed: Sequence[Entry]) -> None:
    """Brings the sums up to what counts now."""
    if len(added) == 1 and not removed:
        _add_one(book, added[0])
        return
    sums = _Sums(book, max((entry[0] for entry in (*added[-1:], *removed)), default=0))
    for entries, sign in ((added, 1), (removed, -1)):
        for kind, calls in _grouped(entries).items():
            sums.add(_group(kind, calls), sign)
            sums.add_personas(kind, calls, sign)
    sums.save(is_taking_back=bool(removed))


def add_numbered(
    book: Book, added: Sequence[tuple[int, int, Numbered, int | None]], text: Text
) -> None:
    """The same for calls whose words are numbers yet, of which `text` gives the texts: they are
    looked up a group at a time."""
    sums = _Sums(book, added[-1][0])
    for (quarter, *words), calls in _grouped(added).items():
        texts = [None if word is None else text(word) for word in words]  # type: ignore[arg-type]
        kind: Kind = (quarter, *texts)  # type: ignore[assignment]
        sums.add(_group(kind, calls), 1)
        sums.add_personas(kind, calls, 1)
    sums.save(is_taking_back=False)


def groups_of(added: Sequence[Entry]) -> tuple[list[Group], list[OfBatch]]:
    """The calls added up as far as that needs no ledger; for `add_groups`, which may be done by
    another process than this."""
    groups: list[Group] = []
    personas: dict[str, persona_costs.Sums] = {}
    for kind, calls in _grouped(added).items():
        groups.append(_group(kind, calls))
        if (batch := kind[6]) is not None and _is_spent(kind):
            _collect_personas(personas.setdefault(batch, {}), calls, 1)
    told = [
        OfBatch(batch, persona_costs.as_told(sums), len(sums)) for batch, sums in personas.items()
    ]
    return groups, told


def add_groups(
    book: Book, groups: Iterable[Group], of_batches: Iterable[OfBatch], newest: int
) -> None:
    """What `add` does for calls, of which `newest` is the greatest seq."""
    sums = _Sums(book, newest)
    for group in groups:
        sums.add(group, 1)
    sums.save(is_taking_back=False)
    names = book.names
    book.persona_costs.put_down(
        (names.batch(each.batch, newest), each.told, each.personas) for each in of_batches
    )


def _add_one(book: Book, entry: Entry) -> None:
    """What the rest of this file does, for one call: where calls come one by one, to group them
    would take as long as to write them."""
    seq, at, event, cost = entry
    call: CostRecorded = event  # type: ignore[assignment]
    names, quarter = book.names, at // _QUARTER_US
    batch = names.batch(call.batch, seq) if call.batch is not None else None
    experiment = names.experiment(call.experiment) if call.experiment is not None else None
    dim = names.dim((call.provider, call.model, call.operation, call.outcome))
    nanousd = cost or 0
    sums = (
        1,
        int(cost is None),
        total_tokens(call) if cost is None else 0,
        int(call.estimated),
        nanousd,
        call.input_tokens,
        call.output_tokens,
        call.cache_read_tokens,
        call.cache_write_tokens,
    )
    COST.add_one(book, (quarter, dim, experiment, batch), sums)
    if call.outcome != "unknown":
        book.spent.moved(quarter, experiment, batch, nanousd)
        if batch is not None and call.persona is not None:
            book.persona_costs.add_one(batch, call.persona, nanousd)
    if call.outcome == "ok":
        for measure, value in (("duration_ms", call.duration_ms), ("ttft_ms", call.ttft_ms)):
            if value is not None:
                series = names.series(("latency", measure, call.provider, call.model, ""))
                sketches.note_one(book, quarter, series, value)


def _grouped(entries: Sequence[Entry]) -> dict[Kind, list[Entry]]:
    groups: dict[Kind, list[Entry]] = defaultdict(list)
    for entry in entries:
        call: CostRecorded = entry[2]  # type: ignore[assignment]
        kind = (
            entry[1] // _QUARTER_US,
            call.provider,
            call.model,
            call.operation,
            call.outcome,
            call.experiment,
            call.batch,
        )
        groups[kind].append(entry)
    return groups


def _group(kind: Kind, entries: Sequence[Entry]) -> Group:
    # Field by field, which takes half the time of call by call.
    calls: list[CostRecorded] = [entry[2] for entry in entries]  # type: ignore[misc]
    costs = [entry[3] or 0 for entry in entries]
    unpriced = [entry[2] for entry in entries if entry[3] is None]
    sums = [
        len(calls),
        len(unpriced),
        sum(map(total_tokens, unpriced)),  # type: ignore[arg-type]
        sum([call.estimated for call in calls]),
        sum(costs),
        sum([call.input_tokens for call in calls]),
        sum([call.output_tokens for call in calls]),
        sum([call.cache_read_tokens for call in calls]),
        sum([call.cache_write_tokens for call in calls]),
    ]
    durations: list[int] = []
    firsts: list[int] = []
    if kind[4] == "ok":
        durations = [each for each in [call.duration_ms for call in calls] if each is not None]
        firsts = [each for each in [call.ttft_ms for call in calls] if each is not None]
    return Group(kind, sums, durations, firsts)


def _is_spent(kind: Kind) -> bool:
    """Whether calls of this kind had an answer, so that somebody had to pay for them."""
    return kind[4] != "unknown"


def _collect_personas(sums: persona_costs.Sums, entries: Sequence[Entry], sign: int) -> None:
    """Adds calls of one batch, or takes them out."""
    for entry in entries:
        persona: str | None = entry[2].persona  # type: ignore[union-attr]
        if persona is not None:
            known = sums.get(persona)
            if known is None:
                sums[persona] = [sign, sign * (entry[3] or 0)]
            else:
                known[0] += sign
                known[1] += sign * (entry[3] or 0)


class _Sums:
    """What is to be added to the tables, column by column."""

    def __init__(self, book: Book, newest: int) -> None:
        self._book = book
        self._newest = newest
        """The seq of the newest event."""
        self._groups: dict[tuple[int, int, int | None, int | None], list[int]] = {}
        self._personas: dict[int, persona_costs.Sums] = {}
        """By batch."""
        self._latencies: dict[int, dict[sketches.Key, list[int]]] = {1: {}, -1: {}}

    def add(self, group: Group, sign: int) -> None:
        names = self._book.names
        quarter, provider, model, operation, outcome, experiment, batch = group.kind
        sums = group.sums if sign > 0 else [-each for each in group.sums]
        batch_key = names.batch(batch, self._newest) if batch is not None else None
        experiment_key = names.experiment(experiment) if experiment is not None else None
        if outcome != "unknown":
            self._book.spent.moved(quarter, experiment_key, batch_key, sums[4])
        dim = names.dim((provider, model, operation, outcome))
        _collect(self._groups, (quarter, dim, experiment_key, batch_key), sums)
        latencies = self._latencies[sign]
        for measure, took_ms in (("duration_ms", group.durations_ms), ("ttft_ms", group.firsts_ms)):
            if took_ms:
                series = names.series(("latency", measure, provider, model, ""))
                latencies.setdefault((quarter, series), []).extend(took_ms)

    def add_personas(self, kind: Kind, entries: Sequence[Entry], sign: int) -> None:
        if (batch := kind[6]) is not None and _is_spent(kind):
            key = self._book.names.batch(batch, self._newest)
            _collect_personas(self._personas.setdefault(key, {}), entries, sign)

    def save(self, *, is_taking_back: bool) -> None:
        COST.add(self._book, self._groups)
        if is_taking_back:
            self._book.persona_costs.take_back(self._personas)
        elif self._personas:
            self._book.persona_costs.add(self._personas)
        sketches.note(self._book, self._latencies[1], self._latencies[-1])


def _collect(sums: dict[K, list[int]], key: K, values: list[int]) -> None:
    known = sums.get(key)
    sums[key] = values if known is None else [*map(plus, known, values)]
