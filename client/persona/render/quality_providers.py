"""How providers look side by side: what their personas are worth, and what they cost."""

from personad.contract.quality import QualityMean, QualityOfProvider, QualityProvidersReply

from . import values
from .qualities import COMPOSITE, NO_SCORES, rank
from .tables import COUNT, DURATION, SPENT, Column, Fact, Facts, Kind, Table, View

STAR = "★"

_MEAN = Kind(
    lambda mean: f"{values.score(mean.mean)}{f' {STAR}' if mean.best else ''}",
    lambda mean: str(mean.mean),
)


def providers(reply: QualityProvidersReply) -> View:
    """A row a provider or model, the best composite first; then what the stars rest on."""
    names = sorted({name for row in reply.rows for name in row.metrics}, key=rank)
    by_model = any(row.model is not None for row in reply.rows)
    columns: tuple[Column[QualityOfProvider], ...] = (
        Column("Provider", _name) if not by_model else Column("Model", _name),
        Column("n", lambda row: row.n, COUNT),
        *(_metric(name) for name in names),
        Column("Time", lambda row: row.duration_ms, DURATION),
        Column("Cost", lambda row: (row.cost_nanousd, row.unpriced_calls), SPENT),
        Column("$/accepted", _per_accepted, SPENT),
    )
    table = Table(columns, reply.rows, NO_SCORES)
    lines = _evidence(reply) if len(reply.rows) > 1 else []
    if reply.other_scorers:
        left_out = ", ".join(map(values.clean, reply.other_scorers))
        said = f"scores by {values.clean(reply.scorer or '')}; those by {left_out} don't compare"
        lines.append(Fact("note", said, "yellow"))
    return [table, *([Facts(lines)] if lines else [])]


def _name(row: QualityOfProvider) -> str:
    return row.provider if row.model is None else f"{row.provider}/{row.model}"


def _per_accepted(row: QualityOfProvider) -> tuple[int, int] | None:
    """None where there is none; what can't be priced is never shown as free."""
    cost = row.cost_per_accepted_persona_nanousd
    return None if cost is None else (cost, row.unpriced_calls)


def _metric(name: str) -> Column[QualityOfProvider]:
    def mean(row: QualityOfProvider) -> QualityMean | None:
        return row.metrics.get(name)

    def style(row: QualityOfProvider) -> str:
        found = mean(row)
        return "green" if found is not None and found.best else ""

    return Column(name.capitalize(), mean, _MEAN, style)


def _evidence(reply: QualityProvidersReply) -> list[Fact]:
    """Of the composite, or of what there is instead, by how much the best is better."""
    if not reply.differences:
        how = (
            "no two have five scores or more of a source that both ran; "
            "`persona generate --compare` makes some"
        )
        return [Fact("compared", how)]
    shown = {each.metric for each in reply.differences}
    metric = COMPOSITE if COMPOSITE in shown else min(shown)
    lines = [
        Fact(
            metric,
            f"{values.clean(each.better)} is {each.difference:+.3f} from "
            f"{values.clean(each.than)} ({each.low:+.3f} to {each.high:+.3f}) over "
            f"{values.plural(each.sources, 'source')}"
            f"{'' if each.low > 0 or each.high < 0 else ': no more than chance'}",
        )
        for each in reply.differences
        if each.metric == metric
    ]
    lines.append(Fact(STAR, "better beyond chance (95 %) over the sources that both ran"))
    return lines
