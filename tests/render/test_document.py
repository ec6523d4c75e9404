"""The one JSON encoder behind every `--json`."""

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from persona.render.document import render

from personad.contract.base import Reply


class Left(Struct, frozen=True):
    low: int
    high: int


class Example(Reply, frozen=True, tag="example"):
    cost_nanousd: int | None = None
    eta_ms: Left | None = None
    elapsed_ms: int = 0
    at: datetime | None = None
    scores: dict[str, float] = {}
    rows: list[Left] = []
    flag: bool = False
    name: str = ""


def test_the_fields_are_those_of_the_struct_without_the_tag() -> None:
    document = json.loads(render(Example()))

    assert list(document) == [
        "cost_usd", "eta_s", "elapsed_s", "at", "scores", "rows", "flag", "name",
    ]  # fmt: skip


@given(st.integers(0, 2**63 - 1))
def test_money_is_written_exactly(nanousd: int) -> None:
    document = json.loads(render(Example(cost_nanousd=nanousd)), parse_float=Decimal)

    assert Decimal(document["cost_usd"]) == Decimal(nanousd).scaleb(-9)


def test_durations_are_seconds_also_within() -> None:
    document = json.loads(render(Example(elapsed_ms=1_500, eta_ms=Left(low=250, high=3_000))))

    assert document["elapsed_s"] == 1.5
    assert document["eta_s"] == {"low": 0.25, "high": 3}


def test_times_are_rfc_3339_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-23T13:00:00+01:00")

    assert json.loads(render(Example(at=at)))["at"] == "2026-11-23T12:00:00Z"


def test_names_that_are_data_keep_their_endings() -> None:
    assert json.loads(render(Example(scores={"lag_ms": 0.5})))["scores"] == {"lag_ms": 0.5}


def test_other_values_are_left_alone() -> None:
    document = json.loads(render(Example(flag=True, name="x", rows=[Left(low=1, high=2)])))

    assert document["flag"] is True
    assert document["rows"] == [{"low": 1, "high": 2}]


def test_nothing_known_is_null() -> None:
    document = json.loads(render(Example()))

    assert document["cost_usd"] is None
    assert document["eta_s"] is None


def test_a_document_ends_with_one_newline_indented_or_not() -> None:
    reply = Example(cost_nanousd=1, at=datetime(2026, 11, 23, tzinfo=UTC))

    short, long = render(reply), render(reply, indent=True)

    assert short.count(b"\n") == 1
    assert long.endswith(b"}\n")
    assert b'"cost_usd": 0.000000001,\n' in long
    assert json.loads(short) == json.loads(long)
