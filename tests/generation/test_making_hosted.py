"""What a persona's making does with what models and servers get wrong; the server's pay is the
measure of what the ledger says."""

from typing import Any

import pytest
from persona.generation.providers import provider
from persona.generation.quality import SCORER
from persona.generation.responses import load
from persona.generation.retry import StoppedByProvider

from ..provider_server import Paid, ProviderServer, Turn  # noqa: TID252
from ..provider_server.personas import in_french, with_an_invented_quote  # noqa: TID252
from ..provider_server.scripts import FORMATS, Format  # noqa: TID252
from ..studio import Studio  # noqa: TID252
from .test_making import Workshop


def workshop(studio: Studio, server: ProviderServer, name: Format = "openai") -> Workshop:
    base_url = server.url(name)
    made = provider(name, base_url=base_url, environment={})
    return Workshop(studio, made, provider=name, model="some-model", base_url=base_url)


CLAIMED_FREELY = 0.5
"""The server's model quotes faithfully and claims what nobody said."""


def recorded(shop: Workshop) -> dict[str, Paid]:
    """What the ledger says of calls that were answered, as the server counts it."""
    return {
        cost.request_id: Paid(
            cost.input_tokens,
            cost.output_tokens,
            cost.cache_read_tokens,
            cost.cache_write_tokens,
            cost.model,
        )
        for cost in shop.events("cost.recorded")
        if cost.outcome == "ok"
    }


