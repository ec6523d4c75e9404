"""A frame of the live view: what a batch is, how far, its personas, its money, and the keys."""

from itertools import chain

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from persona.outcome import in_flight
from personad.contract.batch import OPEN, BatchCost, BatchState, Eta, PersonaRow

from . import values
from .batches import STATUS_STYLES, is_uncertain
from .live_look import Look, fitted, line, ms_between, packed, shortened, ticking
from .live_rows import Columns, Window, columns_of, heading, row_lines, window

_WIDEST = 160
"""Cells beyond which a wider screen would only draw things apart."""
_ROWS_LEAST = 4
"""Lines of rows worth giving up blank lines, titles and money for."""
_BESIDE = 76
"""Cells of a screen on which the figures stand beside the bar."""
_TIME_CELLS, _LEFT_CELLS = 7, 21
_BUDGET_STYLES = ((100, "red"), (80, "yellow"))
"""From which percentage of a budget on its figures are coloured."""


def detailed(state: BatchState, look: Look) -> RenderableType:
    """The frame as one thing that rich prints."""
    return Group(*frame(state, look))


class _Layout(Struct, frozen=True):
    """What stands above and below the rows, and how many lines those have."""

    above: list[list[Text]]
    under: list[list[Text]]
    columns: Columns
    room: int


def frame(state: BatchState, look: Look) -> list[Text]:
    """At most `look.height` lines of at most `look.width` cells."""
    layout = _layout(state, look)
    rows = _rows(state, layout, look)
    return list(chain(*layout.above, rows, *layout.under))[: max(1, look.height)]


def sight(state: BatchState, look: Look) -> Window:
    """Which rows the frame shows."""
    layout = _layout(state, look)
    whole = window(state.personas, layout.columns, layout.room, look.top)
    if whole.end - whole.top == len(state.personas):
        return whole
    return window(state.personas, layout.columns, layout.room - 1, look.top)


def _layout(state: BatchState, look: Look) -> _Layout:
    blank = [Text()]
    columns = columns_of(state.personas, state.total, look)
    titles = heading(columns, look) if state.personas else []
    money, keys = _money(state, look), _below(state, look)
    above = [_head(state, look), blank, _progress(state, look), blank, titles]
    under = [blank, money, keys]
    # What goes first where the screen is low, until some rows fit.
    for given_up in (blank, titles, money):
        if look.height - _lines(above) - _lines(under) >= _ROWS_LEAST:
            break
        above = [part for part in above if part is not given_up]
        under = [part for part in under if part is not given_up]
    room = max(0, look.height - _lines(above) - _lines(under))
    return _Layout(above, under, columns, room)


def _lines(parts: list[list[Text]]) -> int:
    return sum(map(len, parts))


def _rows(state: BatchState, layout: _Layout, look: Look) -> list[Text]:
    rows, seen = state.personas, sight(state, look)
    within = (_while_held(row, state) for row in rows[seen.top : seen.end])
    shown = [drawn for row in within for drawn in row_lines(row, layout.columns, look)]
    above, beneath = seen.top, len(rows) - seen.end
    if not above and not beneath:
        return shown
    hidden = [f"{above:,} more above"] * bool(above) + [f"{beneath:,} more below"] * bool(beneath)
    indent = " " * (layout.columns.number + 1)
    more = line((shortened(f"{indent}… {', '.join(hidden)}", look.width), "dim"))
    # A row that no longer fits whole leaves a line free: the frame keeps its height.
    spare = [Text()] * (layout.room - 1 - len(shown))
    return [*shown, *spare, more][: layout.room]


def _while_held(row: PersonaRow, state: BatchState) -> PersonaRow:
    """As it is shown: none is tried again while no call is begun."""
    if row.retry_at is None or state.held_until is None:
        return row
    return replace(row, retry_at=max(row.retry_at, state.held_until))


def _head(state: BatchState, look: Look) -> list[Text]:
    width = min(look.width, _WIDEST)
    status = line((status_text(state, look), STATUS_STYLES[state.status]))
    name = line((shortened(state.batch, width), "bold"))
    model = state.model if state.model == state.provider else f"{state.provider}/{state.model}"
    told = [model, *([state.experiment] if state.experiment else [])]
    context = values.clean(" · ".join(told))
    left = packed([name, status], width, 2)
    room = width - left[-1].cell_len - cell_len(context)
    if len(left) == 1 and room >= 3:
        left[0].append(" " * room)
        left[0].append(context, "dim")
        return left
    return [*left, *packed([line((values.clean(part), "dim")) for part in told], width, 3)]


