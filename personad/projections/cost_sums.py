"""The sums of what calls cost: by time and kind of call, by persona, and how long calls took."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from operator import add as plus
from typing import Any, TypeVar

from msgspec import Struct

from personad import bulk
from personad.contract.cost import CostRecorded
from personad.kinds import Text
from personad.log import Entry
from personad.projections import sketches
from personad.projections.book import Book
from personad.projections.buckets import SUM_MAX, Family

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
CREATE TABLE persona_cost (
  batch INTEGER NOT NULL,
  persona TEXT NOT NULL,
  calls INTEGER NOT NULL,
  cost_nanousd INTEGER NOT NULL,
  PRIMARY KEY (batch, persona)
) STRICT, WITHOUT ROWID;

{COST.schema}
CREATE INDEX cost_of_experiment ON cost_experiment_quarter (experiment);
"""
TABLES: tuple[str, ...] = (
    "persona_cost",
    *(f"{each.name}_quarter" for each in COST.buckets if "quarter" in each.tiers),
)

_PERSONA = "persona_cost (batch, persona, calls, cost_nanousd)"
_ADD_TO_PERSONA = f"""
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
  cost_nanousd = max(0, min(cost_nanousd + excluded.cost_nanousd, {SUM_MAX}))
"""
_ADD_ONE = bulk.statement(_PERSONA, 4, _ADD_TO_PERSONA, 1)
_SWEEP = "DELETE FROM persona_cost WHERE batch = ? AND persona = ? AND calls = 0"


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
    personas: dict[str, list[int]]
    """Calls and nano-dollars of each; of calls in a batch that had an answer."""


def add(book: Book, added: Sequence[Entry], removed: Sequence[Entry]) -> None:
    """Brings the sums up to what counts now."""
    if len(added) == 1 and not removed:
        _add_one(book, added[0])
        return
    sums = _Sums(book, max((entry[0] for entry in (*added[-1:], *removed)), default=0))
    for entries, sign in ((added, 1), (removed, -1)):
        for kind, calls in _grouped(entries).items():
            sums.add(_group(kind, calls), sign)
    sums.save(is_taking_back=bool(removed))


def add_numbered(
    book: Book, added: Sequence[tuple[int, int, Numbered, int | None]], text: Text
) -> None:
    """The same for calls whose words are numbers yet, of which `text` gives the texts: they are
    looked up a group at a time."""
    sums = _Sums(book, added[-1][0])
    for (quarter, *words), calls in _grouped(added).items():
        texts = [None if word is None else text(word) for word in words]  # type: ignore[arg-type]
        sums.add(_group((quarter, *texts), calls), 1)  # type: ignore[arg-type]
    sums.save(is_taking_back=False)


def groups_of(added: Sequence[Entry]) -> list[Group]:
    """The calls added up as far as that needs no ledger; for `add_groups`, which may be done by
    another process than this."""
    return [_group(kind, calls) for kind, calls in _grouped(added).items()]


def add_groups(book: Book, groups: Iterable[Group], newest: int) -> None:
    """What `add` does for calls, of which `newest` is the greatest seq."""
    sums = _Sums(book, newest)
    for group in groups:
        sums.add(group, 1)
    sums.save(is_taking_back=False)


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
            book.db.execute(_ADD_ONE, (batch, call.persona, 1, nanousd))
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
    outcome, batch = kind[4], kind[6]
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
    if outcome == "ok":
        durations = [each for each in [call.duration_ms for call in calls] if each is not None]
        firsts = [each for each in [call.ttft_ms for call in calls] if each is not None]
    personas: dict[str, list[int]] = {}
    if batch is not None and outcome != "unknown":
        for persona, cost in zip([call.persona for call in calls], costs, strict=True):
            if persona is not None:
                known = personas.get(persona)
                personas[persona] = [1, cost] if known is None else [known[0] + 1, known[1] + cost]
    return Group(kind, sums, durations, firsts, personas)


class _Sums:
    """What is to be added to the tables, column by column."""

    def __init__(self, book: Book, newest: int) -> None:
        self._book = book
        self._newest = newest
        """The seq of the newest event."""
        self._groups: dict[tuple[int, int, int | None, int | None], list[int]] = {}
        self._personas: dict[int, dict[str, list[int]]] = {}
        """Calls and cost, by batch and persona."""
        self._latencies: dict[int, dict[sketches.Key, list[int]]] = {1: {}, -1: {}}

    def add(self, group: Group, sign: int) -> None:
        names = self._book.names
        quarter, provider, model, operation, outcome, experiment, batch = group.kind
        sums, personas = group.sums, group.personas
        if sign < 0:
            sums = [-each for each in sums]
            personas = {persona: [-each for each in told] for persona, told in personas.items()}
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
        if personas and batch_key is not None:
            known = self._personas.get(batch_key)
            if known is None:
                self._personas[batch_key] = personas
            else:
                # A group is left as it is: it may have to be added once more, after a rollback.
                self._personas[batch_key] = together = {**known}
                for persona, told in personas.items():
                    _collect(together, persona, told)

    def save(self, *, is_taking_back: bool) -> None:
        db = self._book.db
        COST.add(self._book, self._groups)
        values: list[bulk.Value] = []
        for batch, personas in sorted(self._personas.items()):
            for persona in sorted(personas):
                calls, cost = personas[persona]
                if not -SUM_MAX <= cost <= SUM_MAX:
                    cost = max(-SUM_MAX, min(cost, SUM_MAX))
                values += batch, persona, calls, cost
        bulk.insert(db, _PERSONA, 4, _ADD_TO_PERSONA, values)
        if is_taking_back:
            some = [
                (batch, each) for batch, personas in self._personas.items() for each in personas
            ]
            db.executemany(_SWEEP, some)
        sketches.note(self._book, self._latencies[1], self._latencies[-1])


def _collect(sums: dict[K, list[int]], key: K, values: list[int]) -> None:
    known = sums.get(key)
    sums[key] = values if known is None else [*map(plus, known, values)]
