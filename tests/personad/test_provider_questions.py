"""Providers side by side, against plain arithmetic over the events; and who gets a star."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from statistics import mean
from typing import Any

import msgspec
import pytest

from personad.contract import batch as b
from personad.contract.asking import Filter, Range
from personad.contract.cost import CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.quality import QualityProviders, QualityProvidersReply, QualityScored
from personad.questions import ANSWERS

from .conftest import Core
from .facts import NOON, SOURCE, cost, fresh_id, happened, queued, started
from .past import ZONES, a_past, between, kept, lived

EVENTS = a_past(seed=4)
FIRST, LAST = date(2026, 9, 26), date(2026, 11, 22)
WHOLE = Range(since=str(FIRST), until=str(LAST))
FILTERS = (Filter(), Filter(providers=["openai", "azure"]), Filter(experiments=["tone", "order"]))


def ask(core: Core, **asked: Any) -> QualityProvidersReply:
    request = QualityProviders(**asked)
    reply = ANSWERS[QualityProviders](core.db, request, core.now)
    assert isinstance(reply, QualityProvidersReply)
    return reply


@pytest.fixture(scope="module", params=["UTC", "Asia/Kathmandu"])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Core]:
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    lived(core, request.param, EVENTS)
    yield core
    core.db.close()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("asked", FILTERS, ids=repr)
@pytest.mark.parametrize("by", ["provider", "model"])
def test_figures_are_those_of_the_events(home: Core, zone: str, asked: Filter, by: str) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    reply = ask(home, range=span, filter=asked, by=by)
    events = kept(
        between([each for each in EVENTS if hasattr(each, "model")], zone, FIRST, LAST), asked
    )
    groups: dict[tuple[str, str | None], list[Any]] = defaultdict(list)
    for each in events:
        groups[each.provider, each.model if by == "model" else None].append(each)
    scores = [each for each in events if isinstance(each, QualityScored)]
    of_models = Filter(providers=asked.providers, models=asked.models)
    whole = kept([e for e in EVENTS if isinstance(e, QualityScored)], of_models)
    newest = max(
        between(whole, zone, FIRST, LAST),
        key=lambda each: (each.at.timestamp() // 900, each.scorer),
    )
    assert reply.scorer == newest.scorer
    assert {reply.scorer, *reply.other_scorers} == {each.scorer for each in scores}
    told = {(row.provider, row.model): row for row in reply.rows}
    for group, some in groups.items():
        mine = [e for e in some if isinstance(e, QualityScored) and e.scorer == reply.scorer]
        made = [e for e in some if isinstance(e, b.PersonaCompleted)]
        calls = [e for e in some if isinstance(e, CostRecorded)]
        if not (mine or made):
            assert group not in told
            continue
        row = told.pop(group)
        assert row.n == len(mine)
        assert row.personas == len(made)
        assert row.accepted == sum(each.accepted for each in made)
        assert row.cost_nanousd == sum(each.cost_nanousd or 0 for each in calls)
        for metric in ("coherence", "faithfulness"):
            assert row.metrics[metric].mean == pytest.approx(mean(e.scores[metric] for e in mine))
        assert row.metrics["composite"].mean == pytest.approx(mean(e.composite for e in mine))
    assert not told


def made_by(
    provider: str, batch: str, digest: str, composites: Sequence[float], **more: Any
) -> list[Any]:
    source = msgspec.structs.replace(SOURCE, digest=digest)
    common = {"provider": provider, "model": "m", "at": NOON - timedelta(days=2)} | more
    events: list[Any] = [started(batch, len(composites), source=source, **common)]
    for place, composite in enumerate(composites, 1):
        persona = f"{batch}-{place}"
        events += [
            queued(persona, place, batch),
            happened(b.PersonaGenerating, batch, persona),
            cost(f"call-{persona}", 2_000, batch=batch, persona=persona, **common),
            happened(b.PersonaCompleted, batch, persona, accepted=composite >= 0.75, **common),
            QualityScored(
                id=fresh_id(),
                batch=batch,
                persona=persona,
                scores={"faithfulness": composite},
                composite=composite,
                scorer="builtin/1",
                **common,
            ),
        ]
    return events


GOOD, BAD = (0.9, 0.88, 0.86, 0.91, 0.9, 0.87), (0.7, 0.76, 0.72, 0.71, 0.69, 0.73)


def stars(reply: QualityProvidersReply) -> dict[str, set[str]]:
    return {
        row.provider: {name for name, metric in row.metrics.items() if metric.best}
        for row in reply.rows
    }


def test_a_star_for_what_is_better_over_the_source_that_both_ran(core: Core) -> None:
    core.append(*made_by("acme", "batch-1", "d1", GOOD), *made_by("blue", "batch-2", "d1", BAD))
    reply = ask(core)
    assert stars(reply) == {"acme": {"composite", "faithfulness"}, "blue": set()}
    assert [row.provider for row in reply.rows] == ["acme", "blue"]
    acme, blue = reply.rows
    assert (acme.accepted, blue.accepted) == (6, 1)
    assert acme.cost_per_accepted_persona_nanousd == 2_000
    assert blue.cost_per_accepted_persona_nanousd == 12_000
    composite = acme.metrics["composite"]
    assert composite.low is not None
    assert composite.high is not None
    assert 0 < composite.low < composite.mean < composite.high < 1
    first = reply.differences[0]
    assert (first.metric, first.better, first.than, first.sources) == (
        "composite",
        "acme",
        "blue",
        1,
    )
    assert first.difference == pytest.approx(mean(GOOD) - mean(BAD))
    assert 0 < first.low < first.difference < first.high


def test_no_star_where_sources_differ_or_chance_would_do(core: Core) -> None:
    core.append(*made_by("acme", "batch-1", "d1", GOOD), *made_by("blue", "batch-2", "d2", BAD))
    reply = ask(core)
    assert stars(reply) == {"acme": set(), "blue": set()}
    assert reply.differences == []
    core.append(*made_by("cyan", "batch-3", "d1", [each - 0.003 for each in GOOD]))
    reply = ask(core)
    assert stars(reply) == {"acme": set(), "blue": set(), "cyan": set()}
    assert [(each.better, each.than) for each in reply.differences] == [("acme", "cyan")] * 2


def test_batches_that_come_after_a_question_are_compared_by_the_next_one(core: Core) -> None:
    core.append(*made_by("acme", "batch-1", "d1", GOOD))
    assert ask(core).differences == []
    for number in range(2, 7):
        core.append(*made_by("blue", f"batch-{number}", f"d{1 + number % 2}", BAD))
        for _ in range(2):
            told = ask(core).differences[0]
            assert (told.better, told.than, told.sources) == ("acme", "blue", 1)


def test_two_that_scored_in_one_batch_are_compared_over_its_source(core: Core) -> None:
    scored = [each for each in made_by("blue", "batch-1", "d1", BAD) if hasattr(each, "scores")]
    core.append(*made_by("acme", "batch-1", "d1", GOOD), *scored)
    reply = ask(core)
    assert [(each.better, each.than, each.sources) for each in reply.differences] == [
        ("acme", "blue", 1)
    ] * 2


def test_one_that_never_ran_a_common_source_takes_no_star_away(core: Core) -> None:
    core.append(
        *made_by("acme", "batch-1", "d1", GOOD),
        *made_by("blue", "batch-2", "d1", BAD),
        *made_by("lone", "batch-3", "d9", (0.99, 0.98, 0.99, 0.97, 0.99)),
    )
    assert stars(ask(core))["acme"] == {"composite", "faithfulness"}
    assert stars(ask(core))["lone"] == set()


def test_one_with_too_few_scores_takes_the_star_away_only_where_it_is_higher(core: Core) -> None:
    core.append(
        *made_by("acme", "batch-1", "d1", GOOD),
        *made_by("blue", "batch-2", "d1", BAD),
        *made_by("few", "batch-3", "d1", (0.6, 0.6)),
    )
    assert stars(ask(core))["acme"] == {"composite", "faithfulness"}
    core.append(*made_by("top", "batch-4", "d1", (0.95, 0.96)))
    reply = ask(core)
    assert not any(stars(reply).values())
    assert {(each.better, each.than) for each in reply.differences} == {("acme", "blue")}


def test_one_metric_alone_and_a_name_that_is_none(core: Core) -> None:
    core.append(*made_by("acme", "batch-1", "d1", GOOD))
    (row,) = ask(core, metrics=["faithfulness"]).rows
    assert set(row.metrics) == {"faithfulness"}
    with pytest.raises(LedgerError, match="there is no metric 'faithfulnes'") as raised:
        ask(core, metrics=["faithfulnes"])
    assert raised.value.hint == "did you mean faithfulness?"


def test_an_empty_ledger_has_no_rows(core: Core) -> None:
    reply = ask(core)
    assert (reply.scorer, reply.rows, reply.differences) == (None, [], [])
