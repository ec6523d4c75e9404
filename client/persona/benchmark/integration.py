"""A daemon under load: locust as a process of its own, against a private ledger."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from .metrics import statistics
from .private import Private, private_ledger

LOAD_TEST = Path(__file__).with_name("load_test.py")
SAMPLES_KEPT = 20_000
"""Of each request in the ledger: every so many-th of them."""
_ENDS_WITHIN_S = 60.0


class LoadFailed(Exception):
    """The load test could not be run, or its daemon died."""

    EXIT_CODE = 3

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Load(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    users: int
    spawn_rate: float
    """Users a second."""
    duration_s: float


class Requests(Struct, frozen=True, kw_only=True):
    """One kind of request; from raw samples."""

    name: str
    n: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class LoadReport(Struct, frozen=True, kw_only=True):
    """What a daemon did under load."""

    load: Load
    requests_per_s: float
    requests: list[Requests]
    failed: int
    lag_p99_ms: float | None
    """Of a small question asked every 10 ms, whatever else went on."""
    frames: int
    """That one watcher heard."""


class Loaded(Struct, frozen=True, kw_only=True):
    """A report with its raw samples."""

    report: LoadReport
    samples: dict[str, list[float]]


class _Told(Struct, frozen=True):
    samples: dict[str, list[float]]
    failures: dict[str, int]
    frames: int


def run_load(load: Load, meanwhile: Callable[[Private], None] = lambda private: None) -> Loaded:
    """Runs it.

    Args:
        meanwhile: what is done to the daemon while it is under load.

    Raises:
        LoadFailed: locust isn't installed, or gave no samples.
        PrivateFailed, OSError.
    """
    if importlib.util.find_spec("locust") is None:
        raise LoadFailed(
            "the integration suite needs locust, which is not installed",
            "pip install 'persona-observability[load]'",
        )
    with private_ledger() as private:
        kept = private.folder / "samples.json"
        environment = private.environment | {
            "PERSONA_LOAD_API": str(private.paths.api_socket),
            "PERSONA_LOAD_LIVE": str(private.paths.live_socket),
            "PERSONA_LOAD_SAMPLES": str(kept),
        }
        log = private.folder / "locust.out"
        began = time.monotonic()
        with log.open("wb") as said:
            locust = subprocess.Popen(
                _command(load),
                env=environment,
                cwd=private.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            try:
                meanwhile(private)
                status = locust.wait(load.duration_s + _ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise LoadFailed("locust does not end; its daemon may be at fault") from None
            finally:
                locust.kill()
                locust.wait()
        took_s = min(time.monotonic() - began, load.duration_s)
        if not kept.exists():
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise LoadFailed(f"locust ended with {status}: {''.join(last) or 'no word'}")
        told = msgspec.json.decode(kept.read_bytes(), type=_Told)
    return Loaded(
        report=report_of(load, told.samples, told.failures, told.frames, took_s),
        samples=told.samples,
    )


def _command(load: Load) -> list[str]:
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOAD_TEST), "--headless", "--only-summary"),
        *("-u", str(load.users), "-r", f"{load.spawn_rate:g}"),
        *("-t", f"{load.duration_s:g}s", "--stop-timeout", "2", "--loglevel", "WARNING"),
    ]


def report_of(
    load: Load,
    samples: dict[str, list[float]],
    failures: dict[str, int],
    frames: int,
    took_s: float,
) -> LoadReport:
    """Percentiles from raw samples; p95 and p99 only of enough of them."""
    found = statistics([samples])
    names = sorted({*samples, *failures} - {"lag"})
    requests = [
        Requests(
            name=name,
            n=found[name].n if name in found else 0,
            failed=failures.get(name, 0),
            p50_ms=found[name].p50 if name in found else None,
            p95_ms=found[name].p95 if name in found else None,
            p99_ms=found[name].p99 if name in found else None,
        )
        for name in names
    ]
    return LoadReport(
        load=load,
        requests_per_s=sum(each.n for each in requests) / took_s,
        requests=requests,
        failed=sum(each.failed for each in requests),
        lag_p99_ms=found["lag"].p99 if "lag" in found else None,
        frames=frames,
    )
