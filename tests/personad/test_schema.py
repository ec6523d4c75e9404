"""What `personad schema` prints against what is really said: golden files, requests, replies."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.admin import Hello, Status
from personad.contract.asking import Filter, Range
from personad.contract.base import Request
from personad.contract.codec import encode
from personad.contract.events import Append, Read
from personad.contract.latency import Latency
from personad.contract.quality import QualityTrends
from personad.contract.requester import Requester
from personad.contract.schema import json_schema
from tests.make_golden import WORDS

from .conftest import Running
from .facts import SPECIMENS, planned

GOLDEN = sorted(
    file
    for file in (Path(__file__).parent.parent / "golden").glob("*/*.json")
    if file.name != WORDS
)
SCHEMA = json_schema()


def mistakes(group: str, body: dict[str, Any]) -> list[str]:
    """What the schema says against a message of `group`."""
    schema = {"$defs": SCHEMA["$defs"], **SCHEMA[group][body["type"]]}
    checked = Draft202012Validator(schema, format_checker=FormatChecker())
    return [error.message for error in checked.iter_errors(body)]


def test_it_is_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for group in ("events", "requests", "replies", "frames"):
        for reference in SCHEMA[group].values():
            assert reference["$ref"].removeprefix("#/$defs/") in SCHEMA["$defs"]


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_golden_file_is_as_the_schema_says(file: Path) -> None:
    body = json.loads(file.read_bytes())
    assert mistakes("events", body) == []
    del body["id"]
    assert mistakes("events", body) == ["'id' is a required property"]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("cost.recorded", "cost_nanousd", -1),
        ("cost.recorded", "cost_nanousd", "1"),
        ("persona.completed", "composite", 1.5),
        ("batch.finished", "status", "running"),
        ("batch.started", "source", {}),
    ],
)
def test_what_the_daemon_refuses_the_schema_refuses(kind: str, field: str, value: Any) -> None:
    body = json.loads(encode(SPECIMENS[kind], "json"))
    assert mistakes("events", body | {field: value})


REQUESTS: list[Request[Any]] = [
    Hello(),
    Status(),
    Append(events=planned("batch-b")),  # type: ignore[arg-type]
    Read(),
    b.BatchList(),
    b.BatchShow(batch="batch-a"),
    b.Claim(batch="batch-a", runner="r"),
    b.Pause(batch="batch-a"),
    b.BatchShow(batch="nope"),
    c.CostHistory(range=Range(month="this")),
    c.CostBreakdown(by="model", filter=Filter(experiments=["nope"])),
    QualityTrends(),
    Latency(),
]


def test_requests_and_their_replies_are_as_the_schema_says(daemon: Running) -> None:
    daemon.append(*planned())
    for request in REQUESTS:
        asked = encode(request, "json")
        with Requester(daemon.paths.api_socket, 10) as requester:
            answer = requester.request(asked, 10)
        assert mistakes("requests", json.loads(asked)) == []
        assert mistakes("replies", json.loads(answer)) == []
