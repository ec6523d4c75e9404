from hypothesis import given
from hypothesis import strategies as st
from persona.generation.providers.framing import Framer

EVENTS = (
    b': a comment\r\n\r\nevent: a\r\ndata: {"a": 1}\r\n\r\n'
    b'data:{"b":\ndata: 2}\nid: 7\n\n\n\ndata: [DONE]\n\n'
)
FOUND = [b'{"a": 1}', b'{"b":\n2}', b"[DONE]"]


def framed(stream: bytes, cuts: list[int], *, events: bool) -> list[bytes]:
    framer, found, start = Framer(events=events), [], 0
    for end in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        found += framer.feed(stream[start:end])
        start = end
    return found + framer.end()


@given(st.lists(st.integers(0, 200)))
def test_events_are_the_same_however_the_bytes_are_parcelled(cuts: list[int]) -> None:
    assert framed(EVENTS, cuts, events=True) == FOUND


@given(st.lists(st.integers(0, 200)))
def test_lines_are_the_same_however_the_bytes_are_parcelled(cuts: list[int]) -> None:
    assert framed(b'{"a": 1}\n\n{"b": 2}\r\n{"c"', cuts, events=False) == [
        b'{"a": 1}',
        b'{"b": 2}\r',
        b'{"c"',
    ]


def test_an_event_without_the_blank_line_after_it_is_taken_at_the_end() -> None:
    framer = Framer(events=True)
    assert framer.feed(b"data: 1") == []
    assert framer.end() == [b"1"]
