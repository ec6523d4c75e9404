"""What a requester says, in whatever pieces it arrives."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.arriving import HOPS, KEPT_BYTES, RECEIVE_MAX_BYTES, Arriving, Malformed
from personad.contract.sp import FRAME, HELLO_OF_A_REQUESTER

LAST = b"\x80\x00\x00\x01"
HOP = b"\x00\x00\x00\x07"

WAYS = st.integers(0, HOPS - 1).map(lambda hops: HOP * hops + LAST)
BODIES = st.binary(max_size=40) | st.sampled_from([b"x" * 5_000, b"y" * (KEPT_BYTES + 1)])
MESSAGES = st.lists(st.tuples(WAYS, BODIES), max_size=8)
CUTS = st.lists(st.integers(0, 30) | st.integers(0, 200_000), max_size=20)


def frame(message: bytes) -> bytes:
    return FRAME.pack(1, len(message)) + message


def said(messages: list[tuple[bytes, bytes]]) -> bytes:
    return HELLO_OF_A_REQUESTER + b"".join(frame(way + body) for way, body in messages)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[begin:end] for begin, end in pairwise(places)]


def heard(parts: list[bytes], *, greedily: bool = True) -> tuple[list[object], bool]:
    """What is taken, as soon as it is there or only at the end; and whether it ended badly."""
    arriving = Arriving()
    taken: list[object] = []
    try:
        for part in parts:
            arriving.feed(part)
            while greedily and arriving.has_some:
                taken.append(arriving.take())
        while arriving.has_some:
            taken.append(arriving.take())
    except Malformed:
        return taken, True
    return taken, False


@given(MESSAGES, CUTS, st.booleans())
def test_however_it_is_cut_the_same_messages_arrive(
    messages: list[tuple[bytes, bytes]], cuts: list[int], greedily: bool
) -> None:
    parts = pieces(said(messages), cuts)
    assert heard(parts, greedily=greedily) == (messages, False)


@given(MESSAGES, st.binary(max_size=60), CUTS, st.booleans())
def test_however_it_is_cut_the_same_comes_of_what_is_no_message(
    messages: list[tuple[bytes, bytes]], noise: bytes, cuts: list[int], greedily: bool
) -> None:
    stream = said(messages) + noise
    whole = heard([stream])
    assert whole[0][: len(messages)] == messages
    assert heard(pieces(stream, cuts), greedily=greedily) == whole


@given(st.binary(min_size=1, max_size=30))
def test_who_greets_as_no_requester_does_is_not_listened_to(words: bytes) -> None:
    greets = HELLO_OF_A_REQUESTER.startswith(words[:8])
    assert heard([words])[1] is not greets or words.startswith(HELLO_OF_A_REQUESTER)


@pytest.mark.parametrize(
    "rest",
    [
        FRAME.pack(2, 4) + LAST,
        FRAME.pack(1, RECEIVE_MAX_BYTES + 1),
        FRAME.pack(1, 2**64 - 1),
        frame(b""),
        frame(b"\x80\x00\x00"),
        frame(HOP),
        frame(HOP + b"abc"),
    ],
    ids=["another kind", "too large", "huge", "empty", "short", "no last number", "cut number"],
)
def test_what_is_no_request_ends_it_after_those_before_it_were_taken(rest: bytes) -> None:
    before = [(LAST, b"first"), (HOP + LAST, b"second")]
    assert heard([said(before) + rest]) == (before, True)


def test_what_goes_in_circles_is_passed_over() -> None:
    circling = frame(HOP * HOPS + LAST + b"again") + frame(HOP * 100_000)
    stream = said([(LAST, b"first")]) + circling + frame(LAST + b"then")
    assert heard([stream]) == ([(LAST, b"first"), None, None, (LAST, b"then")], False)


def test_what_is_announced_takes_no_room() -> None:
    arriving = Arriving()
    arriving.feed(HELLO_OF_A_REQUESTER + FRAME.pack(1, RECEIVE_MAX_BYTES) + LAST)
    assert not arriving.has_some
    assert len(arriving._bytes) < 100


def test_of_a_large_message_nothing_is_kept_when_it_is_taken() -> None:
    arriving = Arriving()
    arriving.feed(said([(LAST, bytes(4 * KEPT_BYTES))]) + frame(LAST + b"next")[:-1])
    assert arriving.take() == (LAST, bytes(4 * KEPT_BYTES))
    assert len(arriving._bytes) < 100
    arriving.feed(b"t")
    assert arriving.take() == (LAST, b"next")
