"""Whether a metric that somebody names is one."""

from persona.app import App, Stopped

LOOKED_BACK_DAYS = 400


def expect_metric(app: App, metric: str) -> None:
    """Raises Stopped for a metric that neither this program nor the ledger knows."""
    from personad.contract.options import Weights

    own = (*Weights.__struct_fields__, "composite")
    if metric in own:
        return
    from difflib import get_close_matches
    from importlib.metadata import entry_points

    from personad.contract.asking import Range
    from personad.contract.quality import QualityTrends

    known = {*own, *(each.name for each in entry_points(group="persona.metrics"))}
    if metric not in known:
        trends = app.ledger.ask(QualityTrends(range=Range(days=LOOKED_BACK_DAYS))).metrics
        known |= {row.metric for row in trends}
    if metric not in known:
        near = get_close_matches(metric, sorted(known), 1)
        said = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise Stopped(f"there is no metric {metric!r}", code=64, hint=said)
