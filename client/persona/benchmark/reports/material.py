"""What every report is made from."""

from collections.abc import Sequence

from msgspec import Struct

from persona.benchmark.comparing import Comparison
from persona.benchmark.measures import MeasuredMetric, lines, of_statistics
from persona.benchmark.recording import INTERRUPTED, workload_of
from personad.contract.benchmark import BenchmarkFinished

TOLD = ("cpu", "cores", "memory_gb", "platform", "python_version", "persona_version")
"""What of the environment is told, in order."""


class Material(Struct, frozen=True, kw_only=True):
    """A recorded run, and what it is compared with."""

    run: BenchmarkFinished
    comparison: Comparison | None = None
    history: Sequence[BenchmarkFinished] = ()
    """Earlier runs, the newest first."""

    @property
    def metrics(self) -> list[MeasuredMetric]:
        """With the spread over processes, where there are such."""
        return lines(workload_of(self.run)) or of_statistics(self.run.summary)

    @property
    def environment(self) -> list[tuple[str, str]]:
        told = self.run.environment
        return [(name, told[name]) for name in TOLD if name in told]

    @property
    def cut(self) -> str | None:
        """Why the run is only a part."""
        return self.run.environment.get(INTERRUPTED)
