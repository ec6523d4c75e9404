"""The personas in files that any tool may have written: JSON, JSON lines, YAML."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.generation.foreign import Mapped, mapped
from persona.generation.reading.found import ReadProblem

ENDINGS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
LARGEST_BYTES = 64 << 20
_WRAPPED = ("personas", "data", "results", "items", "output", "profiles", "users")
"""Under what a document may have its personas; of ours, `persona` may hold a single one."""


class Found(Struct, frozen=True):
    file: str
    """Relative to what was asked for; with `#N` where a file has several."""
    mapped: Mapped
    raw: dict[str, object]


class Skipped(Struct, frozen=True):
    file: str
    reason: str


def find(path: Path) -> tuple[list[Found], list[Skipped]]:
    """The personas in a file, or in a folder's files, in the order of their names.

    Raises OSError where `path` itself can't be read.
    """
    found: list[Found] = []
    skipped: list[Skipped] = []
    if not path.is_dir():
        path.stat()
        _read(path, path.name, found, skipped)
        return found, skipped
    personas = path / "personas"
    for file in sorted(_files(personas if personas.is_dir() else path)):
        _read(file, str(file.relative_to(path)), found, skipped)
    return found, skipped


def _files(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(above) / name


def _read(path: Path, name: str, found: list[Found], skipped: list[Skipped]) -> None:
    try:
        documents = _documents(path)
    except (ReadProblem, OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        skipped.append(Skipped(name, reason or type(error).__name__))
        return
    several = len(documents) > 1
    before = len(found)
    for at, raw in enumerate(documents, 1):
        if isinstance(raw, dict) and (persona := mapped(raw)) is not None:
            found.append(Found(f"{name}#{at}" if several else name, persona, raw))
    if len(found) == before:
        skipped.append(Skipped(name, "there is no field in it that a persona has"))
    elif (others := before + len(documents) - len(found)) > 0:
        skipped.append(Skipped(name, f"{others} of its {len(documents)} entries are no personas"))


def _documents(path: Path) -> list[object]:
    """Raises ReadProblem, OSError; ValueError for what is no JSON or no UTF-8."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ReadProblem(f"personas are read from {', '.join(ENDINGS)}")
    if path.stat().st_size > LARGEST_BYTES:
        raise ReadProblem(f"it is larger than {LARGEST_BYTES >> 20} MB")
    text = path.read_bytes().decode("utf-8-sig")
    if ending in (".yaml", ".yml"):
        from persona.generation.reading import yaml_text

        documents: list[object] = list(yaml_text.load(text))
    elif ending == ".json":
        documents = [msgspec.json.decode(text)]
    else:
        documents = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
    return [each for document in documents for each in _unwrapped(document)]


def _unwrapped(document: object) -> list[object]:
    """The personas of a document that is a list of them, or holds one under a usual name."""
    match document:
        case list():
            return [each for item in document for each in _unwrapped(item)]
        case dict():
            for name in _WRAPPED:
                inside = document.get(name)
                if isinstance(inside, list) and inside and isinstance(inside[0], dict):
                    return inside
    return [document]
