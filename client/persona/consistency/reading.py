"""The batches that are to be compared, from the ledger and from their folders."""

from collections.abc import Sequence
from pathlib import Path

from persona.app import App, Stopped
from persona.generation.model import Persona
from persona.generation.output import OutputError, written_personas
from persona.generation.terms import EVENTS, in_force
from persona.render.values import plural
from personad.contract.batch import BatchShow, BatchState
from personad.contract.events import Read
from personad.contract.quality import QualityScored

from .compared import Compared

_PAGE = 1_000

Scores = dict[str, dict[str, dict[str, float]]]
"""By scorer, by persona: each metric and `composite`."""


def read(app: App, names: Sequence[str]) -> tuple[list[Compared], str | None]:
    """The batches, in the order in which they are named, and the scorer that they have in common.

    Raises:
        Stopped: they can't be compared.
    """
    states = [app.ledger.ask(BatchShow(batch=name)) for name in names]
    if len({state.batch for state in states}) < len(states):
        raise Stopped("a batch is named twice; name two different ones", code=64)
    _refuse_other_sources(app, states)
    newest: dict[str, int] = {}
    scores = [_scores(app, state.batch, newest) for state in states]
    common = set(scores[0]).intersection(*scores[1:])
    # Of those that all have, the one that scored last.
    scorer = max(common, key=newest.__getitem__, default=None)
    if scorer is None:
        app.note("the batches were not scored by one scorer: their quality is not compared")
    return [
        _compared(app, state, some.get(scorer, {}) if scorer is not None else {})
        for state, some in zip(states, scores, strict=True)
    ], scorer


def _refuse_other_sources(app: App, states: Sequence[BatchState]) -> None:
    digests: dict[str, str] = {}
    for state in states:
        reply = app.ledger.ask(Read(types=EVENTS, batch=state.batch))
        started = in_force(recorded.event for recorded in reply.events)
        digests.setdefault(started.source.digest, state.batch)
    if len(digests) > 1:
        raise Stopped(
            f"{' and '.join(digests.values())} were made from different sources, or from "
            "different states of one",
            code=64,
            hint="`persona generate --compare PROVIDER/MODEL,…` makes batches that can be compared",
        )


def _scores(app: App, batch: str, newest: dict[str, int]) -> Scores:
    """Of several scores of a persona by one scorer, the newest; `newest` is told the seq of each
    scorer's last one."""
    found: Scores = {}
    after = 0
    while True:
        reply = app.ledger.ask(
            Read(types=["quality.scored"], batch=batch, after_seq=after, limit=_PAGE)
        )
        for recorded in reply.events:
            event = recorded.event
            assert isinstance(event, QualityScored)
            told = {**event.scores, "composite": event.composite}
            found.setdefault(event.scorer, {})[event.persona] = told
            newest[event.scorer] = max(newest.get(event.scorer, 0), recorded.seq)
        if not reply.more:
            return found
        after = reply.next_seq


def _compared(app: App, state: BatchState, scores: dict[str, dict[str, float]]) -> Compared:
    personas = _personas(state)
    if not personas:
        raise Stopped(
            f"no persona of {state.batch} stands in {state.output} any more",
            code=65,
            hint="bring the folder back to where it was, or compare other batches",
        )
    missing = state.counts.completed - len(personas)
    if missing > 0:
        left_out = f"can't be found, and {'is' if missing == 1 else 'are'} left out"
        app.note(f"{plural(missing, 'persona')} of {state.batch} {left_out}")
    cost, made = state.cost, state.counts.completed
    return Compared(
        batch=state.batch,
        provider=state.provider,
        model=state.model,
        personas=tuple(personas),
        scores=scores,
        cost_per_persona_nanousd=None
        if state.usage.unpriced_calls or not made
        else (2 * cost.spent_nanousd + made) // (2 * made),
    )


def _personas(state: BatchState) -> list[Persona]:
    """Those in the folder that are of this batch; another's may stand there by now."""
    known = {row.persona for row in state.personas}
    try:
        found = written_personas(Path(state.output), total=state.total)
    except (OutputError, OSError) as error:
        raise Stopped(
            f"the personas of {state.batch} can't be read: {error}",
            code=65,
            hint=error.hint if isinstance(error, OutputError) else "",
        ) from error
    return [persona for _, persona in found if persona.id in known]
