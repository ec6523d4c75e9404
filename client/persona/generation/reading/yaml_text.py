"""YAML, with nothing but strings, lists and dictionaries made of it."""

from typing import TYPE_CHECKING, Any, cast

import yaml

from persona.generation.reading.found import ReadProblem

if TYPE_CHECKING:
    from persona.generation.reading.structured import Value

MAX_DEPTH = 60
MAX_NODES = 2_000_000
"""With every alias counted as what it stands for: nine lines can stand for a billion."""


def load(text: str) -> list["Value"]:
    """The documents of a YAML text. Raises ReadProblem with the line.

    The base loader makes no objects and guesses no types: `no` stays `no`, `1,5` stays `1,5`.
    """
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _refuse_bombs(text, loader)
        # Only strings, lists and dictionaries come out of the base loader.
        return cast("list[Value]", list(yaml.load_all(text, Loader=loader)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise ReadProblem(f"broken YAML: {error.problem or error.context}", line) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ReadProblem("broken YAML: it holds a control character", line) from error


def _refuse_bombs(text: str, loader: Any) -> None:
    """Count nodes as if every alias were written out, before anything is built."""
    sizes: dict[str, int] = {}
    open_anchors: list[str | None] = []
    started: list[int] = []
    total = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.DocumentStartEvent):
            sizes.clear()
        elif isinstance(event, yaml.AliasEvent) and event.anchor is not None:
            if event.anchor in open_anchors:
                raise ReadProblem("broken YAML: an alias stands for what it is inside of", line)
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_anchors.append(event.anchor)
            started.append(total)
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor = open_anchors.pop()
            began = started.pop()
            if anchor:
                sizes[anchor] = total - began
        if total > MAX_NODES:
            raise ReadProblem(f"the YAML stands for more than {MAX_NODES:,} values", line)
        if len(started) > MAX_DEPTH:
            raise ReadProblem(f"the YAML is nested deeper than {MAX_DEPTH} levels", line)
