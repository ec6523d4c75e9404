"""The budgets that hold: those with `stop` that a call falls under, and whether one refuses it."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import apsw

from personad.contract.cost import Refused
from personad.projections.budget_sums import PERIODS, Accounts, Committed

_STOPS = """
SELECT scope, limit_nanousd, timezone FROM budget
WHERE action = 'stop' AND scope IN (SELECT value FROM json_each(?))
"""


class Limit(NamedTuple):
    """A budget, and what stands against it."""

    scope: str
    nanousd: int
    committed: Committed

    def refusal(self, most: int | None) -> Refused | None:
        """Why a call that may cost `most` can't be made, whatever becomes of those in flight.

        Nobody knows what it costs: then no limit can hold.
        """
        spent, reserved, unresolved, _ = self.committed
        if most is not None and spent + unresolved + most <= self.nanousd:
            return None
        return Refused(
            budget=self.scope,
            spent_nanousd=spent,
            reserved_nanousd=reserved,
            unresolved_nanousd=unresolved,
            limit_nanousd=self.nanousd,
            maximum_nanousd=most,
        )


def scopes_of(experiment: str | None, batch: str | None) -> list[str]:
    """Of the budgets that a call falls under."""
    scopes = [*PERIODS]
    if experiment is not None:
        scopes.append(f"experiment:{experiment}")
    if batch is not None:
        scopes.append(f"batch:{batch}")
    return scopes


def standing(db: apsw.Connection, scopes: Sequence[str]) -> list[tuple[str, int, str]]:
    """Scope, limit and zone of the budgets with `stop` that were set in those scopes."""
    return list(db.execute(_STOPS, (json.dumps(scopes),)))


def limits(accounts: Accounts, stops: Sequence[tuple[str, int, str]]) -> Iterator[Limit]:
    """What stands against each of them."""
    for scope, nanousd, timezone in stops:
        committed = accounts.of(scope, timezone)
        if committed is not None:
            yield Limit(scope, nanousd, committed)
