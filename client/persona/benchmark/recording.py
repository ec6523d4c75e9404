"""A run's place in the ledger, and the kept form of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import SystemRandom

import msgspec

from persona.client import Ledger
from persona.identity import event_id, now
from personad.contract.base import VERSION
from personad.contract.benchmark import BenchmarkFinished
from personad.contract.cost import CostRecorded
from personad.contract.options import DEFAULTS, Benchmark

from .baseline_file import Baseline, Environment, Workload, thresholds_of
from .environment import commit, environment
from .integration import SAMPLES_KEPT, Loaded
from .measures import RunReport, lines, summary
from .metrics import statistics
from .running import Chosen, Ran, Spent

INTERRUPTED = "interrupted"
"""The environment's entry that says why a recorded run is only a part."""
DIGEST = "input_digest"
SEED = "seed"


_NOWHERE = dict.fromkeys(Environment.__struct_fields__, "unknown") | {
    "cores": "0",
    "memory_gb": "0",
}


_AT_ONCE = 500
"""Events an append."""


def run_id(moment_text: str, chance: SystemRandom) -> str:
    return f"run-{moment_text}-{chance.getrandbits(24):06x}"


def record(ledger: Ledger, suite: str, chosen: Chosen, ran: Ran) -> BenchmarkFinished:
    """Appends the run with its raw samples. Raises LedgerError."""
    moment = now()
    workload = ran.workload
    told = {name: str(value) for name, value in msgspec.to_builtins(environment()).items()}
    told[DIGEST] = workload.input_digest
    told[SEED] = str(workload.seed)
    if ran.cut is not None:
        told[INTERRUPTED] = ran.cut
    event = BenchmarkFinished(
        id=event_id(),
        at=moment,
        run=run_id(f"{moment:%Y-%m-%d}", SystemRandom()),
        suite=suite,
        workload=chosen.spec.name,
        provider=workload.provider,
        model=workload.model,
        environment=told,
        runs=workload.runs,
        summary=summary(workload),
        commit=commit(Path.cwd()),
    )
    ledger.append([event])
    return event


def record_spent(ledger: Ledger) -> Spent:
    """What appends the costs of a paid run, so that `persona cost` has them. Raises LedgerError."""

    def spent(costs: list[CostRecorded]) -> None:
        for start in range(0, len(costs), _AT_ONCE):
            ledger.append(costs[start : start + _AT_ONCE])

    return spent


def record_load(ledger: Ledger, loaded: Loaded) -> BenchmarkFinished:
    """Appends a load test; of its raw samples only every so many-th. Raises LedgerError."""
    moment = now()
    told = {name: str(value) for name, value in msgspec.to_builtins(environment()).items()}
    load = loaded.report.load
    told |= {"users": str(load.users), "duration_s": f"{load.duration_s:g}"}
    named = {f"{name}_ms": values for name, values in loaded.samples.items()}
    thinned = {
        name: values[:: max(1, -(-len(values) // SAMPLES_KEPT))] for name, values in named.items()
    }
    event = BenchmarkFinished(
        id=event_id(),
        at=moment,
        run=run_id(f"{moment:%Y-%m-%d}", SystemRandom()),
        suite="integration",
        workload="integration",
        provider="none",
        model="none",
        environment=told,
        runs=[thinned],
        summary=statistics([named]),
        commit=commit(Path.cwd()),
    )
    ledger.append([event])
    return event


def report_of(
    event: BenchmarkFinished, chosen: Chosen, ran: Ran, took_s: float, only: Sequence[str]
) -> RunReport:
    """What is told of a run that has just ended."""
    return RunReport(
        run=event.run,
        suite=event.suite,
        workload=event.workload,
        provider=event.provider,
        model=event.model,
        environment=environment_of(event),
        commit=event.commit,
        interrupted=ran.cut,
        took_s=round(took_s, 3),
        warm_up=chosen.spec.warm_up,
        metrics=lines(ran.workload, only),
    )


def environment_of(event: BenchmarkFinished) -> Environment:
    """Where a recorded run was made; `unknown` where whoever recorded it didn't say."""
    try:
        return msgspec.convert(_NOWHERE | event.environment, Environment, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(_NOWHERE, Environment, strict=False)


def workload_of(event: BenchmarkFinished) -> Workload:
    """A recorded run as a kept one."""
    told = event.environment
    return Workload(
        description=event.suite,
        provider=event.provider,
        model=event.model,
        seed=int(seed) if (seed := told.get(SEED, "")).isdecimal() else 0,
        iterations=sum(len(run.get("cpu_ms", ())) for run in event.runs),
        input_digest=told.get(DIGEST, ""),
        runs=event.runs,
        interrupted=INTERRUPTED in told,
    )


def kept(event: BenchmarkFinished) -> Baseline:
    """A recorded run as if it had been captured."""
    return Baseline(
        name=event.run,
        version=event.environment.get("persona_version", VERSION),
        captured_at=event.at,
        environment=environment_of(event),
        workloads={event.workload: workload_of(event)},
        commit=event.commit,
    )


def baseline_of(
    name: str,
    workloads: Mapping[str, Workload],
    repository: Path,
    settings: Benchmark = DEFAULTS.benchmark,
) -> Baseline:
    """A run of this version on this machine, to be kept under a name."""
    return Baseline(
        name=name,
        version=VERSION,
        captured_at=now().replace(microsecond=0),
        environment=environment(),
        thresholds=thresholds_of(settings),
        workloads=dict(workloads),
        commit=commit(repository),
    )
