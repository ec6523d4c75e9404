"""What is to be told: a budget that was used up to a threshold, quality that has dropped.

It is looked at in the writer's transaction, once all events of a commit are folded, so what is
raised is in the ledger together with what it is about, and once: its id follows from its cause.
What an import brings raises nothing: it was told where it happened.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from personad import civil, news
from personad.contract.alerts import DRIFT, AlertsShown
from personad.contract.base import Done, derived_id
from personad.contract.budget import AlertConfigured, AlertRaised, BudgetSet
from personad.contract.cost import CostCorrected, CostRecorded
from personad.contract.quality import QualityScored
from personad.kinds import microseconds, moment_of
from personad.log import Entry
from personad.projections import alert_rules, budget_sums, charts
from personad.projections.quality import COMPOSITE
from personad.transaction import Transaction

WARN_PERCENT, ACT_PERCENT = 80, 100
"""Below the one a threshold is only logged; from the other on it does what its budget says."""
NAME_MAX = 200
"""What of a provider's and a model's names fits a scope."""
LEAST_POINTS = 3
"""Scores, below which a level is nothing to alarm anybody with."""

_BUDGETS = """
SELECT scope, limit_nanousd, action, thresholds, timezone, seq FROM budget
WHERE ?1 IS NULL OR scope IN (SELECT value FROM json_each(?1))
"""
_HAS_BUDGET = "SELECT 1 FROM budget LIMIT 1"
_OF_BATCHES = """
SELECT 'batch:' || batch, budget_nanousd, iif(stop_on_budget, 'stop', 'warn'), '[80,100]', 'UTC', 0
FROM batch WHERE budget_nanousd > 0 AND batch IN (SELECT value FROM json_each(?))
"""
_TOLD_LATELY = """
SELECT 1 FROM alert WHERE kind = 'cost' AND scope = ? AND since IS ? AND threshold = ?
  AND limit_nanousd >= ? AND at > ?
"""
_RAISED_LATELY = """
SELECT 1 FROM alert WHERE kind = ? AND metric = ? AND scope = ? AND at > ?
"""
_SERIES = """
SELECT key FROM series
WHERE kind = 'score' AND measure = ? AND provider = ? AND model = ? AND scorer = ?
"""
_WATCH = "SELECT told FROM alert_watch WHERE kind = ? AND metric = ? AND place = ?"
_SET_WATCH = "INSERT OR REPLACE INTO alert_watch VALUES (?, ?, ?, ?, ?)"
_DROP_WATCH = "DELETE FROM alert_watch WHERE kind = ? AND metric = ? AND place = ?"
_FORGET_WATCH = """
DELETE FROM alert_watch WHERE (?1 = '' AND kind <> 'cost') OR (kind = 'quality' AND metric = ?1)
"""
_CAUSE = "SELECT cause FROM alert_watch WHERE kind = ? AND metric = ? AND place = ?"
_LOOKED_AT = (CostRecorded, CostCorrected, BudgetSet, AlertConfigured, QualityScored)
_BESIDE_BILLS = frozenset(_LOOKED_AT) - {CostRecorded}
_ByKind = dict[type[Any], list[Any]]
_NANO = 10**9
_UNIT = 10_000


def raise_due(txn: Transaction) -> None:
    """Adds, and folds, an `alert.raised` for all that this transaction has brought about."""
    if not txn.refused and not (txn.kinds & _BESIDE_BILLS) and _are_off(txn):
        return
    found = _by_kind(txn.news)
    raised = [*_of_budgets(txn, found), *_of_quality(txn, found)]
    if not raised:
        return
    txn.conclude(raised)
    txn.fold()
    is_hooked = news.configured(txn.db).webhook
    for event in raised:
        news.add(txn.db, event.alert, owed=is_hooked and event.level != "log")


def _by_kind(entries: Sequence[Entry]) -> _ByKind:
    """Those that anything follows from."""
    found: _ByKind = {kind: [] for kind in _LOOKED_AT}
    for _, _, event, _ in entries:
        if (kind := type(event)) in found:
            found[kind].append(event)
    return found


def shown(txn: Transaction, request: AlertsShown) -> Callable[[], Done]:
    news.show(txn.db, request.alerts, microseconds(txn.now))
    return Done


class _Budget(NamedTuple):
    scope: str
    limit: int
    action: str
    thresholds: str
    timezone: str
    seq: int


def _of_budgets(txn: Transaction, found: _ByKind) -> Iterator[AlertRaised]:
    bills = {(event.experiment, event.batch) for event in found[CostRecorded]} | txn.billed
    is_about_all = any(found[kind] for kind in (BudgetSet, AlertConfigured, CostCorrected))
    if not (bills or is_about_all or txn.refused):
        return
    if not (is_about_all or txn.refused) and _are_off(txn):
        return
    scopes = {f"experiment:{experiment}" for experiment, _ in bills if experiment is not None}
    scopes |= {f"batch:{batch}" for _, batch in bills if batch is not None}
    scopes |= {*budget_sums.PERIODS, *txn.refused}
    asked = None if is_about_all else json.dumps(sorted(scopes))
    budgets = [_Budget(*row) for row in txn.db.execute(_BUDGETS, (asked,))]
    switch = alert_rules.of_cost(txn.db)
    budgets = [each for each in budgets if switch.enabled or each.seq > switch.seq]
    if switch.enabled:
        batches = json.dumps([each.removeprefix("batch:") for each in scopes])
        named = {each.scope for each in budgets}
        own = (_Budget(*row) for row in txn.db.execute(_OF_BATCHES, (batches,)))
        budgets += [each for each in own if each.scope not in named]
    if budgets:
        accounts = budget_sums.accounts(txn.book, microseconds(txn.now))
        for budget in budgets:
            yield from _passed(txn, budget, accounts)


def _are_off(txn: Transaction) -> bool:
    """Whether there is no budget, and batches' own are not told of: asked once, not each commit."""
    book = txn.book
    if book.cost_alerts_off is None:
        has_budget = txn.db.execute(_HAS_BUDGET).fetchone() is not None
        book.cost_alerts_off = not (has_budget or alert_rules.of_cost(txn.db).enabled)
    return book.cost_alerts_off


