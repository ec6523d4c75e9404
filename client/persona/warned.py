"""A watch that says when a budget is used up to a level: once each, to who sees no live view."""

from typing import TYPE_CHECKING

from persona import standstill
from persona.watch import Watch

if TYPE_CHECKING:
    from persona.app import App


class Warned(Watch):
    """As a `Watch`; it writes a line to stderr at 80 and 100 % of the batch's budget."""

    def __init__(self, app: "App", batch: str) -> None:
        """Raises LedgerError where there is no such batch, or no daemon."""
        super().__init__(app.ledger, app.paths, batch)
        self._app = app
        self._level = standstill.crossed(self.state)

    def poll(self) -> bool:
        changed = super().poll()
        level = standstill.crossed(self.state)
        if level > self._level:
            self._level = level
            self._app.note(standstill.budget_line(self.state))
        return changed
