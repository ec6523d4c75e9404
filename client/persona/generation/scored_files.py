"""Persona files, each scored beside the others: what `persona quality score` answers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.generation.model import Reading, Segment
from persona.generation.persona_files import Found, Skipped, find
from persona.generation.quality import Settings, score_persona, scorer_of
from persona.generation.quality.crowd import Crowd
from persona.identity import now
from personad.contract.base import derived_id
from personad.contract.quality import QualityScored


class ScoredFile(Struct, frozen=True, kw_only=True):
    file: str
    name: str
    scores: dict[str, float]
    composite: float
    left_out: dict[str, str]
    """Metrics without a score, and why; the weights of the rest make up the whole."""
    unsupported: list[str]
    notes: list[str]
    renamed: dict[str, str]
    """Fields that have another name in the file."""
    unmapped: list[str]
    """What in the file is no field of a persona here."""
    parts: dict[str, dict[str, float]]
    digest: str
    made_here: bool
    """Whether it is this program's own, whose scores were recorded when it was made."""


class ScoredFiles(Struct, frozen=True, kw_only=True):
    """The document of `quality score`."""

    personas: list[ScoredFile]
    skipped: list[Skipped]
    scorer: str
    recorded: int = 0

    def with_recorded(self, recorded: int) -> "ScoredFiles":
        return msgspec.structs.replace(self, recorded=recorded)


def score_files(path: Path, source: Reading | None, settings: Settings) -> ScoredFiles:
    """Each persona of `path`, held against the whole source, beside all others of `path`.

    Raises OSError where `path` can't be read.
    """
    found, skipped = find(path)
    segment = _whole(source)
    crowd = Crowd()
    for at, each in enumerate(found):
        crowd.join(at, each.mapped.draft)
    scored = [_scored(at, each, segment, crowd, settings) for at, each in enumerate(found)]
    return ScoredFiles(personas=scored, skipped=skipped, scorer=scorer_of(settings))


def _whole(source: Reading | None) -> Segment:
    """All that was said, as the source of everybody."""
    records = source.records if source is not None else ()
    digest = source.digest if source is not None else "sha256:"
    return Segment(digest, records, (), 1.0, ())


def _scored(
    at: int, found: Found, segment: Segment, crowd: Crowd, settings: Settings
) -> ScoredFile:
    draft = found.mapped.draft
    scores = score_persona(
        draft,
        segment,
        crowd.join(at, draft),
        weights=settings.weights,
        required_fields=settings.required_fields,
    )
    return ScoredFile(
        file=found.file,
        name=draft.name,
        scores=scores.scores,
        composite=scores.composite,
        left_out=scores.reasons,
        unsupported=list(scores.unsupported),
        notes=list(scores.notes),
        renamed=found.mapped.renamed,
        unmapped=found.mapped.unmapped,
        parts=scores.parts,
        digest=hashlib.sha256(msgspec.json.encode(found.raw, order="sorted")).hexdigest(),
        made_here=_made_here(found.raw.get("provenance")),
    )


def _made_here(provenance: object) -> bool:
    match provenance:
        case {"batch": str(), "prompt_digest": str(), "source_digest": str()}:
            return True
        case _:
            return False


def events(
    scored: Sequence[ScoredFile], *, scorer: str, provider: str, model: str, experiment: str | None
) -> list[QualityScored]:
    """What is recorded of them; of the same persona by the same scorer the same event."""
    return [
        QualityScored(
            id=derived_id("quality.scored", "file", each.digest, scorer),
            at=now(),
            persona=f"file-{each.digest[:24]}",
            provider=provider,
            model=model,
            experiment=experiment,
            scores=each.scores,
            composite=each.composite,
            scorer=scorer,
        )
        for each in scored
    ]
