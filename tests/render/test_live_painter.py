"""Lines in place: whatever was drawn before, the screen shows the last frame and nothing else."""

import io

from hypothesis import given
from hypothesis import strategies as st
from persona.render.painter import Painter
from rich.console import Console
from rich.text import Text

from .live_terminal import Screen

COLUMNS, ROWS = 20, 8

words = st.text(alphabet="ab 日é", max_size=COLUMNS // 2)
frames = st.lists(words, min_size=1, max_size=ROWS - 1)


class Desk:
    """A painter, and the terminal that it paints on."""

    def __init__(self, *, plain: bool = False) -> None:
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=True, color_system="256", no_color=False)
        self.painter = Painter(console, plain=plain)
        self.screen = Screen(COLUMNS, ROWS)

    def draw(self, *lines: str, style: str = "") -> str:
        """Draws, and gives what had to be written for it."""
        self.painter.draw([Text().append(line, style) for line in lines])
        return self.flush()

    def flush(self) -> str:
        written = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        self.screen.feed(written)
        return written


@given(above=st.integers(0, ROWS - 1), drawn=st.lists(frames, min_size=1, max_size=6))
def test_the_screen_shows_the_last_frame_below_what_stood_there(
    above: int, drawn: list[list[str]]
) -> None:
    desk = Desk()
    desk.screen.feed("".join(f"before {n}\r\n" for n in range(above)))

    for lines in drawn:
        desk.draw(*lines)

    last = [line.rstrip() for line in drawn[-1]]
    tallest = max(len(lines) for lines in drawn)
    top = min(above, ROWS - tallest)
    shown = desk.screen.lines
    assert shown[top : top + len(last)] == last
    assert not any(shown[top + len(last) :])
    assert desk.screen.row == top + len(last) - 1


def test_the_same_frame_again_writes_nothing() -> None:
    desk = Desk()
    desk.draw("one", "two")

    assert desk.draw("one", "two") == ""


def test_only_the_line_that_changed_is_written() -> None:
    desk = Desk()
    desk.draw("one", "two", "three")

    written = desk.draw("one", "2", "three")

    assert "2" in written
    assert "one" not in written
    assert "three" not in written


def test_a_line_that_the_terminal_finds_too_long_is_not_folded() -> None:
    desk = Desk()

    desk.draw("x" * (COLUMNS + 5), "next")

    assert desk.screen.lines[:2] == ["x" * COLUMNS, "next"]


def test_a_frame_on_a_narrower_screen_is_taken_away_with_its_folds() -> None:
    desk = Desk()
    desk.draw("x" * 16, "y" * 4)
    narrow = Screen(10, ROWS)
    # The terminal has folded the first line.
    narrow.feed("x" * 10 + "\r\n" + "x" * 6 + "\r\n" + "y" * 4)
    desk.screen = narrow

    desk.painter.forget(10, ROWS)
    desk.flush()
    desk.draw("z")

    assert narrow.text == "z"
    assert narrow.row == 0


def test_nothing_is_taken_away_where_nothing_was_drawn() -> None:
    desk = Desk()

    desk.painter.forget(10, ROWS)
    desk.painter.leave()

    assert desk.flush() == ""


def test_leaving_gives_the_cursor_back_below_the_frame() -> None:
    desk = Desk()
    desk.draw("one", "two")
    assert not desk.screen.cursor_is_shown

    desk.painter.leave()
    desk.flush()

    assert desk.screen.cursor_is_shown
    assert desk.screen.wraps
    assert (desk.screen.row, desk.screen.column) == (2, 0)


def test_colours_are_written_only_where_they_are_wanted() -> None:
    assert "\x1b[31mred" in Desk().draw("red", style="red")
    assert "\x1b[31m" not in Desk(plain=True).draw("red", style="red")


def test_a_screen_of_unknown_size_is_taken_for_a_usual_one() -> None:
    assert Desk().painter.size() == (80, 24)
