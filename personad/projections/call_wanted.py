"""What a question about calls is about, as the log has it."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import apsw
import msgspec

from personad import civil
from personad.contract.asking import Filter
from personad.contract.cost import CostRecorded
from personad.kinds import part_of
from personad.projections import call_places
from personad.projections.asked import Asked
from personad.projections.call_places import Ahead, Place

_PAIRS = """
SELECT json_group_array(DISTINCT json_array(p.key, m.key)) FROM dim
JOIN word AS p ON p.text = provider JOIN word AS m ON m.text = model
WHERE (:providers = '[]' OR provider IN (SELECT value FROM json_each(:providers)))
  AND (:models = '[]' OR model IN (SELECT value FROM json_each(:models)))
"""
_WORDS = "SELECT key FROM word WHERE text IN (SELECT value FROM json_each(?))"
_BATCH_KEYS = "SELECT key FROM batch_key WHERE batch IN (SELECT value FROM json_each(?))"
_EXPERIMENT_KEYS = "SELECT key FROM experiment WHERE experiment IN (SELECT value FROM json_each(?))"
_scope_of = part_of(CostRecorded, "provider", "model", "experiment")
_PATTERNS_MAX = 8

Key = tuple[int, int]
"""What calls are ordered by: those without a cost are last."""
keys_in = msgspec.json.Decoder(list[Key]).decode


@dataclass(frozen=True)
class Wanted:
    """What a question is about, as the log has it."""

    values: dict[str, str | int | None]
    """Of the statements: the range in quarter-hours (`first`, `end`) and in microseconds (`since`,
    `until`); and as JSON, None for any, pairs of words (`models`), and keys of `batches` and of
    `experiments`. From the block `placed` on it is not noted where calls are, and from `by_model`
    on not by model; from the number `tail` on nobody has looked yet."""
    fits: Callable[[bytes], bool] | None
    """Whether a body is of these models and experiments; None: it always is."""
    models: Sequence[Key] | None
    words: Sequence[int] | None
    """Of the experiments."""
    ahead: Sequence[Place]
    """Of blocks from `placed` on and before `tail`, what is not noted."""
    patterns: Sequence[bytes]
    """One of these is in the body of a call that fits; none: it may be any."""

    @property
    def is_bounded(self) -> bool:
        """Whether the dearest call of a block that is noted is mostly a wanted one."""
        return self.values["batches"] is None and self.values["experiments"] is None


def wanted_of(
    db: apsw.Connection, asked: Asked, kept: Filter, batches: Iterable[str], ahead: Ahead
) -> Wanted:
    models = _models(db, kept) if kept.providers or kept.models else None
    words = _found(db, _WORDS, kept.experiments) if kept.experiments else None
    return Wanted(
        values={
            "first": asked.first,
            "end": asked.end,
            "since": asked.first * civil.QUARTER_US,
            "until": asked.end * civil.QUARTER_US,
            "models": None if models is None else json.dumps(models),
            "batches": _keys(db, _BATCH_KEYS, list(batches)),
            "experiments": _keys(db, _EXPERIMENT_KEYS, kept.experiments),
            "placed": ahead.placed,
            "tail": ahead.end << call_places.SHIFT,
            "by_model": ahead.by_model,
        },
        fits=_fitting(models, words),
        models=models,
        words=words,
        ahead=[each for each in ahead.places if asked.first <= each.quarter < asked.end],
        patterns=_patterns(words),
    )


def _patterns(words: Sequence[int] | None) -> Sequence[bytes]:
    """How an experiment's number lies in a body: other bodies may have the same bytes elsewhere,
    but most are told apart before any of them is read."""
    if words is None or len(words) > _PATTERNS_MAX:
        return ()
    return [msgspec.msgpack.encode(each) for each in words]


def _keys(db: apsw.Connection, sql: str, names: Sequence[str]) -> str | None:
    return json.dumps(_found(db, sql, names)) if names else None


def _models(db: apsw.Connection, kept: Filter) -> list[Key]:
    values = {"providers": json.dumps(kept.providers), "models": json.dumps(kept.models)}
    return keys_in(db.execute(_PAIRS, values).get)


def _found(db: apsw.Connection, sql: str, names: Sequence[str]) -> list[int]:
    return [key for (key,) in db.execute(sql, (json.dumps(names),))]


def _fitting(
    models: Sequence[Key] | None, experiments: Sequence[int] | None
) -> Callable[[bytes], bool] | None:
    if models is None and experiments is None:
        return None
    of_models = None if models is None else frozenset(models)
    of_experiments = None if experiments is None else frozenset(experiments)

    def fits(body: bytes) -> bool:
        call = _scope_of(body)
        return (of_models is None or (call.provider, call.model) in of_models) and (
            of_experiments is None or call.experiment in of_experiments
        )

    return fits
