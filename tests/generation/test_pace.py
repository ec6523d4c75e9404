"""How many calls a provider is given, and when it is left alone; time is a number here."""

import math

from persona.generation.pace import PROBE_MAX_S, PROBE_MIN_S, Pace, Turn
from persona.generation.providers.base import ErrorKind


def fail(pace: Pace, at_s: float, *kinds: ErrorKind) -> None:
    for kind in kinds:
        pace.end(pace.begin(at_s), at_s, kind)


def test_so_many_calls_at_a_time_as_asked_for() -> None:
    pace = Pace(2, 5)
    first = pace.begin(0)
    assert pace.wait_s(0) == 0
    pace.begin(0)
    assert pace.wait_s(0) == math.inf
    pace.end(first, 1, None)
    assert pace.wait_s(1) == 0


def test_a_rate_limit_halves_the_pace_once_a_jam_and_answers_bring_it_back_by_one_a_round() -> None:
    pace = Pace(16, 5)
    turns = [pace.begin(0) for _ in range(16)]
    for turn in turns:
        pace.end(turn, 1, "rate_limit")
    assert pace.limit == 8

    for _ in range(8):
        pace.end(pace.begin(2), 3, None)
    assert pace.limit == 8
    pace.end(pace.begin(3), 4, None)
    assert pace.limit == 9
    for _ in range(200):
        pace.end(pace.begin(4), 5, None)
    assert pace.limit == 16


def test_the_pace_never_falls_below_one_call_at_a_time() -> None:
    pace = Pace(4, 5)
    for at_s in range(20):
        fail(pace, at_s, "rate_limit")
    assert (pace.limit, pace.wait_s(20)) == (1, 0)


def test_what_the_provider_asks_to_wait_holds_for_all() -> None:
    pace = Pace(4, 5)
    pace.end(pace.begin(0), 10, "rate_limit", 60)
    assert (pace.wait_s(10), pace.wait_s(69), pace.wait_s(70)) == (60, 1, 0)
    assert pace.held_s(40) == 30


def test_rate_limits_do_not_trip_the_breaker() -> None:
    pace = Pace(4, 2)
    fail(pace, 0, "rate_limit", "rate_limit", "rate_limit")
    assert not pace.is_broken


def test_failures_in_a_row_trip_it_and_an_answer_between_them_does_not() -> None:
    pace = Pace(4, 3)
    fail(pace, 0, "server_error", "timeout")
    pace.end(pace.begin(0), 0, None)
    fail(pace, 0, "connection", "server_error")
    assert not pace.is_broken
    fail(pace, 0, "timeout")
    assert pace.is_broken
    assert pace.wait_s(0) == PROBE_MIN_S


def test_what_a_question_is_refused_for_says_nothing_of_the_provider() -> None:
    pace = Pace(4, 2)
    fail(pace, 0, "bad_request", "content_refused", "invalid_output", "bad_request")
    assert not pace.is_broken


def tripped() -> Pace:
    pace = Pace(4, 2)
    fail(pace, 0, "server_error", "server_error")
    return pace


def test_one_call_at_a_time_finds_out_whether_it_is_back() -> None:
    pace = tripped()
    assert pace.wait_s(29) == 1
    probe = pace.begin(30)
    assert probe.is_probe
    assert pace.wait_s(31) == math.inf
    pace.end(probe, 32, None)
    assert (pace.is_broken, pace.wait_s(32)) == (False, 0)


def test_probes_come_ever_more_seldom_up_to_ten_minutes() -> None:
    pace, at_s, waits = tripped(), 0.0, []
    for _ in range(7):
        waits.append(pace.wait_s(at_s))
        at_s += waits[-1]
        fail(pace, at_s, "connection")
    assert waits == [30, 60, 120, 240, 480, PROBE_MAX_S, PROBE_MAX_S]


def test_a_probe_that_is_refused_for_its_question_has_found_the_provider_back() -> None:
    pace = tripped()
    fail(pace, 30, "bad_request")
    assert not pace.is_broken


def test_a_probe_that_was_given_up_is_made_again() -> None:
    pace = tripped()
    pace.drop(pace.begin(30))
    assert pace.wait_s(30) == 0


def test_what_was_on_its_way_when_it_broke_changes_nothing_unless_it_is_answered() -> None:
    pace = Pace(4, 2)
    late: list[Turn] = [pace.begin(0), pace.begin(0)]
    fail(pace, 1, "server_error", "server_error")
    pace.end(late[0], 20, "timeout")
    assert pace.wait_s(20) == 11
    pace.end(late[1], 21, None)
    assert pace.wait_s(21) == 0
