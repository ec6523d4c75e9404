"""Single parts of persona generation, each done so many times in one iteration.

`MICRO` is the whole list: what prepares a part, and gives what is to be measured. They run in the
same processes, with the same pairs and verdicts, as whole workloads do.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from persona.client import Ledger
from persona.generation.model import Segment
from persona.generation.plan import Wanted, make_plan
from persona.generation.prompts import build_prompt
from persona.generation.providers.base import draft_from_json
from persona.generation.providers.local import write
from persona.generation.quality import score_persona
from persona.generation.segments import segment
from persona.generation.sources import read_sources
from persona.identity import event_id
from personad.contract.asking import Range
from personad.contract.codec import codec, encode
from personad.contract.cost import CostHistory, CostRecorded
from personad.contract.events import Append

Part = Callable[[], object]
Prepare = Callable[[Path, Ledger], Part]

PERSONAS = 3
SEED = 7
EVENTS = 100
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _parsing(source: Path, ledger: Ledger) -> Part:
    return lambda: read_sources(source)


def _segmentation(source: Path, ledger: Ledger) -> Part:
    reading = read_sources(source)
    return lambda: segment(reading, PERSONAS, seed=SEED)


def _segments(source: Path) -> Sequence[Segment]:
    return make_plan(Wanted(path=source, count=PERSONAS, seed=SEED)).segments


def _prompts(source: Path, ledger: Ledger) -> Part:
    segments = _segments(source)
    return lambda: [build_prompt(each, language="en") for each in segments]


def _scoring(source: Path, ledger: Ledger) -> Part:
    segments = _segments(source)
    drafts = [write(each, "Ada Lovelace", "en") for each in segments]
    return lambda: [
        score_persona(draft, each, [other for other in drafts if other is not draft])
        for draft, each in zip(drafts, segments, strict=True)
    ]


def _answers(source: Path, ledger: Ledger) -> Part:
    bodies = [encode(write(each, "Ada Lovelace", "en"), "json") for each in _segments(source)]
    return lambda: [draft_from_json(body) for body in bodies]


def events(number: int) -> list[CostRecorded]:
    """So many costs, with ids that are new each time."""
    return [
        CostRecorded(
            id=event_id(),
            at=_BEGIN + timedelta(seconds=index),
            call=f"call-{event_id()}",
            provider="simulated",
            model=f"model-{index % 3}",
            operation="generation",
            outcome="ok",
            input_tokens=4_000 + index,
            output_tokens=900,
            cost_nanousd=0,
        )
        for index in range(number)
    ]


def _codec(source: Path, ledger: Ledger) -> Part:
    some = codec(Append)
    request = Append(events=list(events(EVENTS)))
    return lambda: some.decode(encode(request))


def _append(source: Path, ledger: Ledger) -> Part:
    return lambda: ledger.append(events(EVENTS))


def _query(source: Path, ledger: Ledger) -> Part:
    ledger.append(events(EVENTS))
    question = CostHistory(range=Range(since="2026-01-01", until="2026-01-31"))
    return lambda: ledger.ask(question)


MICRO: dict[str, Prepare] = {
    "parsing": _parsing,
    "segmentation": _segmentation,
    "prompts": _prompts,
    "answers": _answers,
    "scoring": _scoring,
    "codec": _codec,
    "append": _append,
    "query": _query,
}
