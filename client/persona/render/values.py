"""Single values as people read them: money, durations, times, shares; and text made harmless.

Money is integer nano-dollars and durations integer milliseconds; no float comes between.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

NOTHING = "–"
"""Stands where there is no value."""

UNPRICED = "unpriced"
"""Stands where the price of a model isn't known: never as if it were nothing."""

_NANO = 1_000_000_000
_BLOCKS = " ▏▎▍▌▋▊▉█"
_SPARKS = "▁▂▃▄▅▆▇█"
_NO_SPARK = "·"
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, links, and other strings to the terminal
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]?",
    re.DOTALL,
)
_INVISIBLE = frozenset("\u200b\u2028\u2029\u2060\ufeff\u061c\u200e\u200f") | {
    chr(code) for start, end in ((0x202A, 0x202F), (0x2066, 0x206A)) for code in range(start, end)
}
"""Changes the direction or the look of what stands around it; joiners (emoji, scripts) stay."""


def clean(text: str) -> str:
    """`text` on one line, without anything that a terminal obeys or that hides other text."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(_shown(character) for character in _ESCAPES.sub("", text))
    return " ".join(kept.split())


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    if character in _INVISIBLE:
        return ""
    category = unicodedata.category(character)
    if category == "Cc":
        return ""
    return "\ufffd" if category == "Cs" else character


def decimal(value: int, places: int) -> str:
    """The exact decimal number `value` ÷ 10^`places`, without needless zeros."""
    whole, part = divmod(abs(value), 10**places)
    digits = f"{part:0{places}d}".rstrip("0") if part else ""
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def money(nanousd: int) -> str:
    """To the cent from a dollar on, to four decimals from a cent on, below that to two digits."""
    size = abs(nanousd)
    if size >= _NANO:
        places = 2
    elif size >= _NANO // 100 or not size:
        places = 4
    else:
        places = 11 - len(str(size))
    unit = 10 ** (9 - min(places, 9))
    quotient, rest = divmod(size, unit)
    rounded = quotient + (2 * rest > unit or (2 * rest == unit and quotient % 2 == 1))
    return _dollars(rounded * unit, negative=nanousd < 0)


def spent(nanousd: int, unpriced_calls: int) -> str:
    """What is known to be spent, and whether there is more that nobody knows the price of."""
    if not unpriced_calls:
        return money(nanousd)
    return f"{money(nanousd)} + unpriced" if nanousd else UNPRICED


def exact_money(nanousd: int) -> str:
    """To the last nano-dollar, and at least to the cent."""
    return _dollars(abs(nanousd), negative=nanousd < 0)


def _dollars(nanousd: int, *, negative: bool) -> str:
    whole, part = divmod(nanousd, _NANO)
    cents = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if negative else ''}${whole:,}.{cents}"


def duration(ms: int) -> str:
    """`0.4s`, `42s`, `3m 12s`, `2h 05m`, `3d 4h`."""
    if ms < 9_950:
        return f"{(ms + 50) // 100 / 10:.1f}s"
    seconds = (ms + 500) // 1_000
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h"


def size(count_bytes: int) -> str:
    """`512 B`, `1.5 KB`, `8.0 MB`; 1 KB is 1,024 bytes."""
    if count_bytes < 1_024:
        return f"{count_bytes} B"
    amount, units = count_bytes / 1_024, iter(("KB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= 1_023.95 and unit != "TB":
        amount, unit = amount / 1_024, next(units)
    return f"{amount:,.1f} {unit}"


def when(moment: datetime, zone: tzinfo | None = None) -> str:
    """In that zone, or in that of whoever looks, to the second."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def hour(start: str, zone: tzinfo) -> str:
    """Where an hour (RFC 3339) begins in that zone, named where its clock shows the time twice."""
    begin = datetime.fromisoformat(start).astimezone(zone)
    is_twice = begin.replace(fold=0).utcoffset() != begin.replace(fold=1).utcoffset()
    return f"{begin:%Y-%m-%d %H:%M %Z}" if is_twice else f"{begin:%Y-%m-%d %H:%M}"


def rfc3339(moment: datetime) -> str:
    """In UTC, with as many decimals as it has."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(moment: datetime, now: datetime) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`; what lies ahead is `just now` too."""
    minutes = int((now - moment).total_seconds()) // 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // (24 * 60)} days ago"


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def score(value: float) -> str:
    """From 0 to 1, to two decimals."""
    return f"{value:.2f}"


def score_beside(value: float, other: float | None) -> str:
    """As `score`, but with as many decimals as tell it from `other`: 0.7498 is below 0.75."""
    if other is None:
        return score(value)
    told = (f"{value:.{places}f}" for places in (2, 3, 4) if _differ(value, other, places))
    return next(told, score(value))


def _differ(value: float, other: float, places: int) -> bool:
    return f"{value:.{places}f}" != f"{other:.{places}f}"


def percent(share: float) -> str:
    """A share from 0 to 1; what is not quite all is never shown as 100%."""
    rounded = round(share * 100)
    return f"{99 if rounded == 100 and share < 1 else rounded}%"


def bar(share: float, width: int, *, plain: bool = False) -> str:
    """`width` cells, the first `share` (0 to 1, else cut) of them filled; `plain` is ASCII."""
    filled = min(max(share, 0.0), 1.0) * width
    if plain:
        return ("#" * int(filled)).ljust(width, "-")
    eighths = int(filled * 8)
    text = _BLOCKS[8] * (eighths // 8)
    if eighths % 8:
        text += _BLOCKS[eighths % 8]
    return text.ljust(width)


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, from the least to the greatest; `·` where there is none: of spaces
    in a row only one would be shown."""
    known = [value for value in values if value is not None]
    if not known:
        return _NO_SPARK * len(values)
    low, span = min(known), max(known) - min(known)
    steps = len(_SPARKS) - 1
    return "".join(
        _NO_SPARK if value is None else _SPARKS[round((value - low) / span * steps) if span else 0]
        for value in values
    )


def width_of(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
