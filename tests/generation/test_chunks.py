"""Chunks that are made one: the same body, whatever their sizes and wherever they are cut."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.providers.chunks import LAST, begins_chunk, merged

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def body_of(received: bytes) -> tuple[list[bytes], bool]:
    """The pieces that a reader finds in the body, and whether it ends."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(HEAD + received)
    pieces, event = [], reader.next_event()
    while not isinstance(event, type) and not isinstance(event, h11.EndOfMessage):
        if isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
        event = reader.next_event()
    return pieces, isinstance(event, h11.EndOfMessage)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.booleans(), st.integers(0, 1_000)
)
def test_the_body_is_the_same_and_no_more_is_kept_back_than_has_not_ended(
    parts: list[bytes], is_ended: bool, cut: int
) -> None:
    received = (framed(*parts) + LAST * is_ended)[:cut]

    found = merged(received)

    assert found.is_plain
    pieces, ended = body_of(received)
    again, ended_again = body_of(found.whole + found.rest)
    assert (b"".join(again), ended_again) == (b"".join(pieces), ended)
    assert found.is_last == ended
    whole, _ = body_of(found.whole)
    assert len(whole) == bool(whole)
    assert b"".join(whole) == b"".join(parts[: sum(_ends(parts, len(received)))])


def _ends(parts: list[bytes], size: int) -> list[bool]:
    """Of each part whether its chunk ends within so many bytes."""
    return [len(framed(*parts[: at + 1])) <= size for at in range(len(parts))]


@given(
    st.lists(st.binary(min_size=1, max_size=9), max_size=3),
    st.lists(
        st.binary(max_size=12)
        | st.sampled_from(
            [b"5;a=b\r\nhello\r\n", b"a: b\r\n\r\n", b"3\r\nabcd", b"1\r\na\r\n", b"0\r\n", LAST]
        ),
        max_size=3,
    ),
)
def test_whoever_reads_finds_the_same_of_what_is_no_plain_body(
    parts: list[bytes], strange: list[bytes]
) -> None:
    received = framed(*parts) + b"".join(strange)

    found = merged(received)

    assert told_of(found.whole + found.rest) == told_of(received)


def told_of(received: bytes) -> tuple[bytes, bool] | str:
    try:
        pieces, is_ended = body_of(received)
    except h11.RemoteProtocolError as error:
        return str(error)
    return b"".join(pieces), is_ended


@pytest.mark.parametrize(
    ("strange", "rest"),
    [
        (b"5;a=b\r\nhello\r\n", b"5;a=b\r\nhello\r\n"),
        (b"0\r\na: b\r\n\r\n", b"0\r\na: b\r\n\r\n"),
        (b"3\r\nabcdef", b"3\r\nabcdef"),
        (b"no number\r\n", b"no number\r\n"),
        (b"123456789\r\n", b"123456789\r\n"),
        (b"12345678901", b"12345678901"),
    ],
)
def test_extensions_trailers_and_mistakes_are_left_to_who_reads(
    strange: bytes, rest: bytes
) -> None:
    found = merged(framed(b"a", b"b") + strange)

    assert (found.whole, found.rest, found.is_plain) == (b"2\r\nab\r\n", rest, False)


@pytest.mark.parametrize(
    ("received", "begins"),
    [
        (HEAD, True),
        (HEAD + framed(b"a", b"b"), True),
        (HEAD + framed(b"a")[:-1], False),
        (HEAD + framed(b"a") + LAST, False),
        (HEAD + b"5;a=b\r\n", False),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HEAD + framed(b"a"), True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", False),
        (HEAD.replace(b"1.1", b"1.0"), False),
        (HEAD.replace(b"chunked", b"gzip, chunked"), False),
        (HEAD[:-2], False),
        (HEAD.replace(b"\r\n", b"\n"), False),
        (b"", False),
    ],
)
def test_where_a_chunk_begins_is_known_from_all_that_came_before(
    received: bytes, begins: bool
) -> None:
    assert begins_chunk(received) is begins
