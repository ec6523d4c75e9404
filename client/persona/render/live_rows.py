"""The rows of a live view: which ones are in sight, and what each says."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from personad.contract.batch import PersonaRow

from . import values
from .batches import STATUS_STYLES
from .live_look import Look, fitted, line, ms_between, shortened, ticking

ACTIVE = frozenset({"generating", "validating", "retrying"})

_STACKED_BELOW = 74
"""Columns of a screen on which a persona takes two lines."""
_REASON_BESIDE = 36
"""Cells that a reason needs to stand beside the rest of its row; else it stands below."""
_ROOMY = 96
"""Columns of a screen from which on ids as they are leave enough room for names."""
_ID_MOST, _ID_LEAST = 20, 12
_ID_BEGINS = "persona-"
"""Said of no persona in particular: left out where there is no room."""
_STATUS, _TIME, _QUALITY, _SCORE, _COST = 10, 7, 7, 4, 8
_MEASURED = 100
_CENT = 10_000_000
_GAP = "  "
_ANY_TIME = datetime.min.replace(tzinfo=UTC)


class Window(Struct, frozen=True):
    """The rows in sight: those from `top` to before `end`."""

    top: int
    end: int


class Columns(Struct, frozen=True):
    """Widths in cells that depend on what is shown."""

    number: int
    persona: int
    rest: int
    """What is left for a name or a reason; 0 where each persona takes two lines."""

    @property
    def is_stacked(self) -> bool:
        return not self.rest


def columns_of(rows: Sequence[PersonaRow], total: int, look: Look) -> Columns:
    number = max(2, len(str(total)))
    # Ids are alike; in a batch of thousands, measuring each for every frame would take its time.
    some = rows[:_MEASURED]
    longest = max((cell_len(values.clean(row.persona)) for row in some), default=2)
    if look.width < _STACKED_BELOW:
        taken = number + _TIME + _SCORE + _COST + 4
        return Columns(number, max(2, min(longest, _ID_LEAST, look.width - taken)), 0)
    persona = max(2, min(longest, _ID_MOST if look.width >= _ROOMY else _ID_LEAST))
    taken = number + persona + _STATUS + _TIME + _QUALITY + _COST + 6 * len(_GAP)
    return Columns(number, persona, max(1, look.width - taken))


def heading(columns: Columns, look: Look) -> list[Text]:
    """The titles of the columns."""
    if columns.is_stacked:
        first = f"{fitted('#', columns.number, right=True)} Name"
        second = (
            f"{'':{columns.number}} {fitted('ID', columns.persona)} {'Time':>{_TIME}} "
            f"{'Qual':>{_SCORE}} {'Cost':>{_COST}}"
        )
        both = (fitted(first, look.width - 6) + "Status", second)
        return [line((shortened(text, look.width), "bold")) for text in both]
    titles = _GAP.join(
        (
            fitted("#", columns.number, right=True),
            fitted("ID", columns.persona),
            fitted("Status", _STATUS),
            fitted("Time", _TIME, right=True),
            fitted("Quality", _QUALITY, right=True),
            fitted("Cost", _COST, right=True),
            fitted("Name", columns.rest).rstrip(),
        )
    )
    return [line((shortened(titles, look.width), "bold"))]


def row_lines(row: PersonaRow, columns: Columns, look: Look) -> list[Text]:
    """One persona, on as many lines as `row_height` says; not to be changed by whoever gets it."""
    if row.status in ACTIVE:
        return _drawn(row, columns, look)
    return _settled(row, columns, look.width)


@lru_cache(maxsize=1_024)
def _settled(row: PersonaRow, columns: Columns, width: int) -> list[Text]:
    """A row that looks the same at any time; most of those in sight are such."""
    return _drawn(row, columns, Look(width=width, height=0, now=_ANY_TIME))


def _drawn(row: PersonaRow, columns: Columns, look: Look) -> list[Text]:
    lines = (_stacked if columns.is_stacked else _one_line)(row, columns, look)
    for each in lines:
        each.truncate(look.width)
    return lines


def _one_line(row: PersonaRow, columns: Columns, look: Look) -> list[Text]:
    """With its reason below, where there is no room for that beside."""
    style = STATUS_STYLES[row.status]
    faint = "dim" if row.status == "pending" else ""
    name, reason = _name(row, look), _reason(row, look)
    beside = reason if reason and columns.rest >= _REASON_BESIDE else name
    drawn = line(
        (fitted(str(row.index), columns.number, right=True) + _GAP, "dim"),
        (_id(row, columns) + _GAP, faint),
        (fitted(row.status, _STATUS) + _GAP, style),
        (fitted(_time(row, look), _TIME, right=True) + _GAP, faint),
        (fitted(_quality(row), _QUALITY, right=True) + _GAP, _quality_style(row) or faint),
        (fitted(_cost(row), _COST, right=True), faint),
        *_last((beside, style if beside is reason else ""), columns.rest),
    )
    if not reason or beside is reason:
        return [drawn]
    return [drawn, _below(reason, style, columns, look)]


def row_height(row: PersonaRow, columns: Columns) -> int:
    """Lines that the row takes."""
    if columns.is_stacked:
        return 2 + _has_reason(row)
    return 1 + (_has_reason(row) and columns.rest < _REASON_BESIDE)


def window(rows: Sequence[PersonaRow], columns: Columns, room: int, top: int | None) -> Window:
    """The rows that fit into `room` lines from row `top` on; None follows the active ones."""
    room = max(0, room)
    below = [0, *accumulate(row_height(row, columns) for row in rows)]
    if below[-1] <= room:
        return Window(0, len(rows))
    if top is None:
        top = _followed(rows, below, room)
    lowest = bisect_right(below, below[-1] - room - 1)
    top = max(0, min(top, lowest))
    return Window(top, bisect_right(below, below[top] + room) - 1)


def _followed(rows: Sequence[PersonaRow], below: list[int], room: int) -> int:
    """The top row of the sight with the most active rows in it, or the most recent ones."""
    active = _places(rows, ACTIVE) or _places(rows, {"paused"})
    if not active:
        # Nothing goes on: what comes next, else what has gone wrong.
        active = (_places(rows, {"pending"}) or _places(rows, {"failed"}) or [0])[:1]
    best, most = active[0], 0
    for number, first in enumerate(active):
        seen = bisect_right(active, bisect_right(below, below[first] + room) - 2) - number
        if seen > most:
            best, most = first, seen
    last = active[active.index(best) + max(most, 1) - 1]
    # What is left of the room shows what went before, a third of it at most.
    spare = min(room // 3, room - (below[last + 1] - below[best]))
    while best and below[best] - below[best - 1] <= spare:
        best -= 1
        spare -= below[best + 1] - below[best]
    return best


def _places(rows: Sequence[PersonaRow], statuses: Collection[str]) -> list[int]:
    return [place for place, row in enumerate(rows) if row.status in statuses]


def _stacked(row: PersonaRow, columns: Columns, look: Look) -> list[Text]:
    style = STATUS_STYLES[row.status]
    faint = "dim" if row.status == "pending" else ""
    status = row.status
    room = look.width - columns.number - 2 - len(status)
    name = _name(row, look) or values.NOTHING
    lines = [
        line(
            (fitted(str(row.index), columns.number, right=True) + " ", "dim"),
            (fitted(name, room) + " ", faint),
            (status, style),
        ),
        line(
            (" " * columns.number + " ", ""),
            (_id(row, columns) + " ", "dim"),
            (fitted(_time(row, look), _TIME, right=True) + " ", faint),
            (fitted(_quality(row), _SCORE, right=True) + " ", _quality_style(row) or faint),
            (fitted(_cost(row), _COST, right=True), faint),
        ),
    ]
    if reason := _reason(row, look):
        lines.append(_below(reason, style, columns, look))
    return lines


def _below(reason: str, style: str, columns: Columns, look: Look) -> Text:
    indent = columns.number + (1 if columns.is_stacked else len(_GAP))
    return line((" " * indent + shortened(reason, look.width - indent), style))


def _last(part: tuple[str, str], room: int) -> list[tuple[str, str]]:
    text, style = part
    return [(_GAP + shortened(text, room), style)] if text else []


def _has_reason(row: PersonaRow) -> bool:
    return row.error is not None and row.status in ("failed", "retrying", "paused")


def _reason(row: PersonaRow, look: Look) -> str:
    """Why a persona failed, or waits for its next attempt, and how long."""
    if row.error is None or not _has_reason(row):
        return ""
    why = values.clean(f"{row.error.kind}: {row.error.message}")
    tries = f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}"
    if row.status == "retrying" and row.retry_at is not None:
        left = ms_between(look.now, row.retry_at)
        until = f"{row.retry_at.astimezone():%H:%M:%S}"
        if row.error.kind == "rate_limit" and left:
            said = values.clean(row.error.message)
            return f"rate limit until {until}, in {ticking(left + 999)}: {said}"
        again = f"again in {ticking(left + 999)}, at {until}" if left else "again now"
        return f"{again}: {why} (attempt {row.attempts})"
    return f"{why} (after {tries})"


def _name(row: PersonaRow, look: Look) -> str:
    """The persona's name; while it has none, how much of its answer has come."""
    if row.name:
        return values.clean(row.name)
    tokens = look.tokens.get(row.persona) if row.status == "generating" else None
    return f"{values.plural(tokens, 'token')} so far" if tokens else ""


def _id(row: PersonaRow, columns: Columns) -> str:
    text = values.clean(row.persona)
    if cell_len(text) > columns.persona:
        text = text.removeprefix(_ID_BEGINS)
    return fitted(text, columns.persona)


def _time(row: PersonaRow, look: Look) -> str:
    if row.duration_ms is not None:
        return values.duration(row.duration_ms)
    if row.status in ("generating", "validating") and row.started_at is not None:
        return ticking(ms_between(row.started_at, look.now))
    return values.NOTHING


def _quality(row: PersonaRow) -> str:
    return values.NOTHING if row.quality is None else values.score(row.quality)


def _quality_style(row: PersonaRow) -> str:
    if row.accepted is None:
        return ""
    return "green" if row.accepted else "yellow"


def _cost(row: PersonaRow) -> str:
    """In eight cells: amounts too small for them are `<$0.0001`, too large ones whole dollars."""
    if row.cost_nanousd is None:
        return values.UNPRICED
    if not row.cost_nanousd and row.status != "completed":
        return values.NOTHING
    text = values.money(row.cost_nanousd)
    if len(text) <= _COST:
        return text
    return "<$0.0001" if row.cost_nanousd < _CENT else f"${row.cost_nanousd // (100 * _CENT):,}"
