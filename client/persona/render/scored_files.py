"""How scored persona files look: a row each, then what was not borne out, mapped or read."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import values
from .qualities import COMPOSITE, rank
from .tables import SCORE, Column, Fact, Facts, Table, View

if TYPE_CHECKING:
    from persona.generation.scored_files import ScoredFile, ScoredFiles

FEW = 8
NOTHING = "no persona was found; personas are read from JSON, JSON lines and YAML files"


def scored(found: "ScoredFiles", *, verbose: bool) -> View:
    """`verbose` lists everything that is said of each persona, and the parts of each score."""
    names = sorted({name for row in found.personas for name in row.scores}, key=rank)
    columns: tuple[Column[ScoredFile], ...] = (
        Column("File", lambda row: row.file),
        Column("Name", lambda row: row.name or None),
        *(_metric(name) for name in names),
        Column(COMPOSITE.capitalize(), lambda row: row.composite, SCORE),
    )
    lines = [*_said(found, verbose), *_left_out(found), *_mapping(found, verbose)]
    lines += [Fact("not read", f"{each.file}: {each.reason}", "yellow") for each in found.skipped]
    if verbose:
        lines += _parts(found)
    return [Table(columns, found.personas, NOTHING), *([Facts(lines)] if lines else [])]


def _metric(name: str) -> "Column[ScoredFile]":
    value: Callable[[ScoredFile], float | None] = lambda row: row.scores.get(name)  # noqa: E731
    return Column(name.capitalize(), value, SCORE)


def _said(found: "ScoredFiles", verbose: bool) -> list[Fact]:
    lines = [
        Fact(row.name or row.file, text)
        for row in found.personas
        for text in (*row.unsupported, *row.notes)
    ]
    if verbose or len(lines) <= FEW:
        return lines
    return [*lines[:FEW], Fact("and", f"{len(lines) - FEW} more; -v or --json lists them")]


def _left_out(found: "ScoredFiles") -> list[Fact]:
    counted = Counter(pair for row in found.personas for pair in row.left_out.items())
    return [
        Fact("left out", f"{metric} of {values.plural(count, 'persona')}: {reason}", "yellow")
        for (metric, reason), count in counted.items()
    ]


def _mapping(found: "ScoredFiles", verbose: bool) -> list[Fact]:
    renamed = Counter(pair for row in found.personas for pair in row.renamed.items())
    unmapped = Counter(path for row in found.personas for path in row.unmapped)
    read = [f"{there} as {field}" for (field, there), _ in renamed.most_common()]
    most = sys.maxsize if verbose else 2 * FEW
    lines = []
    if read:
        lines.append(Fact("read", _some(read, most)))
    if unmapped:
        paths = [path for path, _ in unmapped.most_common()]
        lines.append(Fact("not mapped", _some(paths, most), "yellow"))
    return lines


def _some(told: Sequence[str], most: int) -> str:
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return f"{', '.join(told[:most])}{more}"


def _parts(found: "ScoredFiles") -> list[Fact]:
    return [
        Fact(
            f"{row.name or row.file}, {metric}",
            ", ".join(f"{part} {values.score(value)}" for part, value in parts.items()),
        )
        for row in found.personas
        for metric, parts in row.parts.items()
        if parts
    ]