def _passed(
    txn: Transaction, budget: _Budget, accounts: budget_sums.Accounts
) -> Iterator[AlertRaised]:
    """An alert for each threshold that is passed, and was not told in this period."""
    committed = accounts.of(budget.scope, budget.timezone)
    if committed is None:
        return
    # What is reserved for calls in flight may still turn out to be much less.
    spent = committed.spent + committed.unresolved
    for percent in msgspec.json.decode(budget.thresholds, type=list[int]):
        is_passed = spent * 100 >= budget.limit * percent
        is_refused = budget.scope in txn.refused and percent >= ACT_PERCENT and not is_passed
        if not (is_passed or is_refused):
            continue
        began = committed.period[0] if committed.period else None
        cause = derived_id(
            "alert.raised", "cost", budget.scope, budget.timezone, began, budget.limit, percent
        )
        since_us = None if began is None else began * civil.QUARTER_US
        # A higher limit is news; a lower one that was passed before is none for a while.
        lately = _before(txn.now, news.configured(txn.db).cost_cooldown_h)
        told = (budget.scope, since_us, percent / 100, budget.limit, lately)
        if txn.knows(cause) or txn.db.execute(_TOLD_LATELY, told).fetchone():
            continue
        yield AlertRaised(
            id=cause,
            at=txn.now,
            alert=_name(cause, txn.now),
            kind="cost",
            scope=budget.scope,
            level=_level(percent, budget.action),
            value=spent / budget.limit,
            threshold=percent / 100,
            message=_of_budget(budget, percent, spent, is_stopped=is_refused),
            since=None if since_us is None else moment_of(since_us),
            spent_nanousd=min(spent, 2**63 - 1),
            limit_nanousd=budget.limit,
        )


def _level(percent: int, action: str) -> str:
    if percent >= ACT_PERCENT:
        return action
    return "warn" if percent >= WARN_PERCENT and action != "log" else "log"


def _of_budget(budget: _Budget, percent: int, spent: int, *, is_stopped: bool) -> str:
    kind, _, name = budget.scope.partition(":")
    whose = f"the {kind} budget" if not name else f"the budget of {kind} {name}"
    used = f"{_dollars(spent)} of {_dollars(budget.limit)}"
    if is_stopped:
        return f"{whose} has refused a call that could cross it: {used} are used"
    return f"{whose} has passed {percent} %: {used} are used"


