"""How the agreement of batches looks: pairs, style, themes, and what follows."""

from persona.consistency.report import Consistency, Difference, Pair

from . import values
from .tables import COUNT, MONEY, SCORE, SHARE, Column, Fact, Facts, Kind, Table, View

_THEMES_SHOWN = 8
_MEAN = Kind("{:.1f}".format, str)
_TITLES = {
    "words": "Words",
    "sentence_words": "Words/sentence",
    "first_person": "First person",
}


def consistency(found: Consistency) -> View:
    """A row a pair, a row a batch, then what differs beyond chance and what follows."""
    pairs: tuple[Column[Pair], ...] = (
        Column("A", lambda row: row.a),
        Column("B", lambda row: row.b),
        Column("Structural", lambda row: row.structural, SCORE),
        Column("Semantic", lambda row: row.semantic, SCORE),
        Column("Quality", lambda row: row.quality, SCORE),
        Column("Overall", lambda row: row.overall, SCORE),
        Column("Matched", lambda row: f"{row.matched} of {row.personas}"),
    )
    batches: tuple[Column[tuple[str, str, int, int | None]], ...] = (
        Column("Batch", lambda row: row[0]),
        Column("Model", lambda row: row[1]),
        Column("Personas", lambda row: row[2], COUNT),
        Column("$/persona", lambda row: row[3], MONEY),
        *(
            _style(found, name)
            for name in _TITLES
            if any(name in told for told in found.style.values())
        ),
    )
    rows = [
        (made.batch, f"{made.provider}/{made.model}", made.personas, made.cost_per_persona_nanousd)
        for made in found.batches
    ]
    return [Table(pairs, found.pairs), Table(batches, rows), Facts(_facts(found))]


def _style(found: Consistency, name: str) -> Column[tuple[str, str, int, int | None]]:
    kind = SHARE if name == "first_person" else _MEAN
    return Column(_TITLES[name], lambda row: found.style[row[0]].get(name), kind)


def _facts(found: Consistency) -> list[Fact]:
    lines = [Fact(found.kind, values.score(found.overall), "bold")]
    lines.append(Fact("shared themes", _listed(found.themes.shared)))
    lines += [
        Fact(f"only {batch}", _listed(names)) for batch, names in found.themes.only.items() if names
    ]
    beyond = [each for each in found.differences if each.significant]
    lines += [Fact("differs", _difference(each), "yellow") for each in beyond]
    if not beyond:
        lines.append(Fact("differs", "nothing beyond chance"))
    lines.append(Fact("so", found.recommendation))
    return lines


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(values.clean, names[:_THEMES_SHOWN])) or values.NOTHING
    return f"{shown} and {len(names) - _THEMES_SHOWN} more" if len(names) > _THEMES_SHOWN else shown


def _difference(each: Difference) -> str:
    chance = f"p = {each.p:.3f}"
    if each.a_mean is None or each.b_mean is None:
        return f"what {each.a} and {each.b} say ({chance})"
    name = _TITLES.get(each.measure, each.measure).lower()
    return f"{name}: {each.a_mean:.2f} in {each.a}, {each.b_mean:.2f} in {each.b} ({chance})"
