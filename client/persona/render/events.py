"""Events as lines that people read."""

import msgspec

from personad.contract import batch, budget, cost, quality
from personad.contract.base import ErrorInfo
from personad.contract.benchmark import BenchmarkFinished
from personad.contract.events import AnyEvent, Recorded

from .values import clean, duration, money, score, when


def line(recorded: Recorded) -> str:
    """Time, seq, kind, what it is about and what is worth knowing of it."""
    event = recorded.event
    kind = str(type(event).__struct_config__.tag)
    about = "/".join(
        value
        for name in ("batch", "persona", "call")
        if isinstance(value := getattr(event, name, None), str)
    )
    anomaly = f"not counted: {recorded.anomaly}" if recorded.anomaly else ""
    parts = (
        when(event.at),
        f"{recorded.seq:>7}",
        f"{kind:<18}",
        about,
        gist(_priced(recorded)),
        anomaly,
    )
    return clean("  ".join(part for part in parts if part))


def gist(event: AnyEvent) -> str:
    """What is worth knowing of an event, in a few words."""
    match event:
        case batch.BatchStarted():
            return f"{event.total} from {event.source.path} with {event.provider}/{event.model}"
        case batch.BatchFinished():
            return event.status + (f" ({event.reason})" if event.reason else "")
        case (
            batch.BatchPausing()
            | batch.BatchPaused()
            | batch.BatchResumed()
            | batch.BatchInterrupted()
            | cost.CallAbandoned()
        ):
            return event.reason
        case batch.BatchHeld():
            return "it goes on" if event.reason is None else f"no new call: {event.reason}"
        case batch.BatchSlept():
            return f"the machine slept {duration(event.slept_ms)}"
        case batch.PersonaQueued():
            return f"#{event.index} from {len(event.segment.record_ids)} records"
        case batch.PersonaGenerating() | batch.PersonaValidating():
            return f"attempt {event.attempt}"
        case batch.PersonaRetrying():
            wait = duration(event.delay_ms)
            return f"attempt {event.attempt}: {_error(event.error)}; again in {wait}"
        case batch.PersonaFailed():
            return f"after {event.attempts} attempts: {_error(event.error)}"
        case batch.PersonaCompleted():
            verdict = "accepted" if event.accepted else "not accepted"
            return (
                f"{event.name}: {score(event.composite)}, {verdict}, {duration(event.duration_ms)}"
            )
        case cost.CallStarted():
            reserved = event.reserved_nanousd
            return f"{event.provider}/{event.model}" + (
                "" if reserved is None else f", at most {money(reserved)}"
            )
        case cost.CostRecorded():
            return f"{event.provider}/{event.model}, {_tokens(event)}, {_price(event)}"
        case cost.CostCorrected():
            return f"{money(event.cost_nanousd)} ({event.reason})"
        case quality.QualityScored():
            return f"{score(event.composite)} by {event.scorer}"
        case _:
            return _of_settings(event)


def _of_settings(event: AnyEvent) -> str:
    match event:
        case quality.GoalSet():
            return f"{event.metric} {score(event.target)}"
        case quality.GoalCleared():
            return event.metric
        case budget.BudgetSet():
            return f"{event.scope}: {money(event.limit_nanousd)}, {event.action}"
        case budget.BudgetCleared():
            return event.scope
        case budget.PriceSet():
            return f"{event.provider}/{event.model}"
        case budget.AlertConfigured():
            return f"{event.kind} {'on' if event.enabled else 'off'}"
        case budget.AlertRaised():
            return f"{event.level}: {event.message}"
        case budget.AlertAcknowledged():
            return event.alert
        case budget.ForecastRecorded():
            return f"{event.as_of}: {money(event.expected_nanousd)} in {event.horizon_days} days"
        case BenchmarkFinished():
            return f"{event.run}: {event.workload} on {event.provider}/{event.model}"
        case _:
            return ""


def _error(error: ErrorInfo) -> str:
    return f"{error.kind}: {error.message}"


def _tokens(event: cost.CostRecorded) -> str:
    read = event.input_tokens + event.cache_read_tokens + event.cache_write_tokens
    return f"{read:,} tokens in, {event.output_tokens:,} out"


def _priced(recorded: Recorded) -> AnyEvent:
    """The event, with what the daemon made of it where it was the one to price it."""
    event = recorded.event
    if isinstance(event, cost.CostRecorded):
        return msgspec.structs.replace(event, cost_nanousd=recorded.cost_nanousd)
    return event


def _price(event: cost.CostRecorded) -> str:
    price = "unpriced" if event.cost_nanousd is None else money(event.cost_nanousd)
    return price if event.outcome == "ok" else f"{price}, {event.outcome}"
