"""The personas in files that any tool may have written: JSON, JSON lines, YAML."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.generation.foreign import Mapped, fields_of, mapped
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
    bad: list[Skipped] = []
    try:
        documents = _documents(path, name, bad)
    except (ReadProblem, OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        skipped.append(Skipped(name, reason or type(error).__name__))
        return
    skipped += bad
    several = len(documents) > 1
    before = len(found)
    for at, raw in enumerate(documents, 1):
        if isinstance(raw, dict) and (persona := mapped(raw)) is not None:
            found.append(Found(f"{name}#{at}" if several else name, persona, raw))
    if len(found) == before:
        skipped.append(Skipped(name, "it has none, or says only one, of the fields of a persona"))
    elif (others := before + len(documents) - len(found)) > 0:
        skipped.append(Skipped(name, f"{others} of its {len(documents)} entries are no personas"))


def _documents(path: Path, name: str, bad: list[Skipped]) -> list[object]:
    """Of JSON lines those that are JSON; the others join `bad`.

    Raises ReadProblem, OSError; ValueError for what is no JSON or no UTF-8.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ReadProblem(f"personas are read from {', '.join(ENDINGS)}")
    if not path.is_file():
        raise ReadProblem("it is no regular file")
    if path.stat().st_size > LARGEST_BYTES:
        raise ReadProblem(f"it is larger than {LARGEST_BYTES >> 20} MB")
    text = path.read_bytes().decode("utf-8-sig")
    if ending in (".yaml", ".yml"):
        from persona.generation.reading import yaml_text

        documents: list[object] = list(yaml_text.load(text))
    elif ending == ".json":
        documents = [msgspec.json.decode(text)]
    else:
        documents = []
        for number, line in enumerate(text.split("\n"), 1):
            try:
                documents += [msgspec.json.decode(line)] if line.strip() else []
            except (ValueError, RecursionError) as error:
                bad.append(Skipped(f"{name}:{number}", str(error)))
    return [each for document in documents for each in _unwrapped(document)]


def _unwrapped(document: object) -> list[object]:
    """The personas of a document that is a list of them, holds one under a usual name, or has
    them by their names."""
    match document:
        case list():
            return [each for item in document for each in _unwrapped(item)]
        case dict():
            for name in _WRAPPED:
                match document.get(name):
                    case [dict(), *_] as inside:
                        return [*inside]
                    case dict() as inside if (within := _unwrapped(inside)) != [inside]:
                        return within
                    case _:
                        continue
            return _by_name(document) or [document]
    return [document]


def _by_name(document: dict[str, object]) -> list[object]:
    """The personas of an object whose keys are their names: all have the same two fields or more,
    which the sections of a single persona have not. Nothing where it is none."""
    inside = {key: each for key, each in document.items() if isinstance(each, dict)}
    if not 1 < len(inside) == len(document) or fields_of(document):
        return []
    common = set.intersection(*map(fields_of, inside.values()))
    return [{"name": key} | each for key, each in inside.items()] if len(common) > 1 else []
