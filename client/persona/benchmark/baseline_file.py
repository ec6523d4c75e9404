"""A kept run, as a YAML file that people read and git compares.

Raw samples are kept, one map a process, so that whoever compares decides by them and not by what
was once thought a good summary.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from personad.contract.base import VERSION
from personad.contract.options import Benchmark

from .metrics import METRICS, limits_of

FORMAT = 1
"""Of the file; another one is refused."""


_SAMPLES = re.compile(rb"(?m): (\[[-0-9.eE, ]+\])$")
"""A list of plain numbers in one line, as `dump` writes them: JSON as well."""


class Environment(Struct, frozen=True, kw_only=True):
    """Where a run was made."""

    python_version: str
    platform: str
    os: str
    arch: str
    cpu: str
    cores: int
    memory_gb: float
    persona_version: str


class Workload(Struct, frozen=True, kw_only=True):
    """One workload's part of a run."""

    description: str
    provider: str
    model: str
    seed: int
    iterations: int
    input_digest: str
    """Of everything that determines what is done: the input, the settings, the simulated times."""
    runs: list[dict[str, list[float]]]
    metrics: dict[str, float] = {}
    """For readers: what the runs come to."""
    interrupted: bool = False
    """It has fewer iterations than it should; it is never compared."""
    run: str | None = None
    """Its id in the ledger that it was recorded in."""


class Accepted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change for the worse that is meant."""

    metric: str
    reason: Annotated[str, Meta(min_length=1)]


_Change = Annotated[float, Meta(ge=0, le=10_000)]


class Judged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From how many percent worse on a metric is warned of, and is a failure."""

    warn: _Change
    fail: _Change
    better: Literal["lower", "higher"]


