"""The document of a comparison, and how the command ends because of it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from personad.contract.options import Benchmark, Threshold

from .baseline_file import Judged
from .comparing import Comparison
from .metrics import METRICS, limits_of
from .verdicts import Verdict, worst

CROSSED: dict[Verdict, int] = {"warning": 1, "failure": 2}
COULD_NOT = 3
FAIL_TIMES = 2.5
"""How much further than the warning a failure lies, where only that is given."""


class Comparisons(Struct, frozen=True, kw_only=True):
    """All comparisons of one command."""

    comparisons: list[Comparison]
    verdict: Verdict
    exit_code: int


class Gate(Struct, frozen=True, kw_only=True):
    """What a verdict does to the exit status."""

    ci: bool = False
    fail_on_regression: bool = False
    strict: bool = False


def judged(found: Sequence[Comparison], gate: Gate) -> Comparisons:
    verdict = worst([each.verdict for each in found])
    return Comparisons(
        comparisons=list(found), verdict=verdict, exit_code=_exit_code(found, verdict, gate)
    )


def _exit_code(found: Sequence[Comparison], verdict: Verdict, gate: Gate) -> int:
    compared = any(each.comparable for each in found)
    if gate.ci:
        if not compared:
            return COULD_NOT
        if verdict == "inconclusive" and gate.strict:
            return 1
        return CROSSED.get(verdict, 0)
    if gate.fail_on_regression:
        return 2 if verdict == "failure" else 0
    return 0


def with_kept(settings: Benchmark, kept: Mapping[str, Judged]) -> Benchmark:
    """The configuration with what a baseline says of its metrics."""
    changed = {name: Threshold(warn=each.warn, fail=each.fail) for name, each in kept.items()}
    return replace(settings, thresholds=replace(settings.thresholds, **changed))


def with_thresholds(settings: Benchmark, warn: float | None, fail: float | None) -> Benchmark:
    """The configuration with other limits for what noise disturbs; counts keep theirs.

    Where only one of both is given, a metric keeps its other one, as far as it is not reversed.

    Raises:
        ValueError: they are reversed.
    """
    if warn is None and fail is None:
        return settings
    first = settings.warn if warn is None else warn
    second = fail if fail is not None else max(settings.fail, first)
    if first > second:
        raise ValueError(
            f"a warning from {first:g} % on and a failure from {second:g} % on: they are reversed"
        )
    changed = {}
    for each in METRICS:
        if each.judge in ("floor", "whole interval"):
            own = limits_of(each, settings)
            own_fail = own.fail_percent if warn is None else max(own.fail_percent, warn)
            last = own_fail if fail is None else fail
            from_here = min(own.warn_percent, last) if warn is None else warn
            changed[each.limits] = Threshold(warn=from_here, fail=last)
    return replace(
        settings, warn=first, fail=second, thresholds=replace(settings.thresholds, **changed)
    )
