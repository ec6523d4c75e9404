"""What a budget's refusal says to people."""

from persona.render.values import money
from personad.contract.cost import Refused


def refusal(refused: Refused) -> str:
    """Which budget has too little left for a call, with the figures."""
    limit, held = refused.limit_nanousd, refused.reserved_nanousd + refused.unresolved_nanousd
    scope = "batch's own" if refused.budget.startswith("batch:") else refused.budget
    budget = f"the {scope} budget of {money(limit)}"
    if refused.maximum_nanousd is None:
        return f"nobody knows what a call costs, so {budget} can't hold"
    if refused.maximum_nanousd > limit:
        return f"one call may cost {money(refused.maximum_nanousd)}, more than all of {budget}"
    said = (
        f"the next call may cost {money(refused.maximum_nanousd)}, more than is left of "
        f"{budget}: {money(refused.spent_nanousd)} is spent"
    )
    return said + (f", {money(held)} reserved or unresolved" if held else "")
