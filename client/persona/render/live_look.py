"""What the parts of a live view share: its circumstances, and text that fits into its place."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from . import values

Keys = Literal["none", "watching", "owning"]


class Look(Struct, frozen=True, kw_only=True):
    """Everything that a frame depends on beside the batch."""

    width: int
    """Cells."""
    height: int
    """Lines, at most."""
    now: datetime
    tokens: Mapping[str, int] = {}
    """About how many tokens of its answer have come, by persona that is being answered."""
    top: int | None = None
    """The first row to show; None follows what is being made."""
    plain: bool = False
    """No colour, and bars in ASCII."""
    keys: Keys = "none"
    """Whether keys are listened to, and whether they are those of who started the batch."""
    is_asking: bool = False
    """Whether the last key was `c`, which needs a second one."""
    notice: str | None = None
    """One line that has to be read: why something asked for was not done."""

    def at(self, top: int) -> "Look":
        """The same, scrolled to row `top`."""
        return replace(self, top=top)


def fitted(text: str, cells: int, *, right: bool = False) -> str:
    """`text` in exactly `cells` cells; what is longer ends in an ellipsis."""
    size = cell_len(text)
    if size > cells:
        return shortened(text, cells)
    room = " " * (cells - size)
    return room + text if right else text + room


def shortened(text: str, cells: int) -> str:
    """`text` in at most `cells` cells."""
    if cell_len(text) <= cells:
        return text
    if cells < 2:
        return "…"[:cells]
    # A wide character that would be halved leaves a space in its place.
    return set_cell_size(text, cells - 1).rstrip() + "…"


def line(*parts: tuple[str, str]) -> Text:
    """One line of `(text, style)` parts; a text is only ever letters, never markup."""
    text = Text(no_wrap=True)
    for part, style in parts:
        text.append(part, style or None)
    return text


def packed(parts: Iterable[Text], width: int, gap: int) -> list[Text]:
    """`parts` side by side, on as many lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + gap + part.cell_len <= width:
            lines[-1].append(" " * gap)
            lines[-1].append_text(part)
        else:
            lines.append(part.copy())
    for each in lines:
        each.truncate(width, overflow="ellipsis")
    return lines


def ticking(ms: int) -> str:
    """A time that goes on: whole seconds, as it is drawn once a second."""
    seconds = max(0, ms) // 1_000
    return f"{seconds}s" if seconds < 60 else values.duration(seconds * 1_000)


def ms_between(earlier: datetime, later: datetime) -> int:
    """Never negative: clocks of different processes may differ by a little."""
    return max(0, round((later - earlier).total_seconds() * 1_000))
