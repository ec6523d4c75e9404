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
from personad.contract.events import AnyEvent, Append, Exported, Import, check_event, check_request
from personad.contract.schema import EVENTS, AnyRequest, tag
from personad.kinds import CODE_OF, KINDS, body_of, event_of, microseconds
from tests.make_golden import WORDS

from .facts import SPECIMENS, cost, happened, started

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(file for file in GOLDEN.glob("*/*") if file.name != WORDS)
EVENT = codec(AnyEvent, check_event)
REQUEST = codec(AnyRequest, check_request)


def test_every_kind_of_event_has_a_specimen_a_number_and_golden_files_of_this_release() -> None:
    kinds = {tag(kind) for kind in EVENTS}
    assert set(SPECIMENS) == kinds == set(KINDS)
    assert len(set(KINDS.values())) == len(KINDS)
    release = GOLDEN / VERSION.rpartition(".")[0]
    wanted = {f"{name}{end}" for name, end in product(kinds, (".json", ".msgpack", ".disk"))}
    assert {file.name for file in release.iterdir()} == wanted | {WORDS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_any_release_wrote_is_read_for_ever(file: Path) -> None:
    event = SPECIMENS[file.stem]
    body = file.read_bytes()
    if file.suffix == ".disk":
        words = json.loads((file.parent / WORDS).read_text())
        at = microseconds(event.at)
        found = event_of(KINDS[file.stem], event.id.bytes, at, body, lambda key: words[key - 1])
    else:
        found = EVENT.decode(body)
    assert found == event


@pytest.mark.parametrize("kind", SPECIMENS)
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_event_survives_the_wire_in_both_encodings(kind: str, encoding: Any) -> None:
    assert EVENT.decode(encode(SPECIMENS[kind], encoding)) == SPECIMENS[kind]


class Words:
    """Numbers for texts, as a ledger gives them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def text(self, number: int) -> str:
        return self.texts[number]


def read_back(event: Any, values: list[Any], words: Words) -> Any:
    body = msgspec.msgpack.encode(values)
    at = microseconds(event.at)
    return event_of(CODE_OF[type(event)], event.id.bytes, at, body, words.text)


@pytest.mark.parametrize("kind", SPECIMENS)
def test_a_body_of_an_older_release_has_fewer_fields_and_gets_the_defaults(kind: str) -> None:
    event, words = SPECIMENS[kind], Words()
    fields = msgspec.structs.fields(event)
    kept = max(number for number, each in enumerate(fields) if each.required) + 1
    # The first fields, id and time, have columns of their own.
    values = msgspec.msgpack.decode(body_of(event, words.number), strict=False)
    found = read_back(event, values[: max(kept, 2) - 2], words)
    for number, field in enumerate(fields):
        if number < max(kept, 2):
            assert getattr(found, field.name) == getattr(event, field.name)
        else:
            assert getattr(found, field.name) == _default(field)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_a_body_of_a_newer_release_has_more_fields_and_they_are_left_out() -> None:
    event, words = SPECIMENS["goal.cleared"], Words()
    values = msgspec.msgpack.decode(body_of(event, words.number))
    assert read_back(event, [*values, "new", {"newer": 1}], words) == event


def test_what_repeats_in_every_event_lies_on_disk_as_a_number() -> None:
    body = body_of(SPECIMENS["quality.scored"], Words().number)
    for text in (b"anthropic", b"faithfulness", b"builtin"):
        assert text not in body


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


@pytest.mark.parametrize("batch", ["no spaces", "newline\n", "", "-a", "a" * 101, "é"])
def test_a_bills_batch_is_refused_in_the_words_that_every_batch_is(batch: str) -> None:
    bill = msgspec.structs.replace(cost(), batch=batch)
    step = happened(PersonaCompleted, batch=batch)
    told: list[tuple[str | None, str]] = []
    for event in (bill, step):
        with pytest.raises(LedgerError) as refused:
            REQUEST.decode(encode(Append(events=[started(), event])))
        told.append((refused.value.field, refused.value.message))
        with pytest.raises(LedgerError) as refused:
            REQUEST.decode(encode(Import(items=[Exported(event=event)]), "json"))
        told.append((refused.value.field, refused.value.message))
        with pytest.raises(LedgerError) as refused:
            EVENT.decode(encode(event))
        told.append((refused.value.field, refused.value.message))
    assert told[:3] == told[3:]
    assert [field for field, _ in told[:3]] == [
        "$.events[1].batch",
        "$.items[0].event.batch",
        "$.batch",
    ]


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
