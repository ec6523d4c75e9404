"""When alerts are raised: once per cause, in the commit that brought it about, and by no import."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personad import news
from personad.contract import alerts as a
from personad.contract import cost as c
from personad.contract.budget import AlertAcknowledged
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Exported, Import
from personad.contract.options import Cost as CostSettings
from personad.contract.options import CostAlerts, QualityAlerts, Settings
from personad.contract.options import Quality as QualitySettings
from personad.log import read
from personad.projections import alert_questions
from personad.store import open_for_reading
from tests.ledgers import UTC, damage_of

from .alerted import Watched, scored, switched
from .budgeting import budget, call, go_to, priced
from .conftest import Core, Running
from .facts import NOON, cost, fresh_id, planned, started
from .test_rebuild import rebuilt


class TestBudgets:
    def test_each_threshold_is_told_once_by_its_level(self, watched: Watched) -> None:
        watched.append(budget(action="stop"))
        watched.spend(49)
        assert watched.costs == []
        watched.spend(1)
        watched.spend(10)
        assert watched.costs == [("daily", 50, "log")]
        watched.spend(20)
        watched.spend(19)
        watched.spend(1)
        watched.spend(500)
        levels = [("daily", 50, "log"), ("daily", 80, "warn"), ("daily", 100, "stop")]
        assert watched.costs == levels

    def test_one_bill_may_pass_them_all(self, watched: Watched) -> None:
        watched.append(budget(action="warn"))
        watched.spend(100)
        assert [percent for _, percent, _ in watched.costs] == [50, 80, 100]
        assert watched.waiting == [
            f"the daily budget has passed {percent} %: $0.0000001 of $0.0000001 are used"
            for percent in (80, 100)
        ]

    def test_what_an_action_only_logs_is_shown_to_nobody(self, watched: Watched) -> None:
        watched.append(budget(action="log"))
        watched.spend(100)
        assert [level for *_, level in watched.costs] == ["log", "log", "log"]
        assert watched.waiting == []

    def test_a_new_period_tells_again(self, watched: Watched) -> None:
        watched.append(budget(thresholds=[80]))
        watched.spend(90)
        go_to(watched, datetime.fromisoformat("2026-11-24T00:00:00+00:00"))
        watched.spend(79)
        assert len(watched.costs) == 1
        watched.spend(1)
        assert len(watched.costs) == 2

    def test_what_was_spent_before_counts_as_soon_as_a_budget_is_set(
        self, watched: Watched
    ) -> None:
        watched.spend(90)
        watched.append(budget())
        assert [percent for _, percent, _ in watched.costs] == [50, 80]

    def test_a_bill_of_another_day_tells_nothing_of_this_one(self, watched: Watched) -> None:
        watched.append(budget())
        watched.spend(1_000, at=NOON - timedelta(days=1))
        assert watched.costs == []

    def test_what_is_reserved_may_turn_out_less_and_what_had_no_answer_may_not(
        self, watched: Watched
    ) -> None:
        watched.append(priced(), budget())
        watched.do(call("one", most=90))
        assert watched.costs == []
        watched.append(
            cost("one", None, outcome="unknown", batch=None, provider="acme", model="one")
        )
        assert [percent for _, percent, _ in watched.costs] == [50, 80]

    @pytest.mark.parametrize(
        ("nanousd", "told"),
        [(1_986_000_000, "$1.99"), (1_985_000_000, "$1.98"), (1_995_000_000, "$2.00")],
    )
    def test_it_tells_the_same_amount_as_the_table_of_budgets(
        self, watched: Watched, nanousd: int, told: str
    ) -> None:
        watched.append(budget(limit=2 * 10**9))
        watched.spend(nanousd)
        assert watched.waiting[-1].endswith(f": {told} of $2.00 are used")

    def test_a_call_that_is_refused_is_what_the_last_threshold_is_about(
        self, watched: Watched
    ) -> None:
        watched.append(priced(), budget())
        watched.spend(70)
        refused = watched.do(call("one", most=90))
        assert isinstance(refused, c.Refused)
        watched.do(call("two", most=90))
        assert watched.costs == [("daily", 50, "log"), ("daily", 100, "stop")]
        said = "the daily budget has refused a call that could cross it: "
        assert watched.waiting == [f"{said}$0.00000007 of $0.0000001 are used"]

    def test_an_experiment_has_its_own_and_no_period(self, watched: Watched) -> None:
        watched.append(budget("experiment:tone", timezone="UTC"))
        watched.spend(90, experiment="other")
        assert watched.costs == []
        watched.spend(90, experiment="tone")
        watched.clock += 90 * 86_400
        watched.spend(1, experiment="tone")
        assert [percent for _, percent, _ in watched.costs] == [50, 80]

    def test_a_batch_s_own_is_told_where_alerts_are_on(self, watched: Watched) -> None:
        watched.append(started(budget_nanousd=100))
        watched.spend(90, batch="batch-a")
        assert watched.costs == []
        watched.append(switched("cost"))
        watched.spend(0, batch="batch-a")
        assert watched.costs == [("batch:batch-a", 80, "warn")]

    def test_a_replay_and_a_rebuild_tell_nothing_twice(self, watched: Watched) -> None:
        bill = cost("one", 100, batch=None, persona=None)
        watched.append(budget(), bill)
        before = watched.costs
        assert len(before) == 3
        watched.append(bill)
        rebuilt(watched)
        watched.append(bill)
        watched.spend(0)
        assert watched.costs == before
        assert damage_of(watched.path) is None

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(st.integers(0, 40), max_size=12), st.sets(st.integers(0, 12)))
    def test_what_is_told_depends_on_what_was_spent_and_not_on_how_it_came(
        self, open_watched: Callable[[], Watched], bills: list[int], cuts: set[int]
    ) -> None:
        watched = open_watched()
        watched.append(budget(), budget("monthly", 200, thresholds=[25, 80]))
        events = [cost(f"c{n}", each, batch=None, persona=None) for n, each in enumerate(bills)]
        places = [0, *sorted(cuts & set(range(len(events)))), len(events)]
        for first, end in pairwise(places):
            watched.append(*events[first:end])
            watched.append(*events[:end])
        spent = sum(bills)
        assert sorted(watched.costs) == sorted(
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
        self, watched: Watched
    ) -> None:
        watched.append(budget(thresholds=[80]))
        watched.spend(80)
        watched.append(budget(limit=90, thresholds=[80]), budget(limit=50, thresholds=[80]))
        assert len(watched.costs) == 1
        watched.append(budget(limit=200, thresholds=[80]))
        assert len(watched.costs) == 1
        watched.spend(80)
        assert len(watched.costs) == 2

    def test_the_same_one_comes_again_after_its_cooldown(self, watched: Watched) -> None:
        watched.append(budget("monthly", thresholds=[80]))
        watched.spend(95)
        watched.append(budget("monthly", 90, thresholds=[80]))
        assert len(watched.costs) == 1
        watched.clock += 24 * 3_600 + 1
        watched.spend(0)
        assert len(watched.costs) == 2

    def test_a_correction_may_pass_one(self, watched: Watched) -> None:
        watched.append(priced(), budget())
        watched.do(call("one", most=90))
        watched.append(
            cost("one", None, outcome="unknown", batch=None, provider="acme", model="one")
        )
        watched.append(budget("weekly", thresholds=[95]))
        watched.do(c.Settle(calls=["one"], cost_nanousd=96))
        assert ("weekly", 95, "warn") in watched.costs


class TestSwitches:
    def test_setting_a_budget_turns_its_alerts_on_until_they_are_turned_off(
        self, watched: Watched
    ) -> None:
        assert not alert_questions.of_cost(watched.db, a.CostAlerts(), NOON).enabled
        watched.append(budget())
        assert alert_questions.of_cost(watched.db, a.CostAlerts(), NOON).enabled
        watched.append(switched("cost", False))
        watched.spend(90)
        assert watched.costs == []
        watched.append(switched("cost"))
        assert [percent for _, percent, _ in watched.costs] == [50, 80]

    def test_a_budget_set_afterwards_is_on_alone(self, watched: Watched) -> None:
        watched.append(budget(), switched("cost", False), budget("monthly"))
        watched.spend(90)
        assert {scope for scope, *_ in watched.costs} == {"monthly"}

    def test_a_budget_stops_though_nothing_is_told(self, watched: Watched) -> None:
        watched.append(priced(), budget(), switched("cost", False))
        assert isinstance(watched.do(call("one", most=101)), c.Refused)
        assert watched.costs == []

    def test_the_configuration_holds_until_a_command_says_otherwise(self, watched: Watched) -> None:
        said = Settings(
            cost=CostSettings(alerts=CostAlerts(enabled=True)),
            quality=QualitySettings(alerts=QualityAlerts(enabled=True, composite=0.9)),
        )
        news.configure(watched.db, said)
        told = alert_questions.of_cost(watched.db, a.CostAlerts(), NOON)
        assert (told.enabled, told.enabled_by) == (True, "configuration")
        watched.append(
            switched("cost", False), switched("quality", metric="composite", threshold=0.6)
        )
        told = alert_questions.of_cost(watched.db, a.CostAlerts(), NOON)
        assert (told.enabled, told.enabled_by) == (False, "command")
        rules = {
            rule.metric: rule
            for rule in alert_questions.of_quality(watched.db, a.QualityAlerts(), NOON).rules
        }
        assert (rules["composite"].threshold, rules["composite"].set_by) == (0.6, "command")
        assert (rules["faithfulness"].threshold, rules["faithfulness"].enabled) == (0.7, True)

    def test_one_metric_is_watched_alone(self, watched: Watched) -> None:
        watched.append(switched("quality", metric="tone", threshold=0.8))
        watched.score(*[0.1] * 3, scores={"tone": 0.9, "composite-like": 0.1})
        assert watched.drops == []
        watched.score(*[0.1] * 3, scores={"tone": 0.5})
        assert [each.metric for each in watched.drops] == ["tone"]
        watched.append(switched("quality", False, metric="tone"))
        (rule,) = [
            each
            for each in alert_questions.of_quality(watched.db, a.QualityAlerts(), NOON).rules
            if each.metric == "tone"
        ]
        assert (rule.threshold, rule.enabled) == (0.8, False)


class TestImport:
    def exported(self, watched: Core) -> Import:
        return Import(items=[Exported(event=each.event) for each in read(watched.db)])

    def test_it_raises_none_and_brings_those_that_were_raised_along_silently(
        self, watched: Watched, open_watched: Callable[[], Watched]
    ) -> None:
        watched.append(
            budget(thresholds=[80]), switched("quality", metric="composite", threshold=0.9)
        )
        watched.spend(90)
        watched.score(*[0.5] * 3)
        other = open_watched()
        other.do(self.exported(watched))
        assert other.costs == watched.costs
        assert other.drops == watched.drops
        assert other.waiting == []
        other.spend(0)
        other.score(0.5)
        assert (len(other.costs), len(other.drops)) == (1, 1)
        assert other.waiting == []

    def test_what_it_brings_about_is_told_with_the_next_bill(self, watched: Watched) -> None:
        watched.append(budget(thresholds=[80]))
        bill = cost("one", 90, batch=None, persona=None)
        watched.do(Import(items=[Exported(event=bill)]))
        assert watched.costs == []
        watched.spend(0)
        assert len(watched.costs) == 1

    def test_scores_that_are_imported_are_below_without_a_word(self, watched: Watched) -> None:
        watched.append(switched("quality", metric="composite", threshold=0.9))
        watched.do(Import(items=[Exported(event=scored(0.5)) for _ in range(5)]))
        watched.score(0.5)
        assert watched.drops == []


class TestNews:
    def test_what_was_shown_or_acknowledged_is_no_news(self, watched: Watched) -> None:
        watched.append(budget(thresholds=[80, 90]))
        watched.spend(95)
        first, second = [each.alert for each in news.unshown(watched.db).alerts]
        watched.do(a.AlertsShown(alerts=[first]))
        watched.do(a.AlertsShown(alerts=[first, "alert-nobody-knows"]))
        assert [each.alert for each in news.unshown(watched.db).alerts] == [second]
        watched.append(AlertAcknowledged(id=fresh_id(), at=NOON, alert=second))
        assert news.count(watched.db) == 0

    def test_only_the_daemon_says_that_one_was_raised(self, watched: Watched) -> None:
        watched.append(budget())
        watched.spend(90)
        raised = [each.event for each in read(watched.db, kinds=["alert.raised"])]
        with pytest.raises(LedgerError, match="only the daemon"):
            watched.do(Append(events=raised))

    def test_ids_follow_from_their_causes(
        self, watched: Watched, open_watched: Callable[[], Watched]
    ) -> None:
        found: set[UUID] = set()
        for each in (watched, open_watched()):
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
