"""What a measurement comes to: a figure, its limit, and what it stands beside."""

from typing import Literal

from msgspec import Struct

Verdict = Literal["ok", "OVER", "UNDER", ""]


class Interval(Struct, frozen=True):
    """Between which values the figure lies; which interval that is, the detail says."""

    low: float
    high: float


class Figure(Struct, frozen=True, kw_only=True):
    """One measured value."""

    name: str
    value: float
    limit: float | None
    """In `unit`; None where the figure is only told."""
    unit: str
    """`×` for a ratio."""
    peer: str
    """What did the same, or the least that had to be done, in the same run; and its figure."""
    detail: str
    """How it was measured: sizes, counts, what else was seen."""
    interval: Interval | None = None
    at_least: bool = False
    """Whether the limit is the least that is good, and not the most."""

    @property
    def verdict(self) -> Verdict:
        """Exactly at the limit is within it; a figure without one has no verdict."""
        if self.limit is None:
            return ""
        if self.at_least:
            return "ok" if self.value >= self.limit else "UNDER"
        return "ok" if self.value <= self.limit else "OVER"


def beside(what: str, peer: float, value: float, unit: str) -> str:
    """A peer as the table shows it: what it is, its figure, and how many times that `value` is."""
    times = f", {value / peer:.3g} ×" if peer else ""
    return f"{what}: {peer:.3g} {unit}{times}"
