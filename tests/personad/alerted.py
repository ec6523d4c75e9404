"""A ledger that tells what each request brought about, as the writer has it told."""

from typing import Any

from personad import alerting, news
from personad.changes import CHANGES, Context
from personad.contract import alerts as a
from personad.contract.base import Request
from personad.contract.budget import AlertConfigured
from personad.contract.quality import QualityScored
from personad.log import last_seq
from personad.projections import alert_questions
from personad.transaction import transaction

from .conftest import Core
from .facts import NOON, cost, fresh_id

PLACE = {"provider": "acme", "model": "one", "scorer": "builtin/1"}


class Watched(Core):
    """As the writer does it: after each request, what it brought about is told."""

    def do(self, request: Request[Any]) -> Any:
        with transaction(self.book, last_seq(self.db), self.now) as txn:
            answer: Any = CHANGES[type(request)](txn, request, Context(self.leases, self.clock))
            txn.fold()
            alerting.raise_due(txn)
            reply = answer()
        self.txn = txn
        return reply

    def spend(self, nanousd: int, **more: Any) -> None:
        fields = {"batch": None, "persona": None, "at": self.now} | more
        self.append(cost(f"call-{fresh_id()}", nanousd, **fields))

    @property
    def costs(self) -> list[tuple[str, int, str]]:
        """Scope, threshold and level of each alert, the oldest first."""
        found = alert_questions.of_cost(self.db, a.CostAlerts(), self.now).alerts
        return [(each.scope, each.percent, each.level) for each in reversed(found)]

    @property
    def drops(self) -> list[a.QualityAlert]:
        found = alert_questions.of_quality(self.db, a.QualityAlerts(), self.now).alerts
        return list(reversed(found))

    @property
    def waiting(self) -> list[str]:
        return [each.message for each in news.unshown(self.db).alerts]

    def score(self, *composites: float, **more: Any) -> None:
        for composite in composites:
            self.append(scored(composite, **more))


def scored(composite: float, **more: Any) -> QualityScored:
    fields: dict[str, Any] = {"id": fresh_id(), "at": NOON, "persona": "p", "scores": {}}
    return QualityScored(**(fields | PLACE | {"composite": composite} | more))


def switched(kind: str, enabled: bool = True, **more: Any) -> AlertConfigured:
    return AlertConfigured(id=fresh_id(), at=NOON, kind=kind, enabled=enabled, **more)