def _dollars(nanousd: int) -> str:
    """To the cent; below a dollar as exact as it is."""
    whole, rest = divmod(nanousd, _NANO)
    if whole:
        cents, part = divmod(nanousd, _NANO // 100)
        # Half-even, as in the tables: the two are read beside each other.
        half = _NANO // 200
        cents += part > half or (part == half and cents % 2 == 1)
        return f"${cents // 100:,}.{cents % 100:02d}"
    digits = f"{rest:09d}".rstrip("0")
    return f"$0.{digits:0<2}"


def _name(cause: UUID, now: datetime) -> str:
    return f"alert-{now:%Y-%m-%d}-{cause.hex[:8]}"


def _before(now: datetime, hours: float) -> int:
    return microseconds(now - timedelta(hours=hours))


class _Out(NamedTuple):
    """What is below where it ought to be."""

    kind: str
    metric: str
    place: tuple[str, str, str]
    """Provider, model and scorer."""
    cause: UUID
    value: float
    threshold: float
    n: int
    baseline: float | None


def _of_quality(txn: Transaction, found: _ByKind) -> Iterator[AlertRaised]:
    for event in found[AlertConfigured]:
        if event.kind == "quality" and not event.enabled:
            # While it is off nobody sees it come back: what is out afterwards is out anew.
            txn.db.execute(_FORGET_WATCH, (event.metric or "",))
    all_ = _by_kind(txn.unprepared) if txn.silent else found
    scored = _places(all_[QualityScored])
    if not scored:
        return
    rules = alert_rules.of_quality(txn.db)
    watched = rules.watched
    if not (watched or rules.drift):
        return
    loud = _places(found[QualityScored])
    for place, cause in scored.items():
        for metric in sorted({*watched, *([COMPOSITE] if rules.drift else [])}):
            state = _state(txn, metric, place)
            if state is None:
                continue
            if metric in watched:
                out = _below(state, metric, place, cause, watched[metric])
                yield from _told(txn, ("quality", metric, place), out, place in loud, rules)
            if metric == COMPOSITE and rules.drift:
                out = _dropped(state, place)
                yield from _told(txn, (DRIFT, metric, place), out, place in loud, rules)


def _places(events: Sequence[QualityScored]) -> dict[tuple[str, str, str], UUID]:
    """Who was scored, with the newest score's id."""
    return {(event.provider, event.model, event.scorer): event.id for event in events}


def _state(txn: Transaction, metric: str, place: tuple[str, str, str]) -> charts.State | None:
    row = txn.db.execute(_SERIES, (metric, *place)).fetchone()
    return None if row is None else charts.find(txn.book, row[0], metric)


def _below(
    state: charts.State, metric: str, place: tuple[str, str, str], cause: UUID, least: float
) -> _Out | None:
    level = state.level
    # Of scores that are all the threshold itself, a sum of floats may be a hair below it.
    if level.points < LEAST_POINTS or level.mean >= least * _UNIT - 1e-6:
        return None
    value = _score(level.mean)
    return _Out("quality", metric, place, cause, value, least, level.points, None)


def _dropped(state: charts.State, place: tuple[str, str, str]) -> _Out | None:
    chart, cause = state.chart, state.dropped_by
    if chart is None or cause is None:
        return None
    mean = chart.baseline.mean
    least = _score(mean - (chart.limit() or 0.0))
    return _Out(
        DRIFT,
        COMPOSITE,
        place,
        cause,
        _score(state.level.mean),
        least,
        state.level.points,
        _score(mean),
    )


def _score(mean: float) -> float:
    return round(mean / _UNIT, 4)


def _told(
    txn: Transaction,
    what: tuple[str, str, tuple[str, str, str]],
    out: _Out | None,
    is_loud: bool,
    rules: alert_rules.QualityRules,
) -> Sequence[AlertRaised]:
    """The alert on what is out, once for as long as it stays out; none where nothing is."""
    kind, metric, place = what
    key = (kind, metric, "\x1f".join(place))
    row = txn.db.execute(_WATCH, key).fetchone()
    if out is None:
        if row is not None:
            txn.db.execute(_DROP_WATCH, key)
        return ()
    told = bool(row[0]) if row is not None else not is_loud
    if row is None:
        txn.db.execute(_SET_WATCH, (*key, out.cause.bytes, int(told)))
    scope = "/".join(place[:2])[:NAME_MAX]
    lately = (kind, metric, scope, _before(txn.now, rules.cooldown_h))
    if told or not is_loud or txn.db.execute(_RAISED_LATELY, lately).fetchone():
        return ()
    first = UUID(bytes=bytes(txn.db.execute(_CAUSE, key).get))
    txn.db.execute(_SET_WATCH, (*key, first.bytes, 1))
    cause = derived_id("alert.raised", *key, first)
    return () if txn.knows(cause) else (_alarm(cause, out, scope, txn.now),)


def _alarm(cause: UUID, out: _Out, scope: str, now: datetime) -> AlertRaised:
    if out.baseline is None:
        value = f"{out.value:.2f}"
        if float(value) >= out.threshold:
            value = f"{out.value:.4f}"
        message = f"{out.metric} of {scope} is {value}, below {out.threshold:g}"
    else:
        message = (
            f"{out.metric} of {scope} has dropped to {out.value:.2f} from {out.baseline:.2f}, "
            "more than chance"
        )
    return AlertRaised(
        id=cause,
        at=now,
        alert=_name(cause, now),
        kind=out.kind,
        scope=scope,
        level="warn",
        value=out.value,
        threshold=out.threshold,
        message=message,
        metric=out.metric,
        n=out.n,
        baseline=out.baseline,
    )
