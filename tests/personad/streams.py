"""Made-up producers: what each tells stays in its order, and how they come together doesn't matter.

For property tests: figures of one call that contradict each other, answers that never came, events
from any time, and everything that is recorded of batches and personas.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.quality import QualityScored

from .facts import NOON, cost, fresh_id, happened, queued, started

Stream = list[Any]
TIMES = (
    NOON,
    NOON + timedelta(hours=23),
    NOON - timedelta(minutes=3),
    NOON - timedelta(days=400),
    # The clocks of Berlin go back, and those of Lord Howe go forward by half an hour.
    datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(1935, 6, 1, tzinfo=UTC),
    datetime(3, 1, 1, tzinfo=UTC),
)
AHEAD = NOON + timedelta(days=1, seconds=5_000)
"""Over a day ahead of every clock that these tests set."""
BATCHES = ("batch-a", "batch-b", None)
EXPERIMENTS = (None, "tone", "length")
MODELS = (("openai", "gpt-4o"), ("local", "local"), ("nobody", "knows"))
RESERVED = 9_000

_times = st.one_of(st.sampled_from(TIMES), st.integers(0, 40).map(lambda n: NOON - n * _STEP))
_STEP = timedelta(minutes=7)


@st.composite
def kinds(draw: st.DrawFn) -> dict[str, Any]:
    """When something happened, and of which model and experiment."""
    provider, model = draw(st.sampled_from(MODELS))
    return {
        "at": draw(_times),
        "provider": provider,
        "model": model,
        "experiment": draw(st.sampled_from(EXPERIMENTS)),
    }


@st.composite
def figures(draw: st.DrawFn, call: str, batch: str | None) -> c.CostRecorded:
    outcome = draw(st.sampled_from(("ok", "ok", "error", "unknown")))
    nanousd = draw(st.one_of(st.none(), st.integers(0, 5)))
    more = draw(kinds())
    # Less than any answer, since what it counts was reserved once, which an answer ends.
    is_reserved = outcome == "unknown" and nanousd is None
    tokens = 0 if is_reserved else draw(st.integers(1, 4))
    return cost(
        call,
        nanousd,
        batch=batch,
        persona=call[-2:] if batch else None,
        outcome=outcome,
        operation=draw(st.sampled_from(("generation", "scoring"))),
        input_tokens=draw(st.integers(0, 2)) if tokens else 0,
        output_tokens=tokens,
        estimated=draw(st.booleans()),
        duration_ms=draw(st.one_of(st.none(), st.integers(0, 100_000))),
        ttft_ms=draw(st.one_of(st.none(), st.integers(0, 1_000))),
        **more,
    )


@st.composite
def calls(draw: st.DrawFn) -> list[Stream]:
    """All that is told of one call: its start, its figures, its corrections."""
    batch = draw(st.sampled_from(BATCHES))
    call = f"call-{draw(st.integers(1, 99)):02}-{batch}-p{draw(st.integers(1, 2))}"
    told = draw(st.lists(figures(call, batch), max_size=3))
    streams: list[Stream] = [[each] for each in told]
    begun = draw(st.sampled_from(("not", "granted", "abandoned")))
    if begun != "not":
        usual: dict[str, Any] = {"id": fresh_id(), "call": call, "at": NOON, "batch": batch}
        granted = c.CallStarted(**usual, provider="local", model="local", reserved_nanousd=RESERVED)
        streams.append([granted])
        if begun == "abandoned" and not any(_is_reserved(each) for each in told):
            streams[-1].append(happened(c.CallAbandoned, call=call))
    if streams and told:
        streams[0] += draw(st.lists(_correction(call), max_size=2))
    return streams


def _is_reserved(event: c.CostRecorded) -> bool:
    return event.outcome == "unknown" and event.cost_nanousd is None


def _correction(call: str) -> st.SearchStrategy[c.CostCorrected]:
    return st.builds(
        lambda nanousd, tokens: c.CostCorrected(
            id=fresh_id(),
            at=NOON,
            call=call,
            cost_nanousd=nanousd,
            reason="reconciled",
            input_tokens=tokens,
        ),
        st.integers(0, 50),
        st.one_of(st.none(), st.integers(0, 9)),
    )


@st.composite
def scores(draw: st.DrawFn) -> Stream:
    score = st.integers(0, 10_000).map(lambda n: n / 10_000)
    return [
        QualityScored(
            id=fresh_id(),
            persona="p1",
            batch=draw(st.sampled_from(BATCHES)) or "batch-c",
            scores=draw(st.dictionaries(st.sampled_from(("coherence", "tone")), score)),
            composite=draw(score),
            scorer=draw(st.sampled_from(("builtin/1", "builtin/2"))),
            **draw(kinds()),
        )
    ]


@st.composite
def stories(draw: st.DrawFn, batch: str) -> Stream:
    """A batch and how its personas come to their ends."""
    more = draw(kinds())
    story: Stream = [started(batch, 2, at=more["at"])]
    for index in draw(st.lists(st.integers(1, 3), max_size=3)):
        persona = f"p{index}"
        story.append(queued(persona, index, batch))
        story.append(happened(b.PersonaGenerating, batch, persona, at=draw(_times)))
        end = draw(st.sampled_from((b.PersonaCompleted, b.PersonaFailed, b.PersonaRetrying)))
        story.append(happened(end, batch, persona, **draw(kinds())))
    return story


@st.composite
def producers(draw: st.DrawFn) -> list[Stream]:
    of_calls = draw(st.lists(calls(), max_size=5, unique_by=_call_of))
    streams = [stream for some in of_calls for stream in some if stream]
    streams += draw(st.lists(scores(), max_size=4))
    streams += [draw(stories("batch-a")), draw(stories("batch-b"))]
    if draw(st.booleans()):
        streams.append([cost("call-ahead", 1, at=AHEAD)])
    return streams


def _call_of(streams: list[Stream]) -> str:
    return streams[0][0].call if streams else ""


@st.composite
def together(draw: st.DrawFn, streams: Sequence[Stream]) -> list[list[Any]]:
    """Commits that hold all of it: each producer's events in order, some of them repeated."""
    turns = [place for place, stream in enumerate(streams) for _ in stream]
    lines = [iter(stream) for stream in streams]
    events = [next(lines[place]) for place in draw(st.permutations(turns))]
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))
    commits = [events[begin:end] for begin, end in pairwise([0, *cuts, len(events)])]
    for number, commit in enumerate(commits):
        sent = [each for some in commits[: number + 1] for each in some]
        if sent:
            commit += draw(st.lists(st.sampled_from(sent), max_size=3))
    return commits
