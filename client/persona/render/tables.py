"""Tables and facts as data: what is shown, apart from the format it is shown in.

A column says how to get its value from a row and what kind of value that is; each format
then asks for the value as people read it (`shown`) or as programs do (`written`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr

from . import values

Row = TypeVar("Row")


class Kind(Struct, frozen=True):
    """How the values of a column are written."""

    shown: Callable[[Any], str]
    written: Callable[[Any], str]
    right: bool = True
    is_text: bool = False
    """May hold what somebody else wrote: spreadsheets must not take it for a formula."""
    folds: bool = False
    """Whether it may go on in a second line between its words; figures don't."""


TEXT = Kind(values.clean, values.clean, right=False, is_text=True, folds=True)
COUNT = Kind(values.count, str)
MONEY = Kind(values.money, lambda nanousd: values.decimal(nanousd, 9))
SPENT = Kind(
    lambda spent: values.spent(*spent),
    lambda spent: values.decimal(spent[0], 9) if spent[0] or not spent[1] else "",
    folds=True,
)
"""Of nano-dollars, and how many calls have no price."""
DURATION = Kind(values.duration, lambda ms: values.decimal(ms, 3))
SCORE = Kind(values.score, str)
SCORE_BESIDE = Kind(
    lambda pair: values.score_beside(*pair),
    lambda pair: str(pair[0]),
)
"""A score and the one that it is held against: the two never look alike unless they are."""
SHARE = Kind(values.percent, str)
WHEN = Kind(values.when, values.rfc3339, right=False, folds=True)


def when_in(timezone: str) -> Kind:
    """Moments as the clocks of the zone that was asked for show them."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    return Kind(lambda moment: values.when(moment, zone), values.rfc3339, right=False, folds=True)


def begin_of(interval: str, timezone: str) -> Kind:
    """Where an hour, day, week or month begins, as replies write it (a date; an hour in UTC)."""
    if interval == "month":
        return Kind(lambda start: start[:7], lambda start: start[:7], right=False, folds=True)
    if interval != "hour":
        return Kind(str, str, right=False, folds=True)
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    return Kind(lambda start: values.hour(start, zone), str, right=False, folds=True)


YES_NO = Kind(
    lambda flag: "yes" if flag else "no", lambda flag: "true" if flag else "false", right=False
)


class Column(Struct, Generic[Row], frozen=True):
    title: str
    """May be the name of a metric, which is whatever another package calls it."""
    value: Callable[[Row], Any]
    """None where the row has none."""
    kind: Kind = TEXT
    style: Callable[[Row], str] | None = None
    """A rich style; on terminals only."""

    def __post_init__(self) -> None:
        force_setattr(self, "title", values.clean(self.title))


class Table(Struct, Generic[Row], frozen=True):
    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    empty: str = ""
    """One line that says what to do next, where there are no rows."""
    narrow: Sequence[Column[Row]] = ()
    """The same told in fewer columns, for a terminal that has no room for them all."""


class Fact(Struct, frozen=True):
    """A labelled line."""

    label: str
    """May be a name that somebody else gave."""
    text: str
    style: str = ""

    def __post_init__(self) -> None:
        force_setattr(self, "label", values.clean(self.label))


class Facts(Struct, frozen=True):
    lines: Sequence[Fact]


class Chart(Struct, frozen=True, kw_only=True):
    """Columns above a line, one a value."""

    title: str
    values: Sequence[float | None]
    """None where there is none: its column stays empty."""
    first: str
    """What stands under the first column."""
    last: str
    amount: Callable[[float], str]
    marked: frozenset[int] = frozenset()
    """Indices of values that get a mark below."""
    from_zero: bool = True
    """Whether the lowest line is 0; otherwise it is a little below the least value."""

    def __post_init__(self) -> None:
        force_setattr(self, "title", values.clean(self.title))


Block = Table[Any] | Facts | Chart
View = Sequence[Block]
"""What a command shows, from top to bottom."""


def shown(column: Column[Row], row: Row) -> str:
    """A cell for people."""
    value = column.value(row)
    return values.NOTHING if value is None else column.kind.shown(value)


def written(column: Column[Row], row: Row) -> str:
    """A cell for programs; empty where there is no value."""
    value = column.value(row)
    return "" if value is None else column.kind.written(value)


def turned(block: Table[Row]) -> Table[Column[Row]]:
    """A row a column, and a column a row: what few rows of many values are told apart by."""
    first, *others = block.columns

    def told(row: Row) -> Column[Column[Row]]:
        return Column(
            shown(first, row),
            lambda column: shown(column, row),
            style=lambda column: column.style(row) if column.style else "",
        )

    titles: Column[Column[Row]] = Column(first.title, lambda column: column.title)
    return Table((titles, *map(told, block.rows)), others)


def narrower(block: Table[Any]) -> Iterator[Table[Any]]:
    """What is tried where a table has no room, the most alike first."""
    if block.narrow:
        yield Table(block.narrow, block.rows)
    if len(block.rows) > 1:
        yield turned(block)


def tables(view: View) -> list[Table[Any]]:
    return [block for block in view if isinstance(block, Table)]
