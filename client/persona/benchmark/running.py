"""A workload run: several processes one after the other, each so many iterations."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from persona.identity import event_id, now
from personad.contract.budget import BudgetSet, PriceSet
from personad.contract.cost import CostRecorded, Estimate

from .baseline_file import Workload, figures
from .crew import WorkerFailed, simulation, task_of, worker
from .private import Private, ledger_of, private_ledger
from .workloads import FREE, WorkloadSpec, digest

Progress = Callable[[int, int], None]
"""Told after each iteration how many are done, and how many there will be."""

Spent = Callable[[list[CostRecorded]], None]

STARTS = 3
"""How often each process's part begins with a look at how long the program takes to start."""


class Chosen(Struct, frozen=True, kw_only=True):
    """A workload with what was asked for."""

    spec: WorkloadSpec
    model: str
    iterations: int
    processes: int
    limit_s: float | None = None
    base_url: str | None = None
    budget_nanousd: int | None = None
    """Of all iterations together; a stop."""
    prices: Sequence[PriceSet] = ()
    """The user's own of this provider, without which the stop would not know what a call costs."""

    def shares(self) -> list[int]:
        """How many iterations each process makes; the first ones one more where it doesn't fit."""
        count = min(self.processes, self.iterations)
        each, rest = divmod(self.iterations, count)
        return [each + (index < rest) for index in range(count)]


class Ran(Struct, frozen=True, kw_only=True):
    """What a run gave."""

    workload: Workload
    cut: str | None = None
    """Why it has fewer iterations than it should."""
    exit_code: int = 0
    """How a command ends because of that."""


class _Cut(Exception):
    """The run ends here; what it has is kept."""

    EXIT_CODE = 75


def run(
    chosen: Chosen,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    spent: Spent = lambda costs: None,
) -> Ran:
    """The samples of all processes. What Ctrl-C, money or time cut short is kept, and marked.

    Args:
        spent: told what calls of a paid provider cost, however the run ends.

    Raises:
        WorkerFailed, PrivateFailed: it can't be run at all.
        KeyboardInterrupt: before there was anything to keep.
        OSError: no room or no right for temporary files.
    """
    spec = chosen.spec
    runs: list[dict[str, list[float]]] = []
    cut: str | None = None
    exit_code = 0
    until = None if chosen.limit_s is None else clock() + chosen.limit_s
    with private_ledger(environ=dict(os.environ) | simulation(spec)) as private:
        _limit(private, chosen)
        try:
            for share in chosen.shares():
                samples: dict[str, list[float]] = {}
                if spec.part is None:
                    samples["cli_startup_ms"] = [_start_up_ms() for _ in range(STARTS)]
                runs.append(samples)
                done = sum(len(each.get("cpu_ms", ())) for each in runs)
                for number, values in enumerate(_iterations(chosen, private, share, until, clock)):
                    for key, value in values.items():
                        samples.setdefault(key, []).append(value)
                    progress(done + number + 1, chosen.iterations)
        except (_Cut, WorkerFailed, KeyboardInterrupt) as reason:
            if not any("cpu_ms" in each for each in runs):
                raise
            cut, exit_code = _why(reason)
        finally:
            if spec.provider not in FREE:
                spent(_costs(private))
    return Ran(
        workload=_workload(chosen, runs, is_cut=cut is not None), cut=cut, exit_code=exit_code
    )


def _costs(private: Private) -> list[CostRecorded]:
    """What was paid, as facts for the ledger of who pays."""
    with ledger_of(private) as ledger:
        events = [each.event for each in ledger.read_all(types=("cost.recorded",))]
    return [
        replace(each, operation="benchmark", batch=None, persona=None)
        for each in events
        if isinstance(each, CostRecorded)
    ]


def _why(reason: BaseException) -> tuple[str, int]:
    """In words, and as the status that a command ends with."""
    match reason:
        case _Cut() | WorkerFailed():
            return str(reason), reason.EXIT_CODE
        case _:
            return "interrupted", 130


def _iterations(
    chosen: Chosen,
    private: Private,
    share: int,
    until: float | None,
    clock: Callable[[], float],
) -> Iterator[dict[str, float]]:
    """One process's samples, after those that only warm it up."""
    task = task_of(chosen.spec, private, chosen.model, base_url=chosen.base_url)
    with worker(private, task) as one:
        for _ in range(chosen.spec.warm_up):
            one.iterate()
        for _ in range(share):
            if until is not None and clock() >= until:
                raise _Cut(f"the time limit of {chosen.limit_s:g} s is over")
            yield one.iterate()


def _workload(chosen: Chosen, runs: list[dict[str, list[float]]], *, is_cut: bool) -> Workload:
    spec = chosen.spec
    whole = Workload(
        description=spec.description,
        provider=spec.provider,
        model=chosen.model,
        seed=spec.seed,
        iterations=sum(len(each.get("cpu_ms", ())) for each in runs),
        input_digest=digest(spec),
        runs=[each for each in runs if "cpu_ms" in each],
        interrupted=is_cut,
    )
    return replace(whole, metrics=figures(whole))


def _start_up_ms() -> float:
    """The wall time of the shortest command there is."""
    began_ns = time.perf_counter_ns()
    subprocess.run(
        [sys.executable, "-P", "-m", "persona", "--version"], check=True, stdout=subprocess.DEVNULL
    )
    return (time.perf_counter_ns() - began_ns) / 1e6


def _limit(private: Private, chosen: Chosen) -> None:
    """Has the private ledger refuse calls that would cost more, all iterations together.

    Raises:
        WorkerFailed: it doesn't know what they cost.
    """
    budget_nanousd = chosen.budget_nanousd
    if budget_nanousd is None:
        return
    with ledger_of(private) as ledger:
        ledger.append(
            [
                *chosen.prices,
                BudgetSet(
                    id=event_id(),
                    at=now(),
                    scope="monthly",
                    limit_nanousd=budget_nanousd,
                    action="stop",
                    thresholds=[100],
                    timezone="UTC",
                ),
            ]
        )
        provider, model = chosen.spec.provider, chosen.model
        asked = Estimate(
            provider=provider, model=model, input_tokens=[1_000], max_output_tokens=1_000
        )
        if provider not in FREE and ledger.ask(asked).expected_nanousd is None:
            raise WorkerFailed(
                f"nobody knows what {provider}/{model} costs, so that no budget could stop it: "
                "`persona cost prices set` tells"
            )
