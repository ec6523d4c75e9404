"""When alerts about quality are raised: where it is below a threshold, and where it has dropped."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from personad import news
from personad.contract import alerts as a
from personad.contract.codec import codec, encode, reply_codec
from personad.contract.events import AnyEvent
from personad.contract.options import Quality as QualitySettings
from personad.contract.options import QualityAlerts, Settings
from personad.log import read
from personad.projections import alert_questions, charts
from tests.ledgers import damage_of

from .alerted import Watched, scored, switched
from .facts import NOON
from .retaining import keep
from .test_rebuild import rebuilt


class TestThresholds:
    @pytest.fixture
    def watched(self, watched: Watched) -> Watched:
        watched.append(switched("quality", metric="composite", threshold=0.75))
        return watched

    def test_three_personas_below_it_are_told_once(self, watched: Watched) -> None:
        watched.score(0.5, 0.5)
        assert watched.drops == []
        watched.score(0.5, 0.5, 0.5)
        (found,) = watched.drops
        assert (found.metric, found.where, found.cause) == ("composite", "acme/one", "threshold")
        assert (found.value, found.threshold, found.n) == (0.5, 0.75, 3)
        assert watched.waiting == ["composite of acme/one is 0.50, below 0.75"]

    def test_a_hair_below_it_is_told_with_more_digits(self, watched: Watched) -> None:
        watched.score(*[0.7499] * 3)
        assert watched.waiting == ["composite of acme/one is 0.7499, below 0.75"]

    def test_exactly_at_it_is_not_below(self, watched: Watched) -> None:
        watched.score(*[0.75] * 10)
        assert watched.drops == []

    def test_one_bad_persona_among_good_ones_is_none(self, watched: Watched) -> None:
        watched.score(*[0.9] * 10, 0.4, *[0.9] * 10)
        assert watched.drops == []

    def test_back_and_down_again_is_told_again_after_the_cooldown(self, watched: Watched) -> None:
        watched.score(*[0.5] * 3)
        watched.score(*[0.9] * 10)
        watched.score(*[0.5] * 10)
        assert len(watched.drops) == 1
        watched.clock += 24 * 3_600 + 1
        watched.score(0.5)
        watched.score(0.5)
        assert len(watched.drops) == 2

    def test_what_has_dropped_while_it_was_off_is_told_once_it_is_on_again(
        self, watched: Watched
    ) -> None:
        watched.score(*[0.5] * 3)
        watched.append(switched("quality", False, metric="composite"))
        watched.score(*[0.9] * 10)
        watched.clock += 24 * 3_600 + 1
        watched.score(*[0.5] * 10)
        assert len(watched.drops) == 1
        watched.append(switched("quality", metric="composite"))
        watched.score(0.5, 0.5)
        assert len(watched.drops) == 2

    def test_the_longest_names_make_an_alert_that_can_be_read(self, watched: Watched) -> None:
        watched.score(*[0.5] * 3, provider="p" * 200, model="m" * 200)
        (event,) = [each.event for each in read(watched.db, kinds=["alert.raised"])]
        assert codec(AnyEvent).decode(encode(event)) == event
        reply = alert_questions.of_quality(watched.db, a.QualityAlerts(), NOON)
        assert reply_codec(a.QualityAlerts).decode(encode(reply)) == reply

    def test_each_model_is_a_place_of_its_own_and_each_scorer_begins_anew(
        self, watched: Watched
    ) -> None:
        watched.score(*[0.5] * 2)
        watched.score(*[0.5] * 2, model="two")
        watched.score(*[0.5] * 2, scorer="builtin/2")
        assert watched.drops == []
        watched.score(0.5, model="two")
        assert [each.where for each in watched.drops] == ["acme/two"]


class TestDrift:
    @pytest.fixture
    def watched(self, watched: Watched) -> Watched:
        watched.append(switched("quality"), switched("quality", False, metric="composite"))
        return watched

    def stream(self, seed: int, n: int, mean: float = 0.8) -> list[float]:
        rng = random.Random(seed)
        return [min(1.0, max(0.0, rng.gauss(mean, 0.05))) for _ in range(n)]

    def test_a_drop_beyond_chance_is_told_once_with_its_evidence(self, watched: Watched) -> None:
        watched.append(*[scored(each) for each in self.stream(1, 100)])
        assert watched.drops == []
        watched.score(*self.stream(2, 30, 0.7))
        (found,) = watched.drops
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

    def test_it_goes_on_after_a_rebuild(self, watched: Watched) -> None:
        watched.append(*[scored(each) for each in self.stream(1, 100)])
        rebuilt(watched)
        assert damage_of(watched.path) is None
        watched.score(*self.stream(2, 30, 0.7))
        assert len(watched.drops) == 1
        assert damage_of(watched.path) is None

    def test_it_outlives_the_scores_that_it_was_made_of(self, watched: Watched) -> None:
        long_ago = NOON - timedelta(days=30)
        watched.append(*[scored(each, at=long_ago) for each in self.stream(1, 100)])
        before = {table: watched.named(table) for table in charts.TABLES}
        keep(watched)
        assert watched.db.execute("SELECT count(*) FROM event WHERE kind = 30").get == 0
        rebuilt(watched)
        assert {table: watched.named(table) for table in charts.TABLES} == before
        assert damage_of(watched.path) is None
        watched.score(*self.stream(2, 30, 0.7))
        assert len(watched.drops) == 1
        rebuilt(watched, meanwhile=[scored(0.7)])
        assert damage_of(watched.path) is None

    def test_it_can_be_switched_off_by_the_configuration(self, watched: Watched) -> None:
        alerts = QualityAlerts(ewma=False)
        news.configure(watched.db, Settings(quality=QualitySettings(alerts=alerts)))
        watched.append(*[scored(each) for each in self.stream(1, 100)])
        watched.score(*self.stream(2, 30, 0.7))
        assert watched.drops == []
