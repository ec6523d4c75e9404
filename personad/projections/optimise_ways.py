"""The ways of spending less that a ledger's own calls may show; what each rests on and who does it.

A way here is a candidate: what it saves, and whether it does, is judged in `analytics.optimising`.
"""

import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from personad.analytics.optimising import (
    Bill,
    Saving,
    Terms,
    Usage,
    Way,
    cached,
    shortened,
)
from personad.contract import optimise as o
from personad.contract.cost import CostRecorded
from personad.projections.optimise_facts import Facts, Model

GROWTH_LEAST = 1.1
_SEED = 20_261


CACHE_WARM = "persona config set generate.concurrency 1"
LOOK_AT_PROMPTS = "persona generate --from PATH --dry-run --show-prompts"


class Candidate(NamedTuple):
    """A way, what is to be said of it, and which calls it is about."""

    way: Way
    title: str
    evidence: Callable[[Saving], o.Evidence]
    confidence: o.Confidence
    apply: str
    behind: Callable[[CostRecorded], bool]


def told(saving: Saving) -> dict[str, int]:
    """What every evidence has."""
    would_be = max(0, saving.cost_nanousd - saving.saving_nanousd)
    return {
        "calls": saving.calls,
        "cost_nanousd": saving.cost_nanousd,
        "would_be_nanousd": would_be,
    }


def named(model: Model) -> str:
    return "/".join(model)


def used_models(facts: Facts) -> list[Model]:
    """Models that cost something, the dearest first."""
    cost: Counter[Model] = Counter()
    for bill in facts.bills:
        cost[bill.cell.provider, bill.cell.model] += bill.left_nanousd
    return [model for model, _ in cost.most_common()]


def by_model(facts: Facts) -> dict[Model, dict[str, Usage]]:
    """What each model's calls took, by outcome; those without an answer are left out."""
    sums: dict[Model, dict[str, Usage]] = defaultdict(dict)
    for (provider, model, _, outcome), usage in facts.totals.items():
        if outcome != "unknown":
            of_model = sums[provider, model]
            known = of_model.get(outcome, Usage())
            of_model[outcome] = Usage(*map(sum, zip(known, usage, strict=True)))
    return sums


def batches(facts: Facts) -> Iterator[Candidate]:
    """Providers' discounts for what may wait."""
    for used in dict.fromkeys([*used_models(facts), *sorted(facts.scores)]):
        yield _batch(used)


def _batch(used: Model) -> Candidate:
    def changed(bill: Bill) -> Terms | None:
        terms = bill.terms
        if terms.is_batch or (terms.provider, terms.model) != used:
            return None
        return terms._replace(is_batch=True)

    def evidence(saving: Saving) -> o.Evidence:
        return o.BatchEvidence(
            provider=used[0],
            model=used[1],
            discount=min(1.0, saving.saving_nanousd / saving.cost_nanousd),
            **told(saving),
        )

    return Candidate(
        way=Way(f"batch:{named(used)}", changed),
        title=f"Send calls of {named(used)} that may wait through its provider's batch processing",
        evidence=evidence,
        # Nobody recorded which of these runs somebody was waiting for.
        confidence="low",
        # No option of `persona generate` does it: it sends each call by itself.
        apply='in your own program: the batch endpoint, recorded with service_tier "batch"',
        behind=lambda call: (call.provider, call.model) == used,
    )


def caching(facts: Facts) -> Iterator[Candidate]:
    """Beginnings of prompts that are the same in every call, and were not read from a cache."""
    seen: dict[tuple[str, str, str], list[CostRecorded]] = defaultdict(list)
    for call in facts.newest:
        if call.outcome == "ok":
            seen[call.provider, call.model, call.operation].append(call)
    measured = {
        kind: round(median(read))
        for kind, calls in seen.items()
        if (read := [call.cache_read_tokens for call in calls if call.cache_read_tokens])
    }
    for kind, calls in seen.items():
        operation = kind[2]
        elsewhere = [tokens for (_, _, other), tokens in measured.items() if other == operation]
        prefix = measured.get(kind) or min(elsewhere, default=0)
        batches_ = {call.batch for call in calls if call.batch is not None}
        # The first call of each batch has nothing to read from yet.
        written = (len(batches_) or 1) / len(calls)
        if prefix and written < 1:
            yield _caching(facts, kind, prefix, written, is_measured=kind in measured)


