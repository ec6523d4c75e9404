"""The pages of a batch in Markdown, for people: one a persona, and the table of all of them.

Every text in them is escaped, so that what a model returns can bring in neither HTML nor links,
nor leave the place where it stands.
"""

import re
from collections.abc import Iterable, Sequence

from persona.generation.cleaning import clean_line, clean_text
from persona.generation.model import Evidence, Persona

_SPECIAL = re.compile(r"[\\`*_\[\]|~$#]")
_BARE_LINK = re.compile(r"(?i)(https?|ftp)(:)(?=//)|\b(www)(\.)")
_LINE_START = re.compile(r"(?m)^[ \t]*(?=\S)([+=:-]|\d{1,9}(?=[.)]))?")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ENTITY = re.compile("[&<>]")
_SECTIONS = (
    ("goals", "Goals"),
    ("pain_points", "Pain points"),
    ("behaviours", "Behaviours"),
    ("motivations", "Motivations"),
)
_CLAIMS = {
    "goals": "Goal",
    "pain_points": "Pain point",
    "behaviours": "Behaviour",
    "motivations": "Motivation",
    "quotes": "Quote",
}
_UNNAMED = "Unnamed persona"


def escape(text: str) -> str:
    """`text` as Markdown that shows exactly its characters; newlines stay."""
    plain = _ENTITY.sub(lambda found: _ENTITIES[found[0]], clean_text(text))
    escaped = _SPECIAL.sub(r"\\\g<0>", plain)
    # Most texts are a line that begins with a letter, and have no link in them.
    if "//" in escaped or "ww" in escaped.lower():
        escaped = _BARE_LINK.sub(_broken_link, escaped)
    if escaped[:1].isalpha() and "\n" not in escaped:
        return escaped
    return _LINE_START.sub(_harmless_start, escaped)


def persona_markdown(persona: Persona) -> str:
    """The page of one persona, to be pasted into a report.

    Quotes are block quotes with the place where they stand; each other claim's evidence follows at
    the end.
    """
    parts = [
        f"# {_line(persona.name) or _UNNAMED}",
        _paragraphs(persona.summary),
        _bullets(_facts(persona)),
        *(_section(title, _bullets(map(_line, getattr(persona, f)))) for f, title in _SECTIONS),
        _section("Quotes", "\n\n".join(_quotes(persona))),
        _section("Evidence", _bullets(_evidence(persona.evidence))),
        _section("Quality", _quality(persona.quality)),
        _origin(persona),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index_markdown(
    personas: Sequence[tuple[int, Persona, str]],
    *,
    batch: str,
    total: int,
    notes: Sequence[str] = (),
) -> str:
    """The table of a batch: name, share, first goal, composite quality, links; then `notes`.

    `personas` are (index in the batch, persona, name of its files without ending); the ones out of
    `total` that are missing did not come about.
    """
    rows = [
        "| # | Name | Share | Goal | Quality | Data |",
        "| ---: | --- | ---: | --- | ---: | --- |",
    ]
    for index, persona, file in personas:
        name = _line(persona.name) or _UNNAMED
        goal = _line(persona.goals[0]) if persona.goals else "–"
        composite = persona.quality.get("composite")
        quality = "–" if composite is None else f"{composite:.2f}"
        page, data = f"[{name}](personas/{file}.md)", f"[JSON](personas/{file}.json)"
        share = _percent(persona.segment.share)
        rows.append(f"| {index} | {page} | {share} | {goal} | {quality} | {data} |")
    made = f"{len(personas)} of {total} personas" if total != 1 else f"{len(personas)} of 1 persona"
    said = ["", *(f"- {_line(note)}" for note in notes)] if notes else []
    return "\n".join([f"# Personas of {_line(batch)}", "", f"{made}.", "", *rows, *said]) + "\n"


def _facts(persona: Persona) -> list[str]:
    said = (("Age", persona.age), ("Occupation", persona.occupation), ("Place", persona.location))
    facts = [f"**{title}:** {_line(value)}" for title, value in said if value]
    size = persona.segment.size
    people = "1 participant" if size == 1 else f"{size} participants"
    facts.append(f"**Segment:** {_percent(persona.segment.share)} ({people})")
    if persona.segment.terms:
        facts.append(f"**Typical words:** {', '.join(map(_line, persona.segment.terms))}")
    return facts


def _quotes(persona: Persona) -> Iterable[str]:
    places = {item.field: item for item in reversed(persona.evidence)}
    for index, quote in enumerate(persona.quotes):
        found = places.get(f"quotes[{index}]")
        place = f"— {_place(found)}" if found else "— where it stands is not known"
        yield f"> {_line(quote)}\n>\n> {place}"


def _evidence(evidence: Iterable[Evidence]) -> Iterable[str]:
    for item in evidence:
        if not item.field.startswith("quotes["):
            yield f"{_claim(item.field)}: “{_line(item.quote)}” — {_place(item)}"


def _claim(field: str) -> str:
    """`goals[0]` → `Goal 1`; `age` → `Age`."""
    found = re.fullmatch(r"([a-z_]+)\[([0-9]{1,9})\]", field)
    if found and found[1] in _CLAIMS:
        return f"{_CLAIMS[found[1]]} {int(found[2]) + 1}"
    return _line(field.replace("_", " ").capitalize())


def _place(item: Evidence) -> str:
    return ", ".join(_line(text) for text in (item.source, item.locator) if text)


def _quality(quality: dict[str, float]) -> str:
    if not quality:
        return ""
    metrics = sorted(quality, key=lambda metric: (metric == "composite", metric))
    rows = [f"| {_line(metric.capitalize())} | {quality[metric]:.2f} |" for metric in metrics]
    return "\n".join(["| Metric | Score |", "| --- | ---: |", *rows])


def _origin(persona: Persona) -> str:
    made = persona.provenance
    day = made.created_at.date().isoformat()
    by = f"{_line(made.provider)}/{_line(made.model)}"
    return f"*{_line(persona.id)} · {by} · {_line(made.batch)} · {day}*"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items if item)


def _paragraphs(text: str) -> str:
    return "\n\n".join(filter(None, map(_line, re.split(r"\n\s*\n", clean_text(text)))))


def _line(text: str) -> str:
    return escape(clean_line(text))


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _broken_link(found: re.Match[str]) -> str:
    scheme, colon, www, dot = found.groups()
    return f"{scheme or www}\\{colon or dot}"


def _harmless_start(found: re.Match[str]) -> str:
    """Without indentation, which would make code, and without a mark, which would make a block."""
    mark = found[1] or ""
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}" if mark else ""