def status_text(state: BatchState, look: Look) -> str:
    """The batch's state and, where it stands still or starts no call, why."""
    reason = values.clean(state.reason or "")
    match state.status:
        case "queued":
            return "queued, its runner is starting"
        case "pausing":
            return f"pausing, {in_flight(state)} in flight"
        case "paused":
            return f"paused ({reason})" if reason else "paused"
        case "interrupted":
            return f"interrupted, its runner is gone ({reason})"
        case "running" if reason:
            return f"running, held: {reason}{_for_how_long(state, look)}"
        case "failed" | "cancelled" if reason and reason != "user":
            return f"{state.status} ({reason})"
        case _:
            return state.status


def _for_how_long(state: BatchState, look: Look) -> str:
    """Until when nothing is started, as a time that passes; nothing where nobody knows."""
    if state.held_until is None:
        return ""
    return f", on in {ticking(ms_between(look.now, state.held_until))}"


def _progress(state: BatchState, look: Look) -> list[Text]:
    done = done_of(state)
    share = done / state.total if state.total else 0.0
    whole = values.count(state.total)
    failed = f", {values.count(state.counts.failed)} failed" if state.counts.failed else ""
    told = [
        f"{values.percent(share):>4}",
        f"{values.count(done):>{len(whole)}} of {whole}{failed}",
        f"{elapsed(state, look):{_TIME_CELLS}}",
        f"{left_text(state, look):{_LEFT_CELLS}}",
    ]
    # Times keep their places, or the bar would change its length with them.
    text = "   ".join(part for part in told if part.strip()) if look.width >= _BESIDE else ""
    width = min(look.width, _WIDEST)
    if text:
        drawn = bar(state, share, width - cell_len(text) - 2, plain=look.plain)
        return [line(*drawn, ("  " + text.rstrip(), ""))]
    parts = [line((part.strip(), "")) for part in told if part.strip()]
    return [line(*bar(state, share, width, plain=look.plain)), *packed(parts, width, 2)]


def bar(state: BatchState, share: float, width: int, *, plain: bool) -> list[tuple[str, str]]:
    """`width` cells, the first `share` of them in the colour of the batch's state."""
    if plain:
        return [(values.bar(share, width, plain=True), "")]
    halves = int(share * width * 2)
    full = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    style = "green" if state.status == "completed" else STATUS_STYLES[state.status]
    return [(full, style), ("━" * (width - len(full)), "bright_black")]


def done_of(state: BatchState) -> int:
    """Personas that nothing more will happen to."""
    return state.counts.completed + state.counts.failed


def elapsed(state: BatchState, look: Look) -> str:
    """Time spent running, until now where it still runs."""
    if state.status == "queued":
        return ""
    slept = f" ({values.duration(state.slept_ms)} asleep)" if state.slept_ms else ""
    if state.status in ("running", "pausing"):
        return ticking(state.elapsed_ms + ms_between(state.as_of, look.now)) + slept
    return values.duration(state.elapsed_ms) + slept


def left_text(state: BatchState, look: Look) -> str:
    """How long the rest will take: a range where that is uncertain."""
    if state.eta_ms is None or state.status != "running":
        return ""
    passed = ms_between(state.as_of, look.now)
    eta = Eta(
        low=max(0, state.eta_ms.low - passed),
        expected=max(0, state.eta_ms.expected - passed),
        high=max(0, state.eta_ms.high - passed),
    )
    if not eta.high:
        # It takes longer than was thought, and nothing has come that would tell how long.
        return ""
    if is_uncertain(eta):
        low, high = ticking(eta.low), ticking(eta.high + 999)
        return f"{low} to {high} left" if eta.low >= 1_000 else f"up to {high} left"
    return f"about {ticking(eta.expected + 999)} left"