def _caching(
    facts: Facts, kind: tuple[str, str, str], prefix: int, written: float, *, is_measured: bool
) -> Candidate:
    provider, model, operation = kind

    def changed(bill: Bill) -> Terms | None:
        cell, terms = bill.cell, bill.terms
        is_its = (cell.provider, cell.model, cell.operation) == kind and cell.outcome == "ok"
        if not is_its or terms.is_moved:
            return None
        usage = cached(terms.usage, prefix, written)
        return None if usage == terms.usage else terms._replace(usage=usage)

    def evidence(saving: Saving) -> o.Evidence:
        took = Usage(*map(sum, zip(*(usage for _, usage in facts.kinds[*kind, "ok"]), strict=True)))
        prompts = took.prompt_tokens or 1
        could_be = cached(took, prefix, written).cache_read_tokens
        return o.CachingEvidence(
            provider=provider,
            model=model,
            operation=operation,
            prefix_tokens=prefix,
            is_of_another_model=not is_measured,
            cached=took.cache_read_tokens / prompts,
            could_be=could_be / prompts,
            **told(saving),
        )

    return Candidate(
        way=Way(f"caching:{provider}/{model}/{operation}", changed),
        title=f"Read the beginning of {provider}/{model} prompts from the cache",
        evidence=evidence,
        confidence="medium" if is_measured else "low",
        # Calls that begin together find nothing in the cache that the first of them writes.
        apply=CACHE_WARM,
        behind=lambda call: _is_answered(call, kind),
    )


def _is_answered(call: CostRecorded, kind: tuple[str, str, str]) -> bool:
    """Whether it is one of the calls of a kind that such a way is judged on."""
    return (call.provider, call.model, call.operation) == kind and call.outcome == "ok"


MENDS = {
    "timeout": "persona config set generate.call_timeout_s 240",
    "rate_limit": "persona config set generate.concurrency 1",
    "server_error": "persona config set generate.retry.delay_s 30",
    "invalid_output": "persona config set generate.retry.retries 1",
}
"""By what failed."""


def failures(facts: Facts) -> Iterator[Candidate]:
    """Calls that failed, and were paid for."""
    kinds: dict[Model, Counter[str]] = defaultdict(Counter)
    for call in facts.newest:
        if call.outcome == "error":
            kinds[call.provider, call.model][call.error_kind or ""] += 1
    totals = by_model(facts)
    for used in used_models(facts):
        of_model = totals.get(used, {})
        failed = of_model["error"].calls if "error" in of_model else 0
        if failed:
            share = failed / sum(usage.calls for usage in of_model.values())
            most = kinds[used].most_common(1)
            yield _failures(used, share, (most[0][0] or None) if most else None)


def look_at_failures(model: Model) -> str:
    """The command that shows what they come to."""
    return f"persona cost breakdown --by outcome --model {shlex.quote(model[1])}"


def _failures(used: Model, share: float, error_kind: str | None) -> Candidate:
    def changed(bill: Bill) -> Terms | None:
        cell = bill.cell
        if cell.outcome != "error" or (cell.provider, cell.model) != used:
            return None
        return bill.terms._replace(usage=Usage())

    def evidence(saving: Saving) -> o.Evidence:
        return o.FailureEvidence(
            provider=used[0],
            model=used[1],
            failed=share,
            error_kind=error_kind,
            **told(saving),
        )

    what = f" ({error_kind})" if error_kind else ""
    return Candidate(
        way=Way(f"failures:{named(used)}", changed),
        title=f"Have fewer calls of {named(used)} fail{what}: they are paid for",
        evidence=evidence,
        confidence="medium" if error_kind in MENDS else "low",
        apply=MENDS.get(error_kind or "") or look_at_failures(used),
        behind=lambda call: (call.provider, call.model) == used and call.outcome == "error",
    )


