"""Bytes to structs and back: golden files of every release, both encodings, and what is refused."""

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from personad.contract.base import MAX_APPEND_EVENTS, MAX_MESSAGE_BYTES, VERSION, derived_id
from personad.contract.batch import PersonaCompleted
from personad.contract.codec import codec, encode, reply_codec
from personad.contract.cost import Granted, StartCall
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import AnyEvent, Append
from personad.contract.schema import EVENTS, AnyRequest, tag
from personad.kinds import CODE_OF, KINDS, body_of, event_of

from .facts import SPECIMENS, cost, happened, started

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(GOLDEN.glob("*/*"))
EVENT = codec(AnyEvent)
REQUEST = codec(AnyRequest)


def test_every_kind_of_event_has_a_specimen_a_number_and_golden_files_of_this_release() -> None:
    kinds = {tag(kind) for kind in EVENTS}
    assert set(SPECIMENS) == kinds == set(KINDS)
    assert len(set(KINDS.values())) == len(KINDS)
    release = GOLDEN / VERSION.rpartition(".")[0]
    wanted = {f"{name}{end}" for name, end in product(kinds, (".json", ".msgpack", ".disk"))}
    assert {file.name for file in release.iterdir()} == wanted


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_any_release_wrote_is_read_for_ever(file: Path) -> None:
    event = SPECIMENS[file.stem]
    body = file.read_bytes()
    if file.suffix == ".disk":
        found = event_of(KINDS[file.stem], event.id.bytes, body)
    else:
        found = EVENT.decode(body)
    assert found == event


@pytest.mark.parametrize("kind", SPECIMENS)
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_event_survives_the_wire_in_both_encodings(kind: str, encoding: Any) -> None:
    assert EVENT.decode(encode(SPECIMENS[kind], encoding)) == SPECIMENS[kind]


@pytest.mark.parametrize("kind", SPECIMENS)
def test_a_body_of_an_older_release_has_fewer_fields_and_gets_the_defaults(kind: str) -> None:
    event = SPECIMENS[kind]
    fields = msgspec.structs.fields(event)
    required = max(number for number, each in enumerate(fields) if each.required) + 1
    # The first field, the id, has a column of its own.
    values = msgspec.msgpack.decode(_as_array(body_of(event)))
    short = _as_body(values[: max(required, 3) - 1])
    found = event_of(CODE_OF[type(event)], event.id.bytes, short)
    for number, field in enumerate(fields):
        if number < max(required, 3):
            assert getattr(found, field.name) == getattr(event, field.name)
        else:
            assert getattr(found, field.name) == _default(field)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_a_body_of_a_newer_release_has_more_fields_and_they_are_left_out() -> None:
    event = SPECIMENS["goal.cleared"]
    values = msgspec.msgpack.decode(_as_array(body_of(event)))
    longer = _as_body([*values, "new", {"newer": 1}])
    assert event_of(KINDS["goal.cleared"], event.id.bytes, longer) == event


def _as_array(body: bytes) -> bytes:
    """The body with a header that counts what is in it, without the id."""
    if body[0] & 0xF0 == 0x90:
        return bytes([body[0] - 1]) + body[1:]
    size = int.from_bytes(body[1:3], "big") - 1
    return b"\xdc" + size.to_bytes(2, "big") + body[3:]


def _as_body(values: list[Any]) -> bytes:
    size = len(values) + 1
    header = bytes([0x90 | size]) if size < 16 else b"\xdc" + size.to_bytes(2, "big")
    return header + b"".join(msgspec.msgpack.encode(each) for each in values)


def test_unknown_fields_are_ignored() -> None:
    event = SPECIMENS["goal.set"]
    body = json.dumps(json.loads(encode(event, "json")) | {"mood": "fine"}).encode()
    assert EVENT.decode(body) == event