class Baseline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run, kept."""

    format: int = FORMAT
    name: str
    version: str
    captured_at: datetime
    commit: str | None = None
    environment: Environment
    thresholds: dict[str, Judged] = {}
    """By the names of `[benchmark.thresholds]`, which they go before."""
    accepted: list[Accepted] = []
    checksum: str | None = None
    """Of everything but what people write: `thresholds` and `accepted`."""
    workloads: dict[str, Workload]


class BaselineError(Exception):
    """A baseline that can't be used; the message says why, and `hint` what to do."""

    EXIT_CODE = 65

    def __init__(self, source: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.hint = hint


def figures(workload: Workload) -> dict[str, float]:
    """What the runs come to, by metric."""
    found = ((each.name, each.figure(workload.runs)) for each in METRICS)
    return {name: value for name, value in found if value is not None}


def thresholds_of(settings: Benchmark) -> dict[str, Judged]:
    """What the configuration says, as a baseline keeps it."""
    found = {}
    for each in METRICS:
        limits = limits_of(each, settings)
        better: Literal["lower", "higher"] = "higher" if each.higher_is_better else "lower"
        found[each.limits] = Judged(
            warn=limits.warn_percent, fail=limits.fail_percent, better=better
        )
    return found


def checksum(baseline: Baseline) -> str:
    """Of what nobody is to edit."""
    told = replace(baseline, thresholds={}, accepted=[], checksum=None)
    return f"sha256:{hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]}"


def dump(baseline: Baseline) -> bytes:
    """The file's text: lists in one line each, so that a process's samples are a line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(
        list,
        lambda dumper, data: dumper.represent_sequence(
            "tag:yaml.org,2002:seq",
            data,
            flow_style=bool(data) and not isinstance(data[0], Mapping),
        ),
    )
    Dumper.add_representer(
        dict,
        lambda dumper, data: dumper.represent_mapping(
            "tag:yaml.org,2002:map", data, flow_style="warn" in data
        ),
    )
    plain = _written(baseline)
    plain["checksum"] = checksum(msgspec.convert(plain, Baseline))
    text: str = yaml.dump(
        plain, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1_000_000
    )
    return text.encode()


def _written(baseline: Baseline) -> Any:
    """Plain data with samples as short as they are exact enough: 7 significant digits."""
    plain = msgspec.to_builtins(baseline, builtin_types=(datetime,))
    plain["captured_at"] = baseline.captured_at.isoformat(timespec="seconds")
    for workload in plain["workloads"].values():
        workload["runs"] = [
            {key: [_short(value) for value in values] for key, values in run.items()}
            for run in workload["runs"]
        ]
        workload["metrics"] = {key: _short(value) for key, value in workload["metrics"].items()}
        if not workload["interrupted"]:
            del workload["interrupted"]
    for each in plain["thresholds"].values():
        each |= {"warn": _short(each["warn"]), "fail": _short(each["fail"])}
    return plain


def _short(value: float) -> float | int:
    rounded = float(f"{value:.7g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def load(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        BaselineError: there is none, or it can't be trusted; the message says which and why.
    """
    source = str(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise BaselineError(
            source,
            "there is no such baseline",
            "`persona benchmark list` shows those there are; `persona benchmark capture` makes one",
        ) from None
    except (IsADirectoryError, PermissionError) as error:
        raise BaselineError(source, f"it can't be read: {str(error.strerror).lower()}") from None
    return parse(text, source)


def parse(text: bytes, source: str) -> Baseline:
    """As `load`, of the file's text."""
    import yaml

    try:
        # YAML takes 25 ms for the numbers of a run, JSON less than one.
        quoted = _SAMPLES.sub(rb": '\1'", text)
        plain = yaml.load(quoted, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or "it is no text"
        raise BaselineError(where, f"it is no YAML: {problem}") from None
    except RecursionError:
        raise BaselineError(source, "it is no YAML: nested too deep") from None
    if not isinstance(plain, dict):
        raise BaselineError(source, "it is no baseline: a map of name, version, workloads …")
    _known(plain, source)
    plain = _unquoted(plain)
    _numbers(plain, source)
    try:
        baseline = msgspec.convert(plain, Baseline, strict=True)
    except msgspec.ValidationError as error:
        raise BaselineError(source, f"it is no baseline: {error}") from None
    for name, workload in baseline.workloads.items():
        _check(name, workload, source)
    _judged(baseline, source)
    if baseline.checksum not in (None, checksum(baseline)):
        raise BaselineError(source, f"its checksum is another's: {_EDITED}", _MEND)
    return baseline


def _unquoted(plain: Any) -> Any:
    """With lists of numbers for their texts; what is none is left for whoever checks types."""
    match plain:
        case dict():
            return {key: _unquoted(value) for key, value in plain.items()}
        case list():
            return [_unquoted(value) for value in plain]
        case str() if plain.startswith("["):
            try:
                return msgspec.json.decode(plain)
            except msgspec.DecodeError:
                return plain
        case _:
            return plain


def _known(plain: dict[Any, Any], source: str) -> None:
    """Refuses files of another format, and of a newer program."""
    found = plain.get("format")
    if found != FORMAT:
        raise BaselineError(
            source,
            f"it has format {found!r}, and this program knows format {FORMAT}",
            "capture it again: `persona benchmark capture --force`",
        )
    version = plain.get("version")
    if isinstance(version, str) and _order(version) > _order(VERSION):
        raise BaselineError(
            source,
            f"it was captured by version {version}, which is newer than this one ({VERSION})",
            "install that version, or name an older baseline with --baseline",
        )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _numbers(plain: dict[Any, Any], source: str) -> None:
    """Refuses samples that are no numbers; whatever else is wrong, the types say."""
    workloads = plain.get("workloads")
    for name, workload in workloads.items() if isinstance(workloads, dict) else ():
        runs = workload.get("runs") if isinstance(workload, dict) else None
        for index, run in enumerate(runs if isinstance(runs, list) else (), 1):
            for key, values in run.items() if isinstance(run, dict) else ():
                if not isinstance(values, list) or not all(map(_is_number, values)):
                    raise BaselineError(
                        source,
                        f"workloads.{name}.runs[{index}].{key} has a sample that is no number",
                        "capture it again: `persona benchmark capture --force`",
                    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value is not True and math.isfinite(value)


def _judged(baseline: Baseline, source: str) -> None:
    """Refuses what people wrote of metrics that there aren't, or against what they are."""
    names = [each.name for each in METRICS]
    for accepted in baseline.accepted:
        if accepted.metric not in names:
            raise BaselineError(
                source,
                f"accepted: there is no metric {accepted.metric}",
                f"there are {', '.join(names)}",
            )
    better = {each.limits: each.higher_is_better for each in METRICS}
    for name, limits in baseline.thresholds.items():
        if name not in better:
            raise BaselineError(
                source, f"thresholds: there is no {name}", f"there are {', '.join(better)}"
            )
        if limits.warn > limits.fail:
            raise BaselineError(
                source,
                f"thresholds.{name} warns from {limits.warn:g} on, and fails from "
                f"{limits.fail:g} on: they are reversed",
            )
        if (limits.better == "higher") != better[name]:
            other = "higher" if better[name] else "lower"
            raise BaselineError(source, f"thresholds.{name}: {other} is better of this metric")


_EDITED = "it was edited"
_MEND = "take it back from version control, or capture it again"


def _check(name: str, workload: Workload, source: str) -> None:
    """Refuses a lack of samples, and figures that are not the samples'."""
    if not any(values for run in workload.runs for values in run.values()):
        raise BaselineError(
            source,
            f"workloads.{name} has no samples",
            "capture it again: `persona benchmark capture --force`",
        )
    found = figures(workload)
    for metric, value in workload.metrics.items():
        if metric in found and not math.isclose(value, found[metric], rel_tol=1e-5):
            raise BaselineError(
                source,
                f"workloads.{name}.metrics.{metric} is {value:g}, but its samples come to "
                f"{found[metric]:g}: {_EDITED}",
                _MEND,
            )
