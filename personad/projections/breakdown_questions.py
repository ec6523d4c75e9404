"""What calls cost by one of their dimensions: of few keys row by row, of many in columns."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

import apsw

from personad.bulk import SUM_MAX
from personad.contract import cost as c
from personad.contract.asking import Interval
from personad.projections import summing
from personad.projections.asked import Asked, batches_of, resolve
from personad.projections.cost_questions import (
    KNOWN_COST,
    PERSONAS,
    USAGE,
    Made,
    coverage,
    shared,
    together,
    total_of,
)
from personad.projections.cost_sums import COST
from personad.projections.memory import memory_of
from personad.projections.summing import Columns

if TYPE_CHECKING:
    from personad.projections.wide import Wide

Numbered = Literal["experiment", "batch"]
"""What there may be ten thousand of: sums have their numbers."""

_COST = Columns(COST, USAGE)
_DIMS = "SELECT key, provider, model, operation, outcome FROM dim"
_NAMES: dict[Numbered, str] = {
    "experiment": """SELECT name.key, name.experiment FROM json_each(?) AS wanted
      CROSS JOIN experiment AS name ON name.key = wanted.value""",
    "batch": """SELECT name.key, name.batch FROM json_each(?) AS wanted
      CROSS JOIN batch_key AS name ON name.key = wanted.value""",
}
_EXPERIMENT_OF_BATCH = """
SELECT batch_key.key, experiment.key FROM batch JOIN batch_key USING (batch)
JOIN experiment USING (experiment) WHERE batch_key.key IN (SELECT value FROM json_each(?))
"""
_OF_CALLS_ONLY = ("operation", "outcome")
_OTHERS = SUM_MAX
"""Stands for what belongs to none: no name has this number."""
_NOTHING = Made([0] * len(KNOWN_COST.sums), [0] * len(PERSONAS.sums))


class Told(NamedTuple):
    """What is told of each key, in columns, and of all beyond the limit together."""

    keys: Sequence[str | None]
    usage: Sequence[Sequence[int]]
    """Begins as `USAGE` does."""
    personas: Sequence[Sequence[int]]
    whole: Made
    """As `KNOWN_COST`."""
    rest: Made | None = None
    rest_rows: int = 0


def breakdown(db: apsw.Connection, request: c.CostBreakdown, now: datetime) -> c.CostBreakdownReply:
    """What the calls of a range cost, by one of their dimensions.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    by = request.by
    if by in get_args(Interval):
        told = _by_time(db, asked, cast(Interval, by))
    elif by == "experiment" or by == "batch":
        told = _by_number(db, asked, by, request.limit)
    else:
        told = _by_dim(db, asked, by, request.limit)
    of_calls_only = by in _OF_CALLS_ONLY
    rest = None
    if told.rest is not None:
        usage, personas = ([[each] for each in some] for some in told.rest)
        (rest,) = _shares([None], usage, personas, told.whole, of_calls_only)
    return c.CostBreakdownReply(
        range=asked.period,
        by=by,
        rows=_shares(told.keys, told.usage, told.personas, told.whole, of_calls_only),
        rest=rest,
        rest_rows=told.rest_rows,
        total=total_of(asked, told.whole),
        coverage=coverage(told.whole),
    )


def _by_time(db: apsw.Connection, asked: Asked, interval: Interval) -> Told:
    slices = asked.slices(interval)
    usage, personas = summing.by_slice(db, asked, (KNOWN_COST, PERSONAS), slices)
    return Told(
        [part.label for part in slices],
        _columns(usage, KNOWN_COST),
        _columns(personas, PERSONAS),
        together(map(Made, usage, personas)),
    )


def _columns(rows: Sequence[Sequence[int]], columns: Columns) -> list[tuple[int, ...]]:
    return list(zip(*rows, strict=True)) or [()] * len(columns.sums)


