"""A persona as any tool writes it down → ours, as far as its fields' names tell what they are.

A field is known by its own name, wherever it stands: `demographics.jobTitle` is an occupation. What
is not known, or is of a kind that says nothing, is listed and not guessed.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from persona.generation.cleaning import clean_draft, clean_line
from persona.generation.model import Draft, Evidence
from persona.generation.quality.metric import LIST_FIELDS

NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name", "full_name", "persona_name", "display_name"),
    "age": ("age", "age_range", "age_group"),
    "occupation": ("occupation", "job_title", "job", "profession", "role", "position", "work"),
    "location": ("location", "city", "place", "residence", "lives_in", "region", "country"),
    "summary": (
        "summary", "bio", "biography", "description", "about", "overview", "narrative", "story",
        "backstory", "background", "profile", "persona",
    ),
    "goals": (
        "goals", "goal", "key_goals", "primary_goals", "user_goals", "objectives", "needs",
        "user_needs", "needs_and_goals", "goals_and_needs", "wants", "aims", "desires",
        "jobs_to_be_done", "jtbd",
    ),
    "pain_points": (
        "pain_points", "pain_point", "pains", "frustrations", "frustration", "challenges",
        "problems", "obstacles", "barriers", "worries", "fears", "concerns",
    ),
    "behaviours": (
        "behaviours", "behaviors", "behaviour", "behavior", "habits", "routines", "activities",
        "behavioural_patterns", "behavioral_patterns", "daily_routine", "day_in_the_life",
    ),
    "motivations": ("motivations", "motivation", "motivators", "drivers", "values"),
    "quotes": (
        "quotes", "quote", "key_quotes", "key_quote", "representative_quotes", "sample_quotes",
        "verbatims", "verbatim", "quotations", "typical_quotes", "typical_quote",
    ),
}  # fmt: skip
"""The names of each field, the surest first."""
_RANK = {name: (field, at) for field, names in NAMES.items() for at, name in enumerate(names)}
_OF_OURS = frozenset({"id", "segment", "quality", "provenance", "evidence"})
"""What a persona of this program has besides, which is no text about the person."""
_TEXT_KEYS = (
    "text", "value", "title", "name", "description", "content", "statement", "goal", "pain_point",
    "frustration", "behaviour", "behavior", "motivation", "quote", "need", "label",
)  # fmt: skip
"""Under what an item that is an object has its words."""
_DEEPEST = 4
_BLANK = 3
"""An object with so many of the fields is a persona, even where they hold nothing."""
_LINE = re.compile(r"\s*(?:\n|;)\s*(?:[-*•]\s+)?")
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Mapped(Struct, frozen=True):
    draft: Draft
    renamed: dict[str, str]
    """Where each field that has another name there comes from: `pain_points` → `frustrations`."""
    unmapped: list[str]
    """What there is besides, as paths."""


def mapped(found: dict[str, object]) -> Mapped | None:
    """The persona that an object describes; None where it describes none."""
    known: dict[str, list[tuple[int, str, object]]] = {}
    unmapped: list[str] = []
    named: set[str] = set()
    for path, key, value in _fields(found):
        field, rank = _RANK.get(key, ("", 0))
        named.add(field)
        if field and (texts := list(_texts(value, field in LIST_FIELDS))):
            known.setdefault(field, []).append((rank, path, texts))
        elif value not in (None, "", [], {}) and path.split(".")[0] not in _OF_OURS:
            unmapped.append(path)
    fields: dict[str, object] = {}
    renamed: dict[str, str] = {}
    for field, values in known.items():
        values.sort(key=lambda each: each[0])
        used = values if field in LIST_FIELDS else values[:1]
        unmapped += [path for _, path, _ in values[len(used) :]]
        texts = [text for _, _, each in used if isinstance(each, list) for text in each]
        fields[field] = texts if field in LIST_FIELDS else _joined(field, texts)
        paths = [path for _, path, _ in used]
        if paths != [field]:
            renamed[field] = ", ".join(paths)
    says_something = fields.keys() & {"summary", *LIST_FIELDS} or len(fields) > 1
    if not says_something and len(named - {""}) < _BLANK:
        return None
    draft = clean_draft(
        Draft(
            name=str(fields.get("name", "")),
            **{field: fields[field] for field in fields if field != "name"},  # type: ignore[arg-type]
            evidence=list(_evidence(found.get("evidence"))),
        )
    )
    return Mapped(draft, renamed, sorted(unmapped))


def _fields(
    found: dict[str, object], above: str = "", depth: int = 1
) -> Iterator[tuple[str, str, object]]:
    """Every field's path, plain name and value; objects that are no field of ours are opened."""
    for name, value in found.items():
        path, key = f"{above}{clean_line(str(name), 80)}", _plain(str(name))
        if not above and key in _OF_OURS:
            yield path, "", value
        elif (
            isinstance(value, dict)
            and depth < _DEEPEST
            and (key not in _RANK or key in NAMES["summary"])
        ):
            yield from _fields(value, f"{path}.", depth + 1)
        else:
            yield path, key, value


def _plain(name: str) -> str:
    """`painPoints`, `Pain Points` and `pain-points` are `pain_points`."""
    spelt = _CAMEL.sub("_", name).replace("&", " and ")
    return re.sub(r"[^\w]+|_+", "_", spelt).strip("_").casefold()


def fields_of(found: dict[str, object]) -> set[str]:
    """The fields of a persona that an object has itself, under whatever name."""
    return {_RANK[key][0] for key in map(_plain, found) if key in _RANK}


def _joined(field: str, texts: list[str]) -> str:
    return (" " if field == "summary" else ", ").join(texts)


def _texts(value: object, split: bool, depth: int = 1) -> Iterator[str]:
    """The words in a value, item by item; of true, false and nothing there are none.

    `split`: a text may be a list of lines.
    """
    match value:
        case str() if not split:
            yield from filter(None, [value.strip()])
        case str():
            yield from (_MARK.sub("", line).strip() for line in _LINE.split(value) if line.strip())
        case bool() | None:
            return
        case int() | float():
            yield f"{value:g}" if isinstance(value, float) else str(value)
        case {"min": low, "max": high}:
            yield f"{low}–{high}"
        case list() if depth <= _DEEPEST:
            for item in value:
                yield from _texts(item, split, depth + 1)
        case dict() if depth <= _DEEPEST:
            keys = {_plain(str(key)): each for key, each in value.items()}
            worded = [key for key in _TEXT_KEYS if isinstance(keys.get(key), str) and keys[key]]
            for each in [keys[worded[0]]] if worded else list(keys.values()):
                yield from _texts(each, split, depth + 1)
        case _:
            return


def _evidence(value: object) -> Iterator[Evidence]:
    """Of the entries that have all of what ours have."""
    for item in value if isinstance(value, list) else []:
        match item:
            case {"field": str(f), "source": str(s), "locator": str(at), "quote": str(quote)}:
                yield Evidence(f, s, at, quote)
            case _:
                continue
