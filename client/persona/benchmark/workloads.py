"""What is run: workloads as data.

`WORKLOADS` is the whole list. The digest is over everything that determines what a workload does,
so that runs of two digests are never compared.
"""

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

from .corpus import interviews

FREE = frozenset({"simulated", "local", "ollama"})
"""Providers that nobody is paid for."""

Suite = Literal["generation", "micro", "integration"]


class WorkloadSpec(Struct, frozen=True, kw_only=True):
    """One workload of the generation suite."""

    name: str
    description: str
    personas: int
    """That one iteration makes."""
    iterations: int
    """Of all processes together."""
    limit_s: float | None = None
    """After so many seconds no further iteration begins."""
    source_bytes: int = 40_000
    provider: str = "simulated"
    model: str | None = None
    """None is the provider's usual one."""
    concurrency: int = 4
    seed: int = 7
    latency_ms: float = 300.0
    """The simulated provider's median; real ones take 5 to 30 times as long, which would only make
    a run longer: what is measured is this program."""
    spread: float = 0.25
    """σ of the lognormal factor on it."""
    warm_up: int = 1
    """Iterations of each process before the first that counts."""
    part: str | None = None
    """Of the micro suite: which part is measured, instead of making personas."""
    times: int = 1
    """How often an iteration does the part: so often that it takes some 5 to 50 ms."""


WORKLOADS: dict[str, WorkloadSpec] = {
    each.name: each
    for each in (
        WorkloadSpec(
            name="quick",
            description="1 persona a run, for a first look",
            personas=1,
            iterations=10,
            limit_s=60,
        ),
        WorkloadSpec(
            name="standard",
            description="3 personas a run: what a release is compared by",
            personas=3,
            iterations=100,
            limit_s=600,
        ),
        WorkloadSpec(
            name="batch",
            description="10 personas a run, 4 at a time",
            personas=10,
            iterations=20,
        ),
        WorkloadSpec(
            name="large",
            description="3 personas a run, from 1 MB of interviews",
            personas=3,
            iterations=20,
            source_bytes=1_000_000,
        ),
        WorkloadSpec(
            name="full",
            description="3 personas a run, 500 times",
            personas=3,
            iterations=500,
            limit_s=1_800,
        ),
        WorkloadSpec(
            name="provider",
            description="3 personas a run by a provider of your own, for comparing several",
            personas=3,
            iterations=10,
        ),
        WorkloadSpec(
            name="local",
            description="3 personas a run by the embedded provider: no wait, only work",
            personas=3,
            iterations=50,
            provider="local",
        ),
    )
}


def _part(name: str, times: int, description: str) -> WorkloadSpec:
    return WorkloadSpec(
        name=name,
        description=f"{description}, {times} times a run",
        personas=3,
        iterations=100,
        provider="local",
        warm_up=3,
        part=name,
        times=times,
    )


PARTS: dict[str, WorkloadSpec] = {
    each.name: each
    for each in (
        _part("parsing", 1, "reading 40 kB of interviews"),
        _part("segmentation", 1, "splitting the speakers into 3 segments"),
        _part("prompts", 5, "building 3 prompts"),
        _part("answers", 100, "parsing 3 answers"),
        _part("scoring", 1, "scoring 3 personas"),
        _part("codec", 20, "encoding and decoding 100 events"),
        _part("append", 5, "100 events into the ledger"),
        _part("query", 10, "a month's costs from the ledger"),
    )
}
"""The micro suite."""


def digest(spec: WorkloadSpec) -> str:
    """Of the input's bytes and of every setting but how often and how long it is run."""
    hashed = hashlib.sha256()
    settings = msgspec.to_builtins(spec)
    for name in ("name", "description", "iterations", "limit_s", "warm_up"):
        del settings[name]
    hashed.update(msgspec.json.encode(settings, order="sorted"))
    for name, text in interviews(spec.source_bytes, spec.seed):
        hashed.update(f"{name}\0{text}\0".encode())
    return f"sha256:{hashed.hexdigest()[:32]}"
