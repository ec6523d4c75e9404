"""Personas that an older scorer scored, scored anew where their files and their source still are.

Nothing that was recorded is changed: the new scores are events of their own, dated when the persona
was made, so that a trend by the new scorer covers the same days.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.client import Ledger
from persona.generation.model import Persona, Segment
from persona.generation.plan import make_plan, source_change, wanted_by
from persona.generation.quality import Settings, score_persona, scorer_of
from persona.generation.quality.crowd import Crowd
from persona.generation.sources import SourceError
from persona.generation.terms import EVENTS, in_force
from personad.contract.base import derived_id
from personad.contract.batch import BatchShow, PersonaCompleted
from personad.contract.events import AnyEvent, Read
from personad.contract.quality import QualityScored

PAGE = 2_000
FILE_GONE = "the file is gone"
FILE_CHANGED = "the file was changed"
SOURCE_GONE = "the source is gone or has changed"
WITHOUT_INVENTED = (
    "quotes that nobody said were taken out when a persona was made: its faithfulness is scored "
    "without them now, and may be higher"
)


WITHOUT_OTHERS = "; distinctiveness is measured without those that are left out"


class Change(Struct, frozen=True, kw_only=True):
    """A metric's mean over the personas that are scored anew."""

    metric: str
    was: float | None
    """None where the older scorer did not have it."""
    would_be: float | None
    n: int
    """How many have a new score of it."""


class Rescored(Struct, frozen=True, kw_only=True):
    """The document of `quality rescore`."""

    scorer: str
    was: list[str]
    """By which scorers they were scored before."""
    personas: int
    already: int
    """How many had been scored by this scorer before."""
    left_out: dict[str, int]
    """How many were not scored anew, by reason."""
    rows: list[Change]
    applied: bool = False
    note: str = WITHOUT_INVENTED


class _Made(Struct, frozen=True):
    """A persona of which the ledger knows that it was made."""

    event: PersonaCompleted
    scored: QualityScored
    """Its newest score."""


def rescore(
    ledger: Ledger, settings: Settings, batches: Sequence[str] = ()
) -> tuple[Rescored, list[QualityScored]]:
    """What changes, and the events that would record it; of all batches, or of those named."""
    scorer = scorer_of(settings)
    made, done = _made(ledger, scorer, batches)
    left_out: Counter[str] = Counter()
    old: list[QualityScored] = []
    new: list[QualityScored] = []
    for batch, personas in made.items():
        for each, found in _anew(ledger, batch, personas, settings, left_out):
            old.append(each.scored)
            new.append(found)
    new.sort(key=lambda event: event.at)
    return Rescored(
        scorer=scorer,
        was=sorted({event.scorer for event in old}),
        personas=len(new),
        already=done,
        left_out=dict(left_out),
        rows=_changes(old, new),
        note=WITHOUT_INVENTED + (WITHOUT_OTHERS if new and left_out else ""),
    ), new


def _made(
    ledger: Ledger, scorer: str, batches: Sequence[str]
) -> tuple[dict[str, list[_Made]], int]:
    """Each batch's personas in the order in which they were made, and how many are done already."""
    names = [ledger.ask(BatchShow(batch=name)).batch for name in batches]
    scored: dict[tuple[str | None, str], QualityScored] = {}
    done: set[tuple[str | None, str]] = set()
    completed: list[PersonaCompleted] = []
    for event in _events(ledger, names):
        match event:
            case QualityScored(batch=batch, persona=persona):
                scored[batch, persona] = event
                if event.scorer == scorer:
                    done.add((batch, persona))
            case PersonaCompleted():
                completed.append(event)
            case _:
                continue
    made: dict[str, list[_Made]] = {}
    for event in completed:
        key = event.batch, event.persona
        if key in scored and key not in done:
            made.setdefault(event.batch, []).append(_Made(event, scored[key]))
    keys = {(event.batch, event.persona) for event in completed}
    return made, len(keys & done)


def _events(ledger: Ledger, batches: Sequence[str]) -> Iterator[AnyEvent]:
    for batch in batches or (None,):
        after, more = 0, True
        while more:
            types = ["quality.scored", "persona.completed"]
            reply = ledger.ask(Read(types=types, batch=batch, after_seq=after, limit=PAGE))
            yield from (recorded.event for recorded in reply.events if recorded.anomaly is None)
            after, more = reply.next_seq, reply.more


def _anew(
    ledger: Ledger,
    batch: str,
    personas: Sequence[_Made],
    settings: Settings,
    left_out: Counter[str],
) -> Iterator[tuple[_Made, QualityScored]]:
    """The new score of each that can be scored as it was when it was made."""
    there = [(each, _document(each.event, left_out)) for each in personas]
    if not any(persona for _, persona in there):
        return
    segments = _segments(ledger, batch)
    crowd = Crowd()
    for each, persona in there:
        if persona is None:
            continue
        segment = segments.get(persona.id)
        if segment is None:
            left_out[SOURCE_GONE] += 1
            continue
        scores = score_persona(
            persona,
            segment,
            crowd.join(persona.id, persona),
            weights=settings.weights,
            required_fields=settings.required_fields,
        )
        yield (
            each,
            msgspec.structs.replace(
                each.scored,
                id=derived_id("quality.scored", batch, persona.id, scores.scorer),
                at=each.event.at,
                scores=scores.scores,
                composite=scores.composite,
                scorer=scores.scorer,
            ),
        )


def _document(event: PersonaCompleted, left_out: Counter[str]) -> Persona | None:
    """The persona as it was written; one that somebody has changed since is another one."""
    try:
        data = Path(event.path or "").read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != event.digest:
            left_out[FILE_CHANGED] += 1
            return None
        return msgspec.json.decode(data, type=Persona)
    except msgspec.DecodeError:
        left_out[FILE_CHANGED] += 1
    except OSError:
        left_out[FILE_GONE] += 1
    return None


def _segments(ledger: Ledger, batch: str) -> dict[str, Segment]:
    """What each persona of the batch was made from; nothing where that can't be found any more."""
    reply = ledger.ask(Read(types=EVENTS, batch=batch))
    try:
        started = in_force(recorded.event for recorded in reply.events)
        plan = make_plan(wanted_by(started))
    except (SourceError, OSError, LookupError):
        return {}
    if source_change(started.source, plan.reading) is not None or plan.total != started.total:
        return {}
    rows = ledger.ask(BatchShow(batch=batch)).personas
    return {row.persona: plan.segments[row.index - 1] for row in rows}


def _changes(old: Sequence[QualityScored], new: Sequence[QualityScored]) -> list[Change]:
    def means(events: Sequence[QualityScored]) -> dict[str, tuple[float, int]]:
        values: dict[str, list[float]] = {}
        for event in events:
            for metric, score in {**event.scores, "composite": event.composite}.items():
                values.setdefault(metric, []).append(score)
        return {name: (sum(some) / len(some), len(some)) for name, some in values.items()}

    was, would_be = means(old), means(new)
    return [
        Change(
            metric=metric,
            was=was[metric][0] if metric in was else None,
            would_be=would_be[metric][0] if metric in would_be else None,
            n=would_be[metric][1] if metric in would_be else 0,
        )
        for metric in sorted({*was, *would_be}, key=lambda name: (name == "composite", name))
    ]
