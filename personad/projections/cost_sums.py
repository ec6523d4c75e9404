"""The sums of what calls cost: by time and kind of call, by persona, and how long calls took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from sys import byteorder
from typing import Any

from msgspec import Struct

from personad.contract.cost import CostRecorded
from personad.kinds import Text
from personad.log import Entry
from personad.names import Names
from personad.projections import fresh_sums, persona_costs, sketches
from personad.projections.book import Book, Known
from personad.projections.buckets import Family, Place, collect

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
COST = Family("cost", "dim", SUMS, has_fresh=True)
SCHEMA = f"""
{persona_costs.SCHEMA}
{persona_costs.FRESH_SCHEMA}
{COST.schema}
{fresh_sums.schema(COST)}
CREATE INDEX cost_of_experiment ON cost_experiment_quarter (experiment);
"""
BY_TABLE = {f"{each.name}_quarter": each for each in (COST.total, COST.experiment, COST.batch)}
"""The tables that what is in `COST.fresh` is to be brought into."""
MEASURES = ("duration_ms", "ttft_ms")
"""Of how long calls took."""
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


Numbered = Any
"""The fields of a `cost.recorded` as they lie on disk, words by their numbers."""
_QUARTER_US = 900_000_000
_KINDS_KEPT = 500
Kind = tuple[int, str, str, str, str, str | None, str | None]
"""Quarter-hour, provider, model, operation, outcome, experiment and batch."""


class Group(Struct, array_like=True, gc=False):
    """What calls of one kind add up to, before anything is known of the ledger."""

    kind: Kind
    sums: list[int]
    """As in `SUMS`."""
    durations_ms: bytes
    """Of those with an answer that say it, as `sketches` has values; likewise the next."""
    firsts_ms: bytes
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
    if removed:
        _exchange(book, added, removed)
    elif len(added) == 1:
        _add_one(book, added[0])
    elif added:
        _add_kinds(book, _grouped(added).items(), added[-1][0])


def add_numbered(
    book: Book, added: Sequence[tuple[int, int, Numbered, int | None]], text: Text
) -> None:
    """The same for calls whose words are numbers yet, of which `text` gives the texts: they are
    looked up a group at a time."""
    kinds: list[tuple[Kind, list[Entry]]] = []
    for (quarter, *words), calls in _grouped(added).items():
        texts = [None if word is None else text(word) for word in words]  # type: ignore[arg-type]
        kinds.append(((quarter, *texts), calls))  # type: ignore[arg-type]
    _add_kinds(book, kinds, added[-1][0])


def _add_kinds(book: Book, kinds: Iterable[tuple[Kind, Sequence[Entry]]], newest: int) -> None:
    """Calls by kind; `newest` is the greatest seq."""
    rows: list[fresh_sums.Row] = []
    personas: dict[int, persona_costs.Sums] = {}
    for kind, calls in kinds:
        rows.append(_row(book, _group(kind, calls), newest))
        if (batch := kind[6]) is not None and _is_spent(kind):
            of_batch = personas.setdefault(book.names.batch(batch, newest), {})
            _collect_personas(of_batch, calls, 1)
    fresh_sums.add(book, COST, rows)
    if personas:
        book.persona_costs.add(personas)


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
    fresh_sums.add(book, COST, [_row(book, group, newest) for group in groups])
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
    took: list[fresh_sums.Values] = [fresh_sums.NOTHING, fresh_sums.NOTHING]
    if call.outcome == "ok":
        for place, value in enumerate((call.duration_ms, call.ttft_ms)):
            if value is not None:
                series = _series(names, MEASURES[place], call.provider, call.model)
                took[place] = series, value.to_bytes(8, byteorder, signed=True)
    row = fresh_sums.Row((quarter, dim, experiment, batch), sums, *took)
    fresh_sums.add_one(book, COST, row)
    if call.outcome != "unknown":
        book.spent.moved(quarter, experiment, batch, nanousd)
        if batch is not None and call.persona is not None:
            book.persona_costs.add_one(batch, call.persona, nanousd)


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
    return Group(kind, sums, *map(sketches.as_stored, (durations, firsts)))


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


def _known(book: Book, kind: Kind, newest: int) -> Known:
    known = book.kinds.get(key := kind[1:])
    if known is None:
        provider, model, operation, outcome, experiment, batch = key
        names = book.names
        batch_key = names.batch(batch, newest) if batch is not None else None
        experiment_key = names.experiment(experiment) if experiment is not None else None
        dim = names.dim((provider, model, operation, outcome))
        if len(book.kinds) >= _KINDS_KEPT:
            book.kinds.clear()
        known = book.kinds[key] = Known((dim, experiment_key, batch_key))
    return known


def _series(names: Names, measure: str, provider: str, model: str) -> int:
    return names.series(("latency", measure, provider, model, ""))


def _row(book: Book, group: Group, newest: int) -> fresh_sums.Row:
    kind = group.kind
    known = _known(book, kind, newest)
    place = (kind[0], *known.place)
    if book.spent.is_asked and _is_spent(kind):
        book.spent.moved(place[0], *place[2:], group.sums[4])
    durations = firsts = fresh_sums.NOTHING
    if group.durations_ms:
        if known.durations is None:
            known.durations = _series(book.names, MEASURES[0], kind[1], kind[2])
        durations = known.durations, group.durations_ms
    if group.firsts_ms:
        if known.firsts is None:
            known.firsts = _series(book.names, MEASURES[1], kind[1], kind[2])
        firsts = known.firsts, group.firsts_ms
    return fresh_sums.Row(place, group.sums, durations, firsts)


def _exchange(book: Book, added: Sequence[Entry], removed: Sequence[Entry]) -> None:
    """What counts now, for what no longer does: the differences."""
    newest = max(entry[0] for entry in (*added[-1:], *removed))
    sums: dict[Place, Sequence[int]] = {}
    personas: dict[int, persona_costs.Sums] = {}
    latencies: dict[int, dict[sketches.Key, list[int]]] = {1: {}, -1: {}}
    for entries, sign in ((added, 1), (removed, -1)):
        for kind, calls in _grouped(entries).items():
            group = _group(kind, calls)
            place = (kind[0], *_known(book, kind, newest).place)
            differences = [sign * each for each in group.sums]
            collect(sums, place, differences)
            if _is_spent(kind):
                book.spent.moved(place[0], *place[2:], differences[4])
                if place[3] is not None:
                    _collect_personas(personas.setdefault(place[3], {}), calls, sign)
            took = zip(MEASURES, (group.durations_ms, group.firsts_ms), strict=True)
            for measure, values in took:
                if values:
                    key = place[0], _series(book.names, measure, *kind[1:3])
                    latencies[sign].setdefault(key, []).extend(sketches.values_of(values))
    fresh_sums.take_back(book, COST, sums)
    book.persona_costs.take_back(personas)
    sketches.note(book, latencies[1], latencies[-1])
