"""Keys, one by one, and a terminal that is given back."""

import os
import pty
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.keyboard import HungUp, Keyboard, Read, parse


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends: the one that somebody types at, and the one that a program reads."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for descriptor in (ours, theirs):
        try:
            os.close(descriptor)
        except OSError:
            continue


def local_modes(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[3])


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("p", ["p"]),
        ("pq", ["p", "q"]),
        ("\x1b[A", ["up"]),
        ("\x1bOB", ["down"]),
        ("\x1b[5~\x1b[6~", ["page-up", "page-down"]),
        ("\x1b[Hx\x1b[F", ["home", "x", "end"]),
        ("\x1b[1;5Cx", ["x"]),
        ("\x1b[200~x", ["x"]),
        ("\x1bx", ["x"]),
        ("\x1b\x1b[A", ["up"]),
        ("é", ["é"]),
        ("\x1b[" + "1" * 40, ["1"] * 10),
    ],
)
def test_what_was_typed(typed: str, keys: list[str]) -> None:
    assert parse(typed) == Read(keys)


@pytest.mark.parametrize("cut", ["\x1b", "\x1b[", "\x1b[5", "\x1bO"])
def test_half_a_key_waits_for_the_rest(cut: str) -> None:
    assert parse("x" + cut) == Read(["x"], cut)


@given(st.lists(st.sampled_from(["p", "\x1b[A", "\x1b[5~", "\x1bOF", "\x1b[9;9X"])), st.data())
def test_keys_are_the_same_however_they_arrive(typed: list[str], data: st.DataObject) -> None:
    whole = "".join(typed)
    at = data.draw(st.integers(0, len(whole)))

    first = parse(whole[:at])
    second = parse(first.rest + whole[at:])

    assert first.keys + second.keys == parse(whole).keys


def test_keys_are_read_without_a_line_end_and_without_an_echo(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    with Keyboard(theirs) as keyboard:
        os.write(ours, b"p\x1b[")
        assert keyboard.read() == ["p"]
        os.write(ours, b"A")
        assert keyboard.read() == ["up"]
        assert keyboard.fileno() == theirs
        assert not local_modes(theirs) & (termios.ICANON | termios.ECHO)
        assert local_modes(theirs) & termios.ISIG


def test_the_terminal_is_given_back_whatever_happens(terminal: tuple[int, int]) -> None:
    _, theirs = terminal
    before = local_modes(theirs)

    with pytest.raises(ZeroDivisionError), Keyboard(theirs):
        raise ZeroDivisionError

    assert local_modes(theirs) == before


def test_it_can_be_given_back_in_between(terminal: tuple[int, int]) -> None:
    _, theirs = terminal
    before = local_modes(theirs)
    with Keyboard(theirs) as keyboard:
        keyboard.release()
        assert local_modes(theirs) == before
        assert not keyboard.is_held
        keyboard.hold()
        assert local_modes(theirs) != before
    assert local_modes(theirs) == before


def test_a_terminal_that_is_gone_has_hung_up(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    with Keyboard(theirs) as keyboard:
        os.close(ours)
        with pytest.raises(HungUp):
            keyboard.read()


def test_a_terminal_that_is_gone_need_not_be_given_back(terminal: tuple[int, int]) -> None:
    _, theirs = terminal
    with Keyboard(theirs):
        os.close(theirs)


def test_what_is_no_terminal_has_no_keys() -> None:
    read, write = os.pipe()
    with pytest.raises(termios.error):
        Keyboard(read)
    os.close(read)
    os.close(write)
