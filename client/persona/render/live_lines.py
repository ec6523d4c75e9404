"""What is said of a running batch line by line: to logs, to programs, and at its end."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from persona.outcome import in_flight
from personad.contract.batch import (
    BatchCost,
    BatchState,
    BatchStatus,
    Counts,
    Eta,
    PersonaRow,
)

from . import values
from .document import render

ENDED = frozenset({"completed", "failed"})


class Change(Struct, frozen=True, kw_only=True):
    """A line of `--progress json`: one persona's change, or one of the batch itself."""

    at: datetime
    batch: str
    status: BatchStatus
    reason: str | None
    held_until: datetime | None
    total: int
    counts: Counts
    elapsed_ms: int
    eta_ms: Eta | None
    cost: BatchCost
    quality: float | None
    persona: PersonaRow | None


class Arriving(Struct, frozen=True, kw_only=True):
    """A line of `--progress json` while answers stream."""

    at: datetime
    batch: str
    tokens: dict[str, int]
    """About how many of its answer have come, by persona that is being answered."""


class Seen:
    """What has been told of a batch, so that each change is told once.

    A watch changes its rows in place: what they were before has to be kept here.
    """

    def __init__(self) -> None:
        self._rows: dict[int, PersonaRow] = {}
        self._about: tuple[object, ...] = ()
        self._tokens: dict[str, int] = {}
        self._held: tuple[str | None, datetime | None] = (None, None)

    def changed(self, state: BatchState) -> list[PersonaRow]:
        """The personas that are not what they were; waiting ones are nothing new."""
        found = [
            row
            for row in state.personas
            if self._rows.get(row.index) != row
            and (row.status != "pending" or row.index in self._rows)
        ]
        self._rows.update((row.index, row) for row in found)
        return found

    def is_news(self, state: BatchState) -> bool:
        """Whether the batch itself has changed, beside its personas."""
        about = (
            state.status,
            state.reason,
            state.held_until,
            state.cost.spent_nanousd,
            state.cost.budget_nanousd,
        )
        before, self._about = self._about, about
        return before != about

    def held(self, state: BatchState) -> str | None:
        """Why no call is started now, if that is news."""
        is_held = state.status == "running" and state.reason is not None
        now_is = (state.reason, state.held_until) if is_held else (None, None)
        before, self._held = self._held, now_is
        return state.reason if is_held and before != now_is else None

    def arrived(self, tokens: Mapping[str, int]) -> dict[str, int]:
        """Of which answers more has come."""
        found = {who: count for who, count in tokens.items() if self._tokens.get(who) != count}
        self._tokens = dict(tokens)
        return found


def json_lines(state: BatchState, seen: Seen, tokens: Mapping[str, int]) -> list[str]:
    """One object for each persona that changed; one where only the batch did, or tokens came."""
    rows: Sequence[PersonaRow | None] = seen.changed(state)
    if seen.is_news(state) and not rows:
        rows = [None]
    lines = [render(_change(state, row)).decode() for row in rows]
    arrived = seen.arrived(tokens)
    if arrived:
        told = Arriving(at=datetime.now(UTC), batch=state.batch, tokens=arrived)
        lines.append(render(told).decode())
    return lines


def _change(state: BatchState, row: PersonaRow | None) -> Change:
    return Change(
        at=state.as_of,
        batch=state.batch,
        status=state.status,
        reason=state.reason,
        held_until=state.held_until,
        total=state.total,
        counts=state.counts,
        elapsed_ms=state.elapsed_ms,
        eta_ms=state.eta_ms,
        cost=state.cost,
        quality=state.quality,
        persona=row,
    )


def plain_lines(state: BatchState, seen: Seen) -> list[str]:
    """One line for each persona that has ended since the last time, and for each hold-up."""
    ended = [row for row in seen.changed(state) if row.status in ENDED]
    done = state.counts.completed + state.counts.failed - len(ended)
    wide = len(str(state.total))
    held = seen.held(state)
    until = f" until {values.when(state.held_until)}" if state.held_until is not None else ""
    told = [f"held: {values.clean(held)}{until}; it goes on by itself"] if held else []
    return told + [
        f"[{done + place:>{wide}}/{state.total}] {_told(row)}"
        for place, row in enumerate(ended, start=1)
    ]


def _told(row: PersonaRow) -> str:
    who = values.clean(row.persona)
    if row.status == "failed":
        why = values.clean(f"{row.error.kind}: {row.error.message}") if row.error else "no reason"
        return f"failed     {who}  after {_attempts(row.attempts)}: {why}"
    parts = [
        f"completed  {who}  {values.clean(row.name or '')}".rstrip(),
        values.duration(row.duration_ms or 0),
        f"quality {values.score(row.quality)}" if row.quality is not None else "",
        values.UNPRICED if row.cost_nanousd is None else values.money(row.cost_nanousd),
    ]
    return "  ".join(part for part in parts if part)


def _attempts(number: int) -> str:
    return f"{number} attempt{'' if number == 1 else 's'}"


def result_line(state: BatchState, cwd: str) -> str:
    """How a batch ended, or stands: personas, time, cost, quality, and where they are."""
    counts = state.counts
    failed = f", {values.count(counts.failed)} failed" if counts.failed else ""
    made = f"{values.count(counts.completed)} of {values.count(state.total)} personas completed"
    stands = "" if state.status in ("completed", "partial") else f"{_standing(state)}: "
    quality = f"mean quality {values.score(state.quality)}" if state.quality is not None else ""
    parts = [
        f"{stands}{made}{failed}",
        values.duration(state.elapsed_ms),
        values.spent(state.cost.spent_nanousd, state.usage.unpriced_calls),
        _maybe_more(state),
        quality,
        values.clean(_near(state.output, cwd)) if counts.completed else "",
    ]
    return " · ".join(_some(parts))


def _maybe_more(state: BatchState) -> str:
    """Calls whose answers never came, or that a cancel gave up, may have been paid for."""
    unsettled = state.cost.unresolved_nanousd + state.cost.reserved_nanousd
    return f"up to {values.money(unsettled)} more unsettled" if unsettled else ""


def _standing(state: BatchState) -> str:
    by = values.clean(state.reason or "")
    return f"{state.status} ({by})" if by and by != "user" else state.status


def _some(parts: Iterable[str]) -> list[str]:
    return [part for part in parts if part]


def _near(path: str, cwd: str) -> str:
    """`path` as somebody in `cwd` would write it, where that is shorter."""
    relative = os.path.relpath(path, cwd)
    return path if relative.startswith("..") else relative


def pausing_line(state: BatchState) -> str:
    """What happens after a pause was asked for."""
    flying = in_flight(state)
    what = f"{flying} in flight will be finished first" if flying else "nothing is in flight"
    return f"pausing: {what}; Ctrl-C again within 2 seconds leaves at once"


def resume_line(state: BatchState) -> str:
    """How to go on later with a batch that stands still, or is about to."""
    return f"resume it with: persona generate --resume {state.batch}"


def detach_lines(state: BatchState) -> list[str]:
    """What goes on without anybody looking, what it will still cost, and the way back."""
    cost = state.cost
    if state.status in ("paused", "interrupted"):
        return [f"{state.batch} stands still; nothing more is spent", resume_line(state)]
    left = (cost.projected_nanousd or 0) - cost.spent_nanousd
    if cost.projected_nanousd is None:
        spending = "what it will still spend is not known yet"
    else:
        spending = f"about {values.money(max(0, left))} is still to be spent"
    return [
        f"{state.batch} goes on without this view; {spending}",
        f"come back with: persona batch watch {state.batch}",
    ]