def _money(state: BatchState, look: Look) -> list[Text]:
    cost, unpriced = state.cost, state.usage.unpriced_calls
    made, budget = state.counts.completed, cost.budget_nanousd
    each = cost.spent_nanousd // made if made and not unpriced else None
    spent = values.spent(cost.spent_nanousd, unpriced)
    figures: list[tuple[str, str, str]] = [
        ("Spent", spent, "yellow" if unpriced else ""),
        ("Per persona", _or_nothing(each), ""),
    ]
    if state.status in OPEN:
        is_over = budget is not None and (cost.projected_nanousd or 0) > budget
        figures.append(
            ("Projected", _or_nothing(cost.projected_nanousd), "yellow" if is_over else "")
        )
    figures += _budget(cost, is_unpriced=unpriced > 0)
    if cost.reserved_nanousd:
        figures.append(("In flight", values.money(cost.reserved_nanousd), ""))
    if cost.unresolved_nanousd:
        figures.append(("Unresolved", values.money(cost.unresolved_nanousd), "yellow"))
    parts = [line((f"{label} ", "dim"), (text, style)) for label, text, style in figures]
    return packed(parts, look.width, 3 if look.width >= 60 else 2)


def _budget(cost: BatchCost, *, is_unpriced: bool) -> list[tuple[str, str, str]]:
    """The limit and what is left of it; what nobody knows the price of may be more than that."""
    limit = cost.budget_nanousd
    if limit is None:
        return [("Budget", values.NOTHING, ""), ("Remaining", values.NOTHING, "")]
    committed = cost.spent_nanousd + cost.reserved_nanousd + cost.unresolved_nanousd
    used = committed * 100 // limit if limit else 100
    style = next((style for percent, style in _BUDGET_STYLES if used >= percent), "")
    left = values.UNPRICED if is_unpriced else values.money(limit - committed)
    share = f" ({used}% used)" if style else ""
    return [("Budget", values.money(limit) + share, style), ("Remaining", left, style)]


def _or_nothing(nanousd: int | None) -> str:
    return values.NOTHING if nanousd is None else values.money(nanousd)


def _below(state: BatchState, look: Look) -> list[Text]:
    notice = [line((shortened(look.notice, look.width), "yellow"))] if look.notice else []
    return notice + key_lines(state, look)


def key_lines(state: BatchState, look: Look) -> list[Text]:
    """What the keys do in the batch's present state."""
    if look.keys == "none":
        return []
    if look.is_asking:
        asked = "Cancel this batch for good? What it has made stays."
        question = [line((word, "bold yellow")) for word in asked.split()]
        answers = [_key("y", "cancel it"), _key("n", "go on")]
        return [*packed(question, look.width, 1), *packed(answers, look.width, 3)]
    keys: list[Text] = []
    if state.status in OPEN:
        stands = state.status in ("paused", "interrupted", "pausing")
        keys.append(_key("p", "resume" if stands else "pause"))
    if look.keys == "owning" and state.status in OPEN:
        keys.append(_key("d", "detach"))
        keys.append(_key("q", "leave" if state.status == "paused" else "pause and leave"))
    else:
        keys.append(_key("q", "leave"))
    if state.status in OPEN:
        keys.append(_key("c", "cancel"))
    keys.append(_key("^v" if look.plain else "↑↓", "scroll"))
    if look.top is not None:
        keys.append(_key("f", "follow"))
    return packed(keys, look.width, 3 if look.width >= 60 else 2)


def _key(key: str, what: str) -> Text:
    return line((key, "bold"), (f" {what}", "dim"))


def compact_line(state: BatchState, look: Look) -> Text:
    """The same on one line."""
    done = done_of(state)
    share = done / state.total if state.total else 0.0
    told = [
        f"{done}/{state.total}",
        status_text(state, look),
        f"{in_flight(state)} in flight" if in_flight(state) and state.status == "running" else "",
        f"{state.counts.failed} failed" if state.counts.failed else "",
        elapsed(state, look),
        left_text(state, look),
        values.spent(state.cost.spent_nanousd, state.usage.unpriced_calls),
    ]
    if look.is_asking:
        told = ["cancel this batch for good? y or n"]
    elif look.notice:
        told = [look.notice]
    text = f"{values.percent(share):>4} " + " · ".join(part for part in told if part)
    room = min(24, look.width - cell_len(text) - 1)
    if room < 8:
        return line((fitted(text.lstrip(), look.width).rstrip(), ""))
    return line(*bar(state, share, room, plain=look.plain), (" " + text, ""))
