"""The embedded provider: a persona from its segment's own words, without a model or a network.

It chooses and rewords, and invents nothing but the name: every statement is a sentence that
somebody in the segment said, with its evidence.
"""

import functools

import msgspec
from anyio import to_thread

from persona.generation.demographics import demographics
from persona.generation.grounding import Passage, choose
from persona.generation.invented_names import invented_name, words_of
from persona.generation.language import detect
from persona.generation.model import Draft, Evidence, Record, Segment
from persona.generation.prompts import estimate_tokens
from persona.generation.providers.base import (
    GenerationRequest,
    Progress,
    ProviderSettings,
    Response,
    Usage,
    draft_from_json,
)
from persona.generation.summaries import summary
from persona.generation.voice import is_wish

MODEL = "local-1"


def create(settings: ProviderSettings) -> "LocalProvider":
    """The factory that the registry names; the local provider has nothing to set."""
    del settings
    return LocalProvider()


class LocalProvider:
    """Writes personas on this machine; the same request gives the same bytes."""

    name = "local"
    models = (MODEL,)
    parse = staticmethod(draft_from_json)

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        """Write one persona, in a thread, so that whoever waits beside it is not held up."""
        body = await to_thread.run_sync(written, request)
        if on_progress is not None:
            on_progress(estimate_tokens(body.decode()))
        return Response(body, Usage())

    async def aclose(self) -> None:
        """Nothing is held open."""


def written(request: GenerationRequest) -> bytes:
    """The answer to `request`: a draft as JSON."""
    taken = frozenset[str]().union(
        *(_words(_Keyed(one)) for one in (request.segment, *request.peers))
    )
    name = invented_name(request.language, request.seed, request.index, taken)
    return msgspec.json.encode(write(request.segment, name, request.language))


def write(segment: Segment, name: str, language: str) -> Draft:
    """The persona called `name` that speaks for `segment`.

    `language` is that of the summary's fixed words. The statements stay in the source's language,
    since this writer cannot translate.
    """
    spoken = _language_of(segment, language)
    chosen = choose(segment, spoken)
    stated = demographics(segment)
    evidence = [
        _evidence(trait, record, words)
        for trait, statement in stated.items()
        for record, words in statement.evidence
    ]
    for field, claims in chosen.claims.items():
        evidence += [_cited(f"{field}[{at}]", claim.passage) for at, claim in enumerate(claims)]
    evidence += [_cited(f"quotes[{at}]", passage) for at, passage in enumerate(chosen.quotes)]
    lists = {field: [claim.text for claim in claims] for field, claims in chosen.claims.items()}
    wishes = (
        claim.text
        for claim in chosen.claims["goals"]
        if spoken == "en" and is_wish(claim.passage.text) and not claim.text.startswith("“")
    )
    traits = {trait: statement.value for trait, statement in stated.items()}
    return Draft(
        name=name,
        age=traits.get("age"),
        occupation=traits.get("occupation"),
        location=traits.get("location"),
        summary=summary(name, segment, stated, next(wishes, None), lists["pain_points"], language),
        goals=lists["goals"],
        pain_points=lists["pain_points"],
        behaviours=lists["behaviours"],
        motivations=lists["motivations"],
        quotes=[passage.text for passage in chosen.quotes],
        evidence=evidence,
    )


def _language_of(segment: Segment, fallback: str) -> str:
    found = detect(record.text for record in segment.records if record.kind == "speech")
    return fallback if found == "und" else found


def _cited(field: str, passage: Passage) -> Evidence:
    return _evidence(field, passage.record, passage.text)


def _evidence(field: str, record: Record, words: str) -> Evidence:
    return Evidence(field, record.source, record.locator, words)


class _Keyed:
    """A segment that is the same key wherever its digest is, which is quick to compare."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment

    def __hash__(self) -> int:
        return hash(self.segment.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.segment.digest == other.segment.digest


@functools.lru_cache(maxsize=1_024)
def _words(keyed: _Keyed) -> frozenset[str]:
    """The possible names in a segment: asked for with every persona of a batch, found once."""
    return words_of(keyed.segment)
