"""When alerts are raised: once per cause, in the commit that brought it about, and by no import."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personad import alerting, news
from personad.changes import CHANGES, Context
from personad.contract import alerts as a
from personad.contract import cost as c
from personad.contract.base import Request
from personad.contract.budget import AlertAcknowledged, AlertConfigured
from personad.contract.codec import codec, encode, reply_codec
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Append, Exported, Import
from personad.contract.options import Cost as CostSettings
from personad.contract.options import CostAlerts, QualityAlerts, Settings
from personad.contract.options import Quality as QualitySettings
from personad.contract.quality import QualityScored
from personad.log import last_seq, read
from personad.projections import alert_questions, charts
from personad.store import open_for_reading, transaction
from tests.ledgers import UTC, damage_of

from .conftest import Core, Running
from .facts import NOON, cost, fresh_id, planned, started
from .test_budgets import budget, call, go_to, priced
from .test_rebuild import rebuilt
from .test_retention import keep

PLACE = {"provider": "acme", "model": "one", "scorer": "builtin/1"}


class Watched(Core):
    """As the writer does it: after each request, what it brought about is told."""

    def do(self, request: Request[Any]) -> Any:
        with transaction(self.book, last_seq(self.db), self.now) as txn:
            answer: Any = CHANGES[type(request)](txn, request, Context(self.leases, self.clock))
            txn.fold()
            alerting.raise_due(txn)
            reply = answer()
        self.txn = txn
        return reply

    def spend(self, nanousd: int, **more: Any) -> None:
        fields = {"batch": None, "persona": None, "at": self.now} | more
        self.append(cost(f"call-{fresh_id()}", nanousd, **fields))

    @property
    def costs(self) -> list[tuple[str, int, str]]:
        """Scope, threshold and level of each alert, the oldest first."""
        found = alert_questions.of_cost(self.db, a.CostAlerts(), self.now).alerts
        return [(each.scope, each.percent, each.level) for each in reversed(found)]

    @property
    def drops(self) -> list[a.QualityAlert]:
        found = alert_questions.of_quality(self.db, a.QualityAlerts(), self.now).alerts
        return list(reversed(found))

    @property
    def waiting(self) -> list[str]:
        return [each.message for each in news.unshown(self.db).alerts]

    def score(self, *composites: float, **more: Any) -> None:
        for composite in composites:
            self.append(scored(composite, **more))


def scored(composite: float, **more: Any) -> QualityScored:
    fields: dict[str, Any] = {"id": fresh_id(), "at": NOON, "persona": "p", "scores": {}}
    return QualityScored(**(fields | PLACE | {"composite": composite} | more))


def switched(kind: str, enabled: bool = True, **more: Any) -> AlertConfigured:
    return AlertConfigured(id=fresh_id(), at=NOON, kind=kind, enabled=enabled, **more)


@pytest.fixture
def open_watched(house: Path) -> Any:
    opened: list[Watched] = []

    def open_one() -> Watched:
        opened.append(Watched(house / f"watched-{len(opened)}.db"))
        return opened[-1]

    yield open_one
    for each in opened:
        each.db.close()


@pytest.fixture
def core(open_watched: Callable[[], Watched]) -> Watched:
    return open_watched()


class TestBudgets:
    def test_each_threshold_is_told_once_by_its_level(self, core: Watched) -> None:
        core.append(budget(action="stop"))
        core.spend(49)
        assert core.costs == []
        core.spend(1)
        core.spend(10)
        assert core.costs == [("daily", 50, "log")]
        core.spend(20)
        core.spend(19)
        core.spend(1)
        core.spend(500)
        levels = [("daily", 50, "log"), ("daily", 80, "warn"), ("daily", 100, "stop")]
        assert core.costs == levels

    def test_one_bill_may_pass_them_all(self, core: Watched) -> None:
        core.append(budget(action="warn"))
        core.spend(100)
        assert [percent for _, percent, _ in core.costs] == [50, 80, 100]
        assert core.waiting == [
            f"the daily budget has passed {percent} %: $0.0000001 of $0.0000001 are used"
            for percent in (80, 100)
        ]

    def test_what_an_action_only_logs_is_shown_to_nobody(self, core: Watched) -> None:
        core.append(budget(action="log"))
        core.spend(100)
        assert [level for *_, level in core.costs] == ["log", "log", "log"]
        assert core.waiting == []

    def test_a_new_period_tells_again(self, core: Watched) -> None:
        core.append(budget(thresholds=[80]))
        core.spend(90)
        go_to(core, datetime.fromisoformat("2026-11-24T00:00:00+00:00"))
        core.spend(79)
        assert len(core.costs) == 1
        core.spend(1)
        assert len(core.costs) == 2

    def test_what_was_spent_before_counts_as_soon_as_a_budget_is_set(self, core: Watched) -> None:
        core.spend(90)
        core.append(budget())
        assert [percent for _, percent, _ in core.costs] == [50, 80]

    def test_a_bill_of_another_day_tells_nothing_of_this_one(self, core: Watched) -> None:
        core.append(budget())
        core.spend(1_000, at=NOON - timedelta(days=1))
        assert core.costs == []

    def test_what_is_reserved_may_turn_out_less_and_what_had_no_answer_may_not(
        self, core: Watched
    ) -> None:
        core.append(priced(), budget())
        core.do(call("one", most=90))
        assert core.costs == []
        core.append(cost("one", None, outcome="unknown", batch=None, provider="acme", model="one"))
        assert [percent for _, percent, _ in core.costs] == [50, 80]

    def test_a_call_that_is_refused_is_what_the_last_threshold_is_about(
        self, core: Watched
    ) -> None:
        core.append(priced(), budget())
        core.spend(70)
        refused = core.do(call("one", most=90))
        assert isinstance(refused, c.Refused)
        core.do(call("two", most=90))
        assert core.costs == [("daily", 50, "log"), ("daily", 100, "stop")]
        said = "the daily budget has refused a call that could cross it: "
        assert core.waiting == [f"{said}$0.00000007 of $0.0000001 are used"]

    def test_an_experiment_has_its_own_and_no_period(self, core: Watched) -> None:
        core.append(budget("experiment:tone", timezone="UTC"))
        core.spend(90, experiment="other")
        assert core.costs == []
        core.spend(90, experiment="tone")
        core.clock += 90 * 86_400
        core.spend(1, experiment="tone")
        assert [percent for _, percent, _ in core.costs] == [50, 80]

    def test_a_batch_s_own_is_told_where_alerts_are_on(self, core: Watched) -> None:
        core.append(started(budget_nanousd=100))
        core.spend(90, batch="batch-a")
        assert core.costs == []
        core.append(switched("cost"))
        core.spend(0, batch="batch-a")
        assert core.costs == [("batch:batch-a", 80, "warn")]

    def test_a_replay_and_a_rebuild_tell_nothing_twice(self, core: Watched) -> None:
        bill = cost("one", 100, batch=None, persona=None)
        core.append(budget(), bill)
        before = core.costs
        assert len(before) == 3
        core.append(bill)
        rebuilt(core)
        core.append(bill)
        core.spend(0)
        assert core.costs == before
        assert damage_of(core.path) is None

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(st.integers(0, 40), max_size=12), st.sets(st.integers(0, 12)))
    def test_what_is_told_depends_on_what_was_spent_and_not_on_how_it_came(
        self, open_watched: Callable[[], Watched], bills: list[int], cuts: set[int]
    ) -> None:
        core = open_watched()
        core.append(budget(), budget("monthly", 200, thresholds=[25, 80]))
        events = [cost(f"c{n}", each, batch=None, persona=None) for n, each in enumerate(bills)]
        places = [0, *sorted(cuts & set(range(len(events)))), len(events)]
        for first, end in pairwise(places):
            core.append(*events[first:end])
            core.append(*events[:end])
        spent = sum(bills)
        assert sorted(core.costs) == sorted(
            (scope, percent, level)
            for scope, limit, percent, level in (
                ("daily", 100, 50, "log"),
                ("daily", 100, 80, "warn"),
                ("daily", 100, 100, "stop"),
                ("monthly", 200, 25, "log"),
                ("monthly", 200, 80, "warn"),
            )
            if spent * 100 >= limit * percent
        )

    def test_a_higher_limit_is_news_and_a_lower_one_that_was_passed_is_none(
        self, core: Watched
    ) -> None:
        core.append(budget(thresholds=[80]))
        core.spend(80)
        core.append(budget(limit=90, thresholds=[80]), budget(limit=50, thresholds=[80]))
        assert len(core.costs) == 1
        core.append(budget(limit=200, thresholds=[80]))
        assert len(core.costs) == 1
        core.spend(80)
        assert len(core.costs) == 2

    def test_the_same_one_comes_again_after_its_cooldown(self, core: Watched) -> None:
        core.append(budget("monthly", thresholds=[80]))
        core.spend(95)
        core.append(budget("monthly", 90, thresholds=[80]))
        assert len(core.costs) == 1
        core.clock += 24 * 3_600 + 1
        core.spend(0)
        assert len(core.costs) == 2

    def test_a_correction_may_pass_one(self, core: Watched) -> None:
        core.append(priced(), budget())
        core.do(call("one", most=90))
        core.append(cost("one", None, outcome="unknown", batch=None, provider="acme", model="one"))
        core.append(budget("weekly", thresholds=[95]))
        core.do(c.Settle(calls=["one"], cost_nanousd=96))
        assert ("weekly", 95, "warn") in core.costs


class TestSwitches:
    def test_setting_a_budget_turns_its_alerts_on_until_they_are_turned_off(
        self, core: Watched
    ) -> None:
        assert not alert_questions.of_cost(core.db, a.CostAlerts(), NOON).enabled
        core.append(budget())
        assert alert_questions.of_cost(core.db, a.CostAlerts(), NOON).enabled
        core.append(switched("cost", False))
        core.spend(90)
        assert core.costs == []
        core.append(switched("cost"))
        assert [percent for _, percent, _ in core.costs] == [50, 80]

    def test_a_budget_set_afterwards_is_on_alone(self, core: Watched) -> None:
        core.append(budget(), switched("cost", False), budget("monthly"))
        core.spend(90)
        assert {scope for scope, *_ in core.costs} == {"monthly"}

    def test_a_budget_stops_though_nothing_is_told(self, core: Watched) -> None:
        core.append(priced(), budget(), switched("cost", False))
        assert isinstance(core.do(call("one", most=101)), c.Refused)
        assert core.costs == []

    def test_the_configuration_holds_until_a_command_says_otherwise(self, core: Watched) -> None:
        said = Settings(
            cost=CostSettings(alerts=CostAlerts(enabled=True)),
            quality=QualitySettings(alerts=QualityAlerts(enabled=True, composite=0.9)),
        )
        news.configure(core.db, said)
        told = alert_questions.of_cost(core.db, a.CostAlerts(), NOON)
        assert (told.enabled, told.enabled_by) == (True, "configuration")
        core.append(switched("cost", False), switched("quality", metric="composite", threshold=0.6))
        told = alert_questions.of_cost(core.db, a.CostAlerts(), NOON)
        assert (told.enabled, told.enabled_by) == (False, "command")
        rules = {
            rule.metric: rule
            for rule in alert_questions.of_quality(core.db, a.QualityAlerts(), NOON).rules
        }
        assert (rules["composite"].threshold, rules["composite"].set_by) == (0.6, "command")
        assert (rules["faithfulness"].threshold, rules["faithfulness"].enabled) == (0.7, True)

    def test_one_metric_is_watched_alone(self, core: Watched) -> None:
        core.append(switched("quality", metric="tone", threshold=0.8))
        core.score(*[0.1] * 3, scores={"tone": 0.9, "composite-like": 0.1})
        assert core.drops == []
        core.score(*[0.1] * 3, scores={"tone": 0.5})
        assert [each.metric for each in core.drops] == ["tone"]
        core.append(switched("quality", False, metric="tone"))
        (rule,) = [
            each
            for each in alert_questions.of_quality(core.db, a.QualityAlerts(), NOON).rules
            if each.metric == "tone"
        ]
        assert (rule.threshold, rule.enabled) == (0.8, False)


class TestThresholds:
    @pytest.fixture
    def core(self, core: Watched) -> Watched:
        core.append(switched("quality", metric="composite", threshold=0.75))
        return core

    def test_three_personas_below_it_are_told_once(self, core: Watched) -> None:
        core.score(0.5, 0.5)
        assert core.drops == []
        core.score(0.5, 0.5, 0.5)
        (found,) = core.drops
        assert (found.metric, found.where, found.cause) == ("composite", "acme/one", "threshold")
        assert (found.value, found.threshold, found.n) == (0.5, 0.75, 3)
        assert core.waiting == ["composite of acme/one is 0.50, below 0.75"]

    def test_a_hair_below_it_is_told_with_more_digits(self, core: Watched) -> None:
        core.score(*[0.7499] * 3)
        assert core.waiting == ["composite of acme/one is 0.7499, below 0.75"]

    def test_exactly_at_it_is_not_below(self, core: Watched) -> None:
        core.score(*[0.75] * 10)
        assert core.drops == []

    def test_one_bad_persona_among_good_ones_is_none(self, core: Watched) -> None:
        core.score(*[0.9] * 10, 0.4, *[0.9] * 10)
        assert core.drops == []

    def test_back_and_down_again_is_told_again_after_the_cooldown(self, core: Watched) -> None:
        core.score(*[0.5] * 3)
        core.score(*[0.9] * 10)
        core.score(*[0.5] * 10)
        assert len(core.drops) == 1
        core.clock += 24 * 3_600 + 1
        core.score(0.5)
        core.score(0.5)
        assert len(core.drops) == 2

    def test_the_longest_names_make_an_alert_that_can_be_read(self, core: Watched) -> None:
        core.score(*[0.5] * 3, provider="p" * 200, model="m" * 200)
        (event,) = [each.event for each in read(core.db, kinds=["alert.raised"])]
        assert codec(AnyEvent).decode(encode(event)) == event
        reply = alert_questions.of_quality(core.db, a.QualityAlerts(), NOON)
        assert reply_codec(a.QualityAlerts).decode(encode(reply)) == reply

    def test_each_model_is_a_place_of_its_own_and_each_scorer_begins_anew(
        self, core: Watched
    ) -> None:
        core.score(*[0.5] * 2)
        core.score(*[0.5] * 2, model="two")
        core.score(*[0.5] * 2, scorer="builtin/2")
        assert core.drops == []
        core.score(0.5, model="two")
        assert [each.where for each in core.drops] == ["acme/two"]


class TestDrift:
    @pytest.fixture
    def core(self, core: Watched) -> Watched:
        core.append(switched("quality"), switched("quality", False, metric="composite"))
        return core

    def stream(self, seed: int, n: int, mean: float = 0.8) -> list[float]:
        rng = random.Random(seed)
        return [min(1.0, max(0.0, rng.gauss(mean, 0.05))) for _ in range(n)]

    def test_a_drop_beyond_chance_is_told_once_with_its_evidence(self, core: Watched) -> None:
        core.append(*[scored(each) for each in self.stream(1, 100)])
        assert core.drops == []
        core.score(*self.stream(2, 30, 0.7))
        (found,) = core.drops
        assert (found.cause, found.where) == ("drift", "acme/one")
        assert found.baseline == pytest.approx(0.8, abs=0.02)
        assert found.value < found.threshold < found.baseline
        assert found.message.startswith("composite of acme/one has dropped to 0.7")

    def test_how_events_are_cut_into_commits_changes_no_chart(
        self, open_watched: Callable[[], Watched]
    ) -> None:
        events = [scored(each) for each in self.stream(3, 120)]
        one, other = open_watched(), open_watched()
        one.append(*events)
        for event in events:
            other.append(event)
        for table in ("score_level", "score_chart"):
            assert one.named(table) == other.named(table) != []

    def test_it_goes_on_after_a_rebuild(self, core: Watched) -> None:
        core.append(*[scored(each) for each in self.stream(1, 100)])
        rebuilt(core)
        assert damage_of(core.path) is None
        core.score(*self.stream(2, 30, 0.7))
        assert len(core.drops) == 1
        assert damage_of(core.path) is None

    def test_it_outlives_the_scores_that_it_was_made_of(self, core: Watched) -> None:
        long_ago = NOON - timedelta(days=30)
        core.append(*[scored(each, at=long_ago) for each in self.stream(1, 100)])
        before = {table: core.named(table) for table in charts.TABLES}
        keep(core)
        assert core.db.execute("SELECT count(*) FROM event WHERE kind = 30").get == 0
        rebuilt(core)
        assert {table: core.named(table) for table in charts.TABLES} == before
        assert damage_of(core.path) is None
        core.score(*self.stream(2, 30, 0.7))
        assert len(core.drops) == 1
        rebuilt(core, meanwhile=[scored(0.7)])
        assert damage_of(core.path) is None

    def test_it_can_be_switched_off_by_the_configuration(self, core: Watched) -> None:
        alerts = QualityAlerts(ewma=False)
        news.configure(core.db, Settings(quality=QualitySettings(alerts=alerts)))
        core.append(*[scored(each) for each in self.stream(1, 100)])
        core.score(*self.stream(2, 30, 0.7))
        assert core.drops == []


class TestImport:
    def exported(self, core: Core) -> Import:
        return Import(items=[Exported(event=each.event) for each in read(core.db)])

    def test_it_raises_none_and_brings_those_that_were_raised_along_silently(
        self, core: Watched, open_watched: Callable[[], Watched]
    ) -> None:
        core.append(budget(thresholds=[80]), switched("quality", metric="composite", threshold=0.9))
        core.spend(90)
        core.score(*[0.5] * 3)
        other = open_watched()
        other.do(self.exported(core))
        assert other.costs == core.costs
        assert other.drops == core.drops
        assert other.waiting == []
        other.spend(0)
        other.score(0.5)
        assert (len(other.costs), len(other.drops)) == (1, 1)
        assert other.waiting == []

    def test_what_it_brings_about_is_told_with_the_next_bill(self, core: Watched) -> None:
        core.append(budget(thresholds=[80]))
        bill = cost("one", 90, batch=None, persona=None)
        core.do(Import(items=[Exported(event=bill)]))
        assert core.costs == []
        core.spend(0)
        assert len(core.costs) == 1

    def test_scores_that_are_imported_are_below_without_a_word(self, core: Watched) -> None:
        core.append(switched("quality", metric="composite", threshold=0.9))
        core.do(Import(items=[Exported(event=scored(0.5)) for _ in range(5)]))
        core.score(0.5)
        assert core.drops == []


class TestNews:
    def test_what_was_shown_or_acknowledged_is_no_news(self, core: Watched) -> None:
        core.append(budget(thresholds=[80, 90]))
        core.spend(95)
        first, second = [each.alert for each in news.unshown(core.db).alerts]
        core.do(a.AlertsShown(alerts=[first]))
        core.do(a.AlertsShown(alerts=[first, "alert-nobody-knows"]))
        assert [each.alert for each in news.unshown(core.db).alerts] == [second]
        core.append(AlertAcknowledged(id=fresh_id(), at=NOON, alert=second))
        assert news.count(core.db) == 0

    def test_only_the_daemon_says_that_one_was_raised(self, core: Watched) -> None:
        core.append(budget())
        core.spend(90)
        raised = [each.event for each in read(core.db, kinds=["alert.raised"])]
        with pytest.raises(LedgerError, match="only the daemon"):
            core.do(Append(events=raised))

    def test_ids_follow_from_their_causes(
        self, core: Watched, open_watched: Callable[[], Watched]
    ) -> None:
        found: set[UUID] = set()
        for each in (core, open_watched()):
            each.append(budget(thresholds=[80]))
            each.spend(90)
            found |= {one.event.id for one in read(each.db, kinds=["alert.raised"])}
        assert len(found) == 1


def test_a_daemon_raises_them_and_says_how_many_nobody_has_seen(daemon: Running) -> None:
    from personad.contract.admin import Hello
    from personad.contract.base import Done

    now = datetime.now(UTC)
    daemon.append(*planned(), budget(thresholds=[80]))
    assert daemon.ask(Hello()).alerts == 0
    daemon.append(cost("one", 100, at=now, batch=None, persona=None))
    assert daemon.ask(Hello()).alerts == 1
    (alert,) = daemon.ask(a.AskAlertNews()).alerts
    daemon.kill()
    daemon.start()
    assert daemon.ask(Hello()).alerts == 1
    assert daemon.ask(a.AlertsShown(alerts=[alert.alert])) == Done()
    assert daemon.ask(Hello()).alerts == 0
    with open_for_reading(str(daemon.paths.database)) as db:
        assert len(list(read(db, kinds=["alert.raised"]))) == 1