def as_json(event: Any, **changed: Any) -> bytes:
    fields = msgspec.to_builtins(event) | changed
    events = [msgspec.to_builtins(started()), fields]
    return msgspec.json.encode({"type": "append", "events": events})


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"cost_nanousd": -1}, "cost_nanousd", ">= 0"),
        ({"cost_nanousd": 2**63}, "cost_nanousd", "<= 9223372036854775807"),
        ({"cost_nanousd": 2**70}, "cost_nanousd", "9223372036854775807"),
        ({"cost_nanousd": 1.5}, "cost_nanousd", "Expected `int"),
        ({"input_tokens": "many"}, "input_tokens", "Expected `int`"),
        ({"at": "2026-11-23T12:00:00"}, "at", "timezone"),
        ({"at": 5}, "at", "Expected `datetime`"),
        ({"id": "no-uuid"}, "id", "UUID"),
        ({"outcome": "maybe"}, "outcome", "Invalid enum value"),
        ({"batch": "no spaces"}, "batch", "regex"),
        ({"batch": "newline\n"}, "batch", "regex"),
        ({"batch": "../up"}, "batch", "regex"),
        ({"call": ""}, "call", "length >= 1"),
    ],
)
def test_a_malformed_field_is_named_with_its_place(
    changed: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(LedgerError) as refused:
        REQUEST.decode(as_json(cost(), **changed))
    assert refused.value.code == "invalid"
    assert refused.value.field == f"$.events[1].{field}"
    assert words in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (happened(PersonaCompleted), "composite"),
        (SPECIMENS["alert.raised"], "value"),
        (SPECIMENS["alert.configured"], "threshold"),
        (SPECIMENS["goal.set"], "target"),
    ],
)
@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_no_number_is_infinite_or_none_at_all(event: Any, field: str, strange: float) -> None:
    body = msgspec.msgpack.encode(msgspec.to_builtins(event) | {field: strange})
    with pytest.raises(LedgerError) as refused:
        EVENT.decode(body)
    assert refused.value.field == f"$.{field}"


def test_nested_numbers_are_finite_too() -> None:
    fields = msgspec.to_builtins(started())
    fields["retry"]["multiplier"] = math.nan
    with pytest.raises(LedgerError) as refused:
        EVENT.decode(msgspec.msgpack.encode(fields))
    assert refused.value.field == "$.retry.multiplier"


def test_a_seed_fits_what_is_stored() -> None:
    with pytest.raises(LedgerError, match="seed"):
        EVENT.decode(msgspec.json.encode(msgspec.to_builtins(started()) | {"seed": 2**80}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"garbage",
        b"\xc1",
        b"\xff" * 100,
        b'{"type": "cost-everything"}',
        b'{"type": 5}',
        b'{"type": "\xff\xfe"}',
        b'{"type": "\\ud800"}',
        b'{"type":' + b"[" * 100_000,
        b"[1, 2]",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"type": "read", "limit": 0}),
    ],
    ids=range(14),
)
def test_what_is_no_request_is_refused_and_never_more_than_that(body: bytes) -> None:
    with pytest.raises(LedgerError) as refused:
        REQUEST.decode(body)
    assert refused.value.code == "invalid"


def test_an_unknown_type_of_event_is_named() -> None:
    with pytest.raises(LedgerError) as refused:
        REQUEST.decode(as_json(cost(), type="cost.guessed"))
    assert "cost.guessed" in refused.value.message
    assert refused.value.field == "$.events[1].type"


def test_an_append_of_too_many_events_says_so() -> None:
    body = encode(Append(events=[cost()] * (MAX_APPEND_EVENTS + 1)))
    with pytest.raises(LedgerError) as refused:
        REQUEST.decode(body)
    assert (refused.value.code, refused.value.field) == ("too-large", "$.events")


def test_a_message_over_the_limit_says_so() -> None:
    with pytest.raises(LedgerError) as refused:
        REQUEST.decode(b"{" + b" " * MAX_MESSAGE_BYTES)
    assert refused.value.code == "too-large"
    assert "8,388,608" in refused.value.message


def test_a_request_names_its_answers_and_a_failure_may_always_come() -> None:
    answers = reply_codec(StartCall)
    assert answers.decode(encode(Granted(reserved_nanousd=5))) == Granted(reserved_nanousd=5)
    failure = Failure(code="conflict", message="no")
    assert answers.decode(encode(failure, "json")) == failure


def test_derived_ids_follow_from_their_cause_alone() -> None:
    assert derived_id("a", "b", 1) == derived_id("a", "b", 1)
    assert derived_id("ab", 1) != derived_id("a", "b1")


def test_every_field_of_an_event_that_is_optional_comes_after_those_that_are_not() -> None:
    for kind in EVENTS:
        optional = [not each.required for each in msgspec.structs.fields(kind)][3:]
        assert optional == sorted(optional), kind
