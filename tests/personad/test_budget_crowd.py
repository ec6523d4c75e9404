"""Ten runs at once with 64 calls in flight each; a provider that counts what it was paid."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import pytest
from persona.client import Ledger
from persona.identity import event_id, now

from personad.contract import cost as c
from personad.contract.budget import Budget, BudgetStatus
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent

from .budgeting import bill, budget, call, priced
from .conftest import Running

RUNS = 10
IN_FLIGHT = 64
CALLS = 150
"""Of each run."""
MOST = 1_000
"""Nano-dollars that a call can cost; a quarter is what one does cost."""
LIMIT = 150_000

T = TypeVar("T")


class Provider:
    """Takes what it is paid, and counts it."""

    def __init__(self) -> None:
        self.paid = 0
        self.changed = threading.Condition()

    def charge(self, nanousd: int) -> None:
        with self.changed:
            self.paid += nanousd
            self.changed.notify_all()

    def wait_for_others(self) -> None:
        with self.changed:
            self.changed.wait(0.05)


class Run:
    """A runner's part: calls that are granted, charged, and recorded, many at a time."""

    def __init__(self, daemon: Running, provider: Provider, number: int) -> None:
        self.ledger = Ledger(daemon.paths, autostart=False)
        self.provider = provider
        self.chance = random.Random(number)
        self.todo = [(f"call-{number}-{n}", self.chance.randint(1, MOST)) for n in range(CALLS)]
        self.in_flight: dict[str, int] = {}
        self.refused: c.Refused | None = None

    def go(self) -> "Run":
        with self.ledger:
            while self.todo or self.in_flight:
                if self.todo and len(self.in_flight) < IN_FLIGHT and self.starts():
                    continue
                if self.in_flight:
                    self.finish()
                elif self.todo:
                    self.provider.wait_for_others()
        return self

    def starts(self) -> bool:
        """Whether the next call was granted."""
        name, most = self.todo[-1]
        match persist(lambda: self.ledger.ask(call(name, most))):
            case c.Granted():
                self.in_flight[name] = most
                self.todo.pop()
                return True
            case c.Refused() as refused:
                self.refused, self.todo = refused, []
        return False

    def finish(self) -> None:
        name = self.chance.choice(list(self.in_flight))
        most = self.in_flight.pop(name)
        event: AnyEvent
        if self.chance.random() < 0.05:
            event = c.CallAbandoned(id=event_id(), at=now(), call=name, reason="paused")
        else:
            cost = self.chance.randint(0, most // 2)
            self.provider.charge(cost)
            event = bill(name, cost, id=event_id(), at=now())
        persist(lambda: self.ledger.append([event]))


def persist(work: Callable[[], T]) -> T:
    """Asks again, the same, for as long as the daemon is away."""
    patience = 400
    while True:
        try:
            return work()
        except LedgerError as error:
            patience -= 1
            if error.code != "unavailable" or not patience:
                raise
            threading.Event().wait(0.05)


def standing(ledger: Ledger) -> Budget:
    (found,) = persist(lambda: ledger.ask(BudgetStatus())).budgets
    assert found.spent_nanousd + found.reserved_nanousd + found.unresolved_nanousd <= LIMIT
    return found


@pytest.mark.parametrize("kills", [0, 3])
def test_no_more_is_paid_than_the_limit_and_the_ledger_knows_it_to_the_nano_dollar(
    daemon: Running, kills: int
) -> None:
    daemon.append(priced(), budget("monthly", LIMIT))
    provider = Provider()
    runs = [Run(daemon, provider, number) for number in range(RUNS)]
    with (
        ThreadPoolExecutor(RUNS) as pool,
        Ledger(daemon.paths, autostart=False) as watcher,
    ):
        going: list[Future[Run]] = [pool.submit(run.go) for run in runs]
        for number in range(1, kills + 1):
            while standing(watcher).spent_nanousd < LIMIT * number // (kills + 2):
                assert not all(each.done() for each in going)
            daemon.kill()
            daemon.start()
        while wait(going, timeout=0.05).not_done:
            standing(watcher)
        ended = [each.result() for each in going]
        found = standing(watcher)
    assert found.spent_nanousd == provider.paid <= LIMIT
    assert (found.reserved_nanousd, found.unresolved_nanousd) == (0, 0)
    refusals = [run.refused for run in ended if run.refused is not None]
    assert refusals
    for each in refusals:
        assert each.maximum_nanousd is not None
        assert each.spent_nanousd + each.maximum_nanousd > LIMIT