def _by_dim(db: apsw.Connection, asked: Asked, by: str, limit: int) -> Told:
    usage = summing.by_key(db, asked, KNOWN_COST, "key")
    personas = summing.by_key(db, asked, PERSONAS, "key")
    found = {
        key: Made(usage.get(key, _NOTHING.usage), personas.get(key, _NOTHING.personas))
        for key in {**usage, **personas}
    }
    parts: dict[str, list[Made]] = defaultdict(list)
    names = {key: names for key, *names in db.execute(_DIMS)}
    place = ("provider", "model", "operation", "outcome").index(by)
    for key, made in found.items():
        if key in usage or by not in _OF_CALLS_ONLY:
            parts[names[key][place]].append(made)
    kept = [(name, together(some)) for name, some in parts.items()]
    kept.sort(key=lambda each: (-each[1].usage[0], -each[1].usage[1]))
    kept, rest = kept[:limit], kept[limit:]
    kept.sort(key=lambda each: (-each[1].usage[0], each[0]))
    return Told(
        [name for name, _ in kept],
        _columns([made.usage for _, made in kept], KNOWN_COST),
        _columns([made.personas for _, made in kept], PERSONAS),
        together([_NOTHING, *found.values()]),
        together(made for _, made in rest) if rest else None,
        len(rest),
    )


def _by_number(db: apsw.Connection, asked: Asked, by: Numbered, limit: int) -> Told:
    whole = Made(summing.total(db, asked, KNOWN_COST), summing.total(db, asked, PERSONAS))
    found, whole = _with_others(_numbered(db, asked, by), whole)
    kept, rest = found.parted(limit)
    keys, columns = kept.sorted(_names(db, by, kept.keys.tolist()))
    return Told(
        keys,
        columns[: len(USAGE)],
        columns[len(USAGE) :],
        whole,
        _made(rest.total()) if len(rest.keys) else None,
        len(rest.keys),
    )


def _made(sums: Sequence[int]) -> Made:
    return Made(sums[: len(USAGE)], sums[len(USAGE) :])


def _numbered(db: apsw.Connection, asked: Asked, by: Numbered) -> "Wide":
    """Of each that has some: `USAGE`, and then `PERSONAS`."""
    from personad.projections import wide  # numpy, by way of it: a daemon starts without

    if by == "batch" and asked.experiments is not None:
        some = tuple(sorted(batches_of(db, asked.experiments)))
        asked = replace(asked, experiments=None, batches=some)
    source: Numbered = by if asked.batches is None else "batch"
    found = wide.joined(*(wide.by_key(db, asked, each, source) for each in (_COST, PERSONAS)))
    if source == by:
        return found
    batches = found.keys.tolist()
    of_batch: Any = db.execute(_EXPERIMENT_OF_BATCH, (json.dumps(batches),)).fetchall()
    experiments: dict[int, int] = dict(of_batch)
    known = [place for place, batch in enumerate(batches) if batch in experiments]
    return found.some(known).renamed([experiments[batches[place]] for place in known])


def _with_others(found: "Wide", whole: Made) -> tuple["Wide", Made]:
    """With what belongs to none of the keys, which is only in the whole.

    A batch of an experiment may hold calls that say they are of another one, or of none: then the
    batches are more than the experiment, and the whole is what they sum to.
    """
    told = found.total()
    all_ = [*whole.usage[: len(USAGE)], *whole.personas]
    others = [of_all - some for of_all, some in zip(all_, told, strict=True)]
    if min(others) < 0:
        usage, personas = _made(told)
        return found, Made([*usage, *whole.usage[len(USAGE) :]], personas)
    return found.with_last(_OTHERS, others) if any(others) else found, whole


def _names(db: apsw.Connection, by: Numbered, keys: Sequence[int]) -> list[str | None]:
    # A number that was given is never given to another name.
    known = memory_of(db).known(by, len(keys))
    unknown = [key for key in keys if key not in known]
    if unknown:
        known.update(db.execute(_NAMES[by], (json.dumps(unknown),)))
    return [known.get(key) for key in keys]


def _shares(
    keys: Sequence[str | None],
    usage: Sequence[Sequence[int]],
    personas: Sequence[Sequence[int]],
    whole: Made,
    of_calls_only: bool,
) -> list[c.CostShare]:
    cost, calls, tokens_in, tokens_out, cache_read, cache_write, unpriced = usage[: len(USAGE)]
    of_all = whole.usage[0]
    nothing = [None] * len(keys)
    made, accepted = personas
    return list(
        map(
            c.CostShare,
            keys,
            cost,
            [each / of_all for each in cost] if of_all else nothing,
            calls,
            nothing if of_calls_only else made,
            nothing if of_calls_only else accepted,
            nothing if of_calls_only else map(shared, cost, made),
            tokens_in,
            tokens_out,
            cache_read,
            cache_write,
            unpriced,
            nothing if of_calls_only else map(shared, cost, accepted),
        )
    )
