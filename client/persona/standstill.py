"""Why a batch stands still, and what to do about it: what its runner has told the ledger."""

from typing import TYPE_CHECKING

from persona.render.values import clean, money, percent
from persona.render.values import spent as told_spent

if TYPE_CHECKING:
    from persona.app import App
    from personad.contract.batch import BatchState

TOLD = ["batch.pausing", "batch.paused", "batch.resumed"]
WARN_AT = (100, 80)
"""Percent of a budget."""


def lines(app: "App", state: "BatchState") -> list[str]:
    """What is to be said of a batch that is paused or has failures, or has spent much of its
    budget."""
    said = [budget_line(state)]
    if state.status in ("failed", "partial"):
        said.append(f"`persona batch retry {state.batch}` makes what failed again")
    if state.status == "paused":
        said += [_told(app, state.batch), _advice(state)]
    return [line for line in said if line]


def crossed(state: "BatchState") -> int:
    """The greatest warning level, in percent, that the spending has reached; 0 below all."""
    budget, spent = state.cost.budget_nanousd, state.cost.spent_nanousd
    return next((level for level in WARN_AT if budget and spent * 100 >= budget * level), 0)


def _told(app: "App", batch: str) -> str:
    """The runner's own words."""
    from personad.contract.batch import BatchPaused, BatchPausing, BatchResumed
    from personad.contract.events import Read

    message = None
    for recorded in app.ledger.ask(Read(types=TOLD, batch=batch, limit=1_000)).events:
        match recorded.event:
            case BatchResumed():
                message = None
            case BatchPausing() | BatchPaused() as event:
                message = event.message or message
            case _:
                pass
    return clean(message or "")


def _advice(state: "BatchState") -> str:
    resume = f"persona generate --resume {state.batch}"
    match state.reason:
        case "budget":
            if state.cost.budget_nanousd is None:
                return f"raise the budget, then go on with `{resume}`"
            return f"go on with more: `{resume} --budget USD`, of which what was spent is a part"
        case "authentication" | "no key":
            return f"set a key that is taken, then go on with `{resume}`"
        case "quota exhausted":
            return f"pay in, or wait for the next period, then go on with `{resume}`"
        case "time":
            return f"go on for as long again with `{resume}`, or longer with --timeout SECONDS"
        case _:
            return ""


def budget_line(state: "BatchState") -> str:
    """How much of the budget is spent, once that is worth a word; else nothing."""
    budget, spent = state.cost.budget_nanousd, state.cost.spent_nanousd
    if not budget:
        return ""
    if crossed(state):
        over = "over" if spent > budget else f"{percent(spent / budget)} of"
        return f"{money(spent)} is spent: {over} the budget of {money(budget)}"
    if state.usage.unpriced_calls:
        told = told_spent(spent, state.usage.unpriced_calls)
        return f"the budget of {money(budget)} can't be held against what is unpriced: {told}"
    return ""