def document(studio: Studio, shop: Workshop) -> dict[str, Any]:
    (found,) = studio.personas(shop.started)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_the_ledger_says_what_the_provider_was_paid(studio: Studio, name: Format) -> None:
    with ProviderServer() as server:
        shop = workshop(studio, server, name)
        assert shop.make()

    paid = list(server.paid.values()) if name == "ollama" else server.paid
    told = recorded(shop)
    assert (list(told.values()) if name == "ollama" else told) == paid
    (cost,) = shop.events("cost.recorded")
    assert (cost.operation, cost.estimated) == ("generation", False)
    assert cost.ttft_ms is not None
    assert document(studio, shop)["quality"]["faithfulness"] > CLAIMED_FREELY


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Certainly! Here is your persona: Ada, 41.", "the answer is not a persona"),
        ('{"name": "Ada Moor", "goals": "to wait less"}', "Expected `array`, got `str`"),
        ('{"summary": "She waits."}', "missing required field `name`"),
    ],
)
def test_an_answer_that_is_no_persona_is_put_right_once_and_openly(
    studio: Studio, text: str, problem: str
) -> None:
    with ProviderServer([Turn(text=text)]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    assert server.asked[1].turns[1] == text
    assert problem in server.asked[1].turns[2]
    costs = shop.events("cost.recorded")
    assert [cost.operation for cost in costs] == ["generation", "repair"]
    assert len({cost.call for cost in costs}) == 2
    assert recorded(shop) == server.paid
    (retrying,) = shop.events("persona.retrying")
    assert (retrying.error.kind, retrying.delay_ms) == ("invalid_output", 0)


def test_an_answer_is_sent_back_only_once(studio: Studio) -> None:
    with ProviderServer(lambda asked: Turn(text="no JSON")) as server:
        shop = workshop(studio, server)
        assert not shop.make()

    assert [len(asked.turns) for asked in server.asked] == [1, 3, 1]
    assert recorded(shop) == server.paid
    (failed,) = shop.events("persona.failed")
    assert (failed.error.kind, failed.attempts) == ("invalid_output", 3)


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        (Turn(text=""), "the answer is empty"),
        (Turn(text='{"name": "Ad', ending="length"), "the answer was cut off after"),
        (Turn(text='{"name": "' + "a" * 5_000_000), "the answer was cut off after"),
    ],
)
def test_where_there_is_nothing_to_put_right_it_is_asked_anew(
    studio: Studio, turn: Turn, problem: str
) -> None:
    with ProviderServer([turn]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    assert [len(asked.turns) for asked in server.asked] == [1, 1]
    assert recorded(shop) == server.paid
    (retrying,) = shop.events("persona.retrying")
    assert retrying.error.message.startswith(problem)


def test_an_answer_in_another_language_is_put_right(studio: Studio) -> None:
    with ProviderServer([Turn(edit=in_french)]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    assert "the answer is written in `fr` instead of `en`" in server.asked[1].turns[2]
    assert recorded(shop) == server.paid


def test_fields_that_nobody_asked_for_are_left_out_and_missing_ones_stay_empty(
    studio: Studio,
) -> None:
    def changed(found: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in found.items() if name != "motivations"}
        return kept | {"salary": 3, "evidence": [one | {"sure": 1} for one in found["evidence"]]}

    with ProviderServer([Turn(edit=changed)]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    made = document(studio, shop)
    assert "salary" not in made
    assert made["motivations"] == []
    assert len(server.asked) == 1


def test_an_invented_quote_is_dropped_and_lowers_faithfulness(studio: Studio) -> None:
    with ProviderServer([Turn(edit=with_an_invented_quote)]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    made = document(studio, shop)
    assert not any("in my life" in quote for quote in made["quotes"])
    assert [item["field"] for item in made["evidence"]] == ["quotes[0]", "quotes[1]", "quotes[2]"]
    said = {item["quote"] for item in made["evidence"]}
    assert said == set(made["quotes"])
    faithfulness = made["quality"]["faithfulness"]
    assert faithfulness < 0.75 * CLAIMED_FREELY + 0.05
    (scored,) = shop.events("quality.scored")
    assert scored.scores["faithfulness"] == faithfulness
    assert scored.scorer.startswith(f"{SCORER}+"), "the workshop has weights of its own"


def test_a_refusal_in_words_is_paid_for_and_not_repeated(studio: Studio) -> None:
    with ProviderServer([Turn(ending="refusal", text="I can't help with that.")]) as server:
        shop = workshop(studio, server)
        assert not shop.make()

    assert recorded(shop) == server.paid
    (failed,) = shop.events("persona.failed")
    assert (failed.error.kind, failed.attempts) == ("content_refused", 1)
    assert failed.error.message == "the model refused: I can't help with that."
    assert not load(shop.calls_dir).saved


def test_figures_that_are_missing_are_recorded_as_estimated(studio: Studio) -> None:
    with ProviderServer([Turn(usage=False)]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    (cost,) = shop.events("cost.recorded")
    assert (cost.outcome, cost.estimated) == ("ok", True)
    assert cost.input_tokens > 100


def test_a_rate_limit_waits_as_long_as_it_was_told_and_costs_nothing(studio: Studio) -> None:
    limited = [Turn(status=429, retry_after="0.15")] * 5
    with ProviderServer(limited) as server:
        shop = workshop(studio, server)
        assert shop.make()

    assert [each.delay_ms for each in shop.events("persona.retrying")] == [150] * 5
    costs = shop.events("cost.recorded")
    assert [cost.outcome for cost in costs] == ["error"] * 5 + ["ok"]
    assert [cost.cost_nanousd for cost in costs[:5]] == [0] * 5
    assert [cost.request_id for cost in costs[:5]] == [f"req-refused-{n}" for n in range(1, 6)]
    assert recorded(shop) == server.paid


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (Turn(cut_after=3), "connection"),
        (Turn(error_after=3), "server_error"),
        (Turn(nonsense_after=3), "invalid_output"),
    ],
)
def test_what_broke_off_counts_as_unknown_and_is_tried_again(
    studio: Studio, turn: Turn, kind: str
) -> None:
    with ProviderServer([turn]) as server:
        shop = workshop(studio, server)
        assert shop.make()

    lost, answered = shop.events("cost.recorded")
    assert (lost.outcome, lost.error_kind, lost.cost_nanousd) == ("unknown", kind, None)
    assert answered.outcome == "ok"


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (Turn(status=404), "bad_request"),
        (Turn(status=400, error="content"), "content_refused"),
    ],
)
def test_what_more_asking_does_not_mend_is_not_asked_again(
    studio: Studio, turn: Turn, kind: str
) -> None:
    with ProviderServer([turn]) as server:
        shop = workshop(studio, server)
        assert not shop.make()

    (failed,) = shop.events("persona.failed")
    assert (failed.error.kind, failed.attempts) == (kind, 1)
    assert server.paid == {}


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (Turn(status=401), "authentication"),
        (Turn(status=403), "authentication"),
        (Turn(status=429, error="quota"), "quota exhausted"),
    ],
)
def test_what_no_other_call_would_fare_better_with_stops_all(
    studio: Studio, turn: Turn, reason: str
) -> None:
    with ProviderServer([turn]) as server:
        shop = workshop(studio, server)
        with pytest.raises(StoppedByProvider) as stopped:
            shop.make()

    assert stopped.value.reason == reason
    assert shop.events("persona.failed") == []
    assert (server.paid, len(server.asked)) == ({}, 1)


def test_a_server_that_is_down_withholds_nothing(studio: Studio) -> None:
    with ProviderServer() as server:
        shop = workshop(studio, server)
    assert not shop.make()

    costs = shop.events("cost.recorded")
    assert [(cost.outcome, cost.cost_nanousd) for cost in costs] == [("error", 0)] * 3


def test_a_slow_drip_ends_with_the_calls_time(studio: Studio) -> None:
    with ProviderServer(lambda asked: Turn(pieces=500, gap_s=0.05)) as server:
        base_url = server.url("openai")
        made = provider("openai", base_url=base_url, environment={})
        shop = Workshop(
            studio, made, provider="openai", model="m", base_url=base_url, call_timeout_ms=300
        )
        assert not shop.make()

    (failed,) = shop.events("persona.failed")
    assert (failed.error.kind, failed.error.message) == ("timeout", "no answer within 0.3 s")
    assert {cost.outcome for cost in shop.events("cost.recorded")} == {"unknown"}


def test_a_long_source_is_cut_to_the_models_context(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona.generation.asking.input_limit", lambda *_: 700)
    with ProviderServer() as server:
        shop = workshop(studio, server)
        assert shop.make()

    (asked,) = server.asked
    assert 0 < len(asked.records) < 12
