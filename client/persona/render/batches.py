"""How batches look: the lines of `batch list`, and one batch in full."""

from personad.contract.batch import (
    BatchListReply,
    BatchState,
    BatchStatus,
    BatchSummary,
    Eta,
    PersonaRow,
)

from . import values
from .tables import COUNT, DURATION, SCORE, SPENT, TEXT, WHEN, Column, Fact, Facts, Table, View

_RANGE_FROM = 1.5
"""An estimate is a range where its high end is more than so many times its low one."""

STATUS_STYLES: dict[str, str] = {
    "queued": "dim",
    "pending": "dim",
    "running": "cyan",
    "generating": "cyan",
    "validating": "cyan",
    "pausing": "yellow",
    "paused": "yellow",
    "retrying": "yellow",
    "interrupted": "yellow",
    "completed": "green",
    "partial": "yellow",
    "failed": "red",
    "cancelled": "dim",
}
"""How the states of batches and personas are coloured, here and in the live view."""

LIST_COLUMNS: tuple[Column[BatchSummary], ...] = (
    Column("Batch", lambda row: row.batch, TEXT),
    Column("Experiment", lambda row: row.experiment),
    Column("Status", lambda row: row.status, style=lambda row: STATUS_STYLES[row.status]),
    Column("Provider", lambda row: row.provider),
    Column("Model", lambda row: row.model),
    Column("Total", lambda row: row.total, COUNT),
    Column("Completed", lambda row: row.completed, COUNT),
    Column("Failed", lambda row: row.failed, COUNT),
    Column("Started", lambda row: row.started_at, WHEN),
    Column("Cost", lambda row: (row.cost_nanousd or 0, row.cost_nanousd is None), SPENT),
)

_NARROW_COLUMNS: tuple[Column[BatchSummary], ...] = (
    *LIST_COLUMNS[:3],
    Column("Model", lambda row: f"{row.provider}/{row.model}"),
    Column("Done", lambda row: _completed(row)),
    *LIST_COLUMNS[-2:],
)

PERSONA_COLUMNS: tuple[Column[PersonaRow], ...] = (
    Column("#", lambda row: row.index, COUNT),
    Column("ID", lambda row: row.persona),
    Column("Name", lambda row: row.name),
    Column("Status", lambda row: row.status, style=lambda row: STATUS_STYLES[row.status]),
    Column("Attempts", lambda row: row.attempts, COUNT),
    Column("Time", lambda row: row.duration_ms, DURATION),
    Column("Quality", lambda row: row.quality, SCORE),
    Column("Cost", lambda row: (row.cost_nanousd or 0, row.cost_nanousd is None), SPENT),
    Column("Error", lambda row: _error(row)),
)


def batch_list(reply: BatchListReply, statuses: tuple[BatchStatus, ...] = ()) -> View:
    asked = f" that is {' or '.join(statuses)}" if statuses else " yet"
    empty = f"no batch{asked}; `persona generate --from PATH` makes one"
    return (Table(LIST_COLUMNS, reply.batches, empty, _NARROW_COLUMNS),)


def _completed(row: BatchSummary) -> str:
    of = f"{values.count(row.completed)}/{values.count(row.total)}"
    return f"{of}, {values.count(row.failed)} failed" if row.failed else of


def batch_show(state: BatchState) -> View:
    return (Facts(tuple(_facts(state))), Table(PERSONA_COLUMNS, state.personas))


def progress(state: BatchState) -> str:
    """`3 of 5 completed, 1 failed, 1 generating`."""
    counts = state.counts
    named = {
        "failed": counts.failed,
        "generating": counts.generating,
        "validating": counts.validating,
        "retrying": counts.retrying,
        "paused": counts.paused,
        "pending": counts.pending,
    }
    others = (f"{values.count(number)} {name}" for name, number in named.items() if number)
    return ", ".join(
        (f"{values.count(counts.completed)} of {values.count(state.total)} completed", *others)
    )


def _facts(state: BatchState) -> list[Fact]:
    reason = f" ({state.reason})" if state.reason else ""
    cost = state.cost
    lines: list[tuple[str, str | None]] = [
        ("Batch", state.batch),
        ("Experiment", state.experiment),
        ("Status", f"{state.status}{reason}"),
        ("Personas", progress(state)),
        ("Model", f"{state.provider}/{state.model}"),
        ("Source", state.source),
        ("Output", state.output),
        ("Started", values.when(state.started_at)),
        ("Finished", values.when(state.finished_at) if state.finished_at else None),
        ("Time", values.duration(state.elapsed_ms)),
        ("Asleep", values.duration(state.slept_ms) if state.slept_ms else None),
        ("Left", _eta(state)),
        ("Quality", None if state.quality is None else values.score(state.quality)),
        ("Cost", values.spent(cost.spent_nanousd, state.usage.unpriced_calls)),
        ("Unpriced", _unpriced(state.usage.unpriced_calls)),
        ("Reserved", values.money(cost.reserved_nanousd) if cost.reserved_nanousd else None),
        ("Unresolved", values.money(cost.unresolved_nanousd) if cost.unresolved_nanousd else None),
        ("Projected", _money(cost.projected_nanousd)),
        ("Budget", _money(cost.budget_nanousd)),
    ]
    return [
        Fact(label, text, STATUS_STYLES[state.status] if label == "Status" else "")
        for label, text in lines
        if text is not None
    ]


def _eta(state: BatchState) -> str | None:
    if state.eta_ms is None:
        return None
    if not is_uncertain(state.eta_ms):
        return f"about {values.duration(state.eta_ms.expected)}"
    return f"{values.duration(state.eta_ms.low)} to {values.duration(state.eta_ms.high)}"


def is_uncertain(eta: Eta) -> bool:
    """Whether it is shown as a range."""
    return eta.high > _RANGE_FROM * eta.low


def _money(nanousd: int | None) -> str | None:
    return None if nanousd is None else values.money(nanousd)


def _unpriced(calls: int) -> str | None:
    if not calls:
        return None
    return f"{values.plural(calls, 'call')} of a model whose price nobody knows"


def _error(row: PersonaRow) -> str | None:
    return f"{row.error.kind}: {row.error.message}" if row.error else None