def growth(facts: Facts) -> Iterator[Candidate]:
    """Prompts that have become longer, beyond chance."""

    from personad.analytics.trend import LEAST_DAYS, trend

    for (provider, model, operation, outcome), days in facts.kinds.items():
        days = [(place, usage) for place, usage in days if usage.calls]
        if outcome != "ok" or len(days) < LEAST_DAYS:
            continue
        third = len(days) // 3
        before, now = (
            _mean_prompt([usage for _, usage in some]) for some in (days[:third], days[-third:])
        )
        if not before or now < before * GROWTH_LEAST:
            continue
        places, means, weights = zip(
            *((place, usage.prompt_tokens / usage.calls, usage.calls) for place, usage in days),
            strict=True,
        )
        found = trend(places, means, weights, _SEED)
        if found is not None and found.is_significant and found.change > 0:
            yield _grown(facts, (provider, model, operation), days, before, now)


def _mean_prompt(usages: Sequence[Usage]) -> float:
    calls = sum(usage.calls for usage in usages)
    return sum(usage.prompt_tokens for usage in usages) / calls if calls else 0.0


def _grown(
    facts: Facts,
    kind: tuple[str, str, str],
    days: Sequence[tuple[int, Usage]],
    before: float,
    now: float,
) -> Candidate:
    provider, model, operation = kind
    over: Counter[int] = Counter()
    whole: Counter[int] = Counter()
    for place, usage in days:
        stretch = facts.stretch_of_day[place]
        over[stretch] += max(0, math.floor(usage.prompt_tokens - before * usage.calls))
        whole[stretch] += usage.prompt_tokens

    def changed(bill: Bill) -> Terms | None:
        cell, terms = bill.cell, bill.terms
        is_its = (cell.provider, cell.model, cell.operation) == kind and cell.outcome == "ok"
        if not is_its or not over[cell.stretch]:
            return None
        share = over[cell.stretch] / whole[cell.stretch]
        return terms._replace(usage=shortened(terms.usage, share))

    def evidence(saving: Saving) -> o.Evidence:
        return o.GrowthEvidence(
            provider=provider,
            model=model,
            operation=operation,
            tokens_before=round(before),
            tokens_now=round(now),
            **told(saving),
        )

    return Candidate(
        way=Way(f"growth:{provider}/{model}/{operation}", changed),
        title=f"Send {provider}/{model} prompts as short as they were",
        evidence=evidence,
        confidence="medium",
        # It shows what is sent; columns that say nothing are left out by `--text-columns`.
        apply=LOOK_AT_PROMPTS,
        behind=lambda call: _is_answered(call, kind),
    )


def experiments(facts: Facts) -> Iterator[Candidate]:
    """Those of which no persona was ever accepted."""
    for each in facts.wasted:
        yield _experiment(each.name, each.completed, each.failed)


def stop_of(experiment: str) -> str:
    """The command after which no call of it starts any more."""
    name = shlex.quote(experiment)
    return f"persona cost budget set --experiment {name} --limit 0.01 --action stop"


def _experiment(name: str, completed: int, failed: int) -> Candidate:
    def changed(bill: Bill) -> Terms | None:
        if bill.cell.experiment != name:
            return None
        return bill.terms._replace(usage=Usage())

    def evidence(saving: Saving) -> o.Evidence:
        return o.ExperimentEvidence(
            experiment=name, completed=completed, failed=failed, **told(saving)
        )

    return Candidate(
        way=Way(f"experiment:{name}", changed),
        title=f"Stop the experiment {name}: none of its personas was ever accepted",
        evidence=evidence,
        confidence="medium",
        apply=stop_of(name),
        behind=lambda call: call.experiment == name,
    )
