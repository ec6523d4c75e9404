"""What holds of budgets whatever happens, in whatever order: against a model in plain Python."""

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Event
from personad.projections.book import Book

from .budgeting import bill, budget, call, priced, status
from .conftest import Core
from .facts import happened, started

LIMITS = {"daily": 100, "monthly": 260, "experiment:tone": 90, "batch:batch-a": 70}
"""The last is the batch's own."""
TTL_MS = 10_000


@dataclass
class Call:
    """What the model knows of one."""

    name: str
    most: int
    batch: str | None
    experiment: str | None
    state: Literal["open", "unresolved", "over"] = "open"
    cost: int = 0
    day: str = ""
    """When its bill came."""

    def falls_under(self, scope: str) -> bool:
        kind, _, name = scope.partition(":")
        match kind:
            case "experiment":
                return self.experiment == name
            case "batch":
                return self.batch == name
            case _:
                return True

    def spent(self, scope: str, today: str) -> int:
        begins = {"daily": today, "monthly": today[:7]}.get(scope, "")
        return self.cost if self.falls_under(scope) and self.day.startswith(begins) else 0


class Budgets(RuleBasedStateMachine):
    """A ledger under four budgets at once, and everything that can happen to calls."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(prefix="ps-", dir="/tmp")
        self.core = Core(Path(self.folder.name) / "ledger.db")
        self.calls: list[Call] = []
        self.fence = 0

    def teardown(self) -> None:
        self.core.db.close()
        self.folder.cleanup()

    @initialize()
    def open_shop(self) -> None:
        stop = {"budget_nanousd": LIMITS["batch:batch-a"], "stop_on_budget": True}
        standing: list[Event] = [
            budget(scope, limit) for scope, limit in LIMITS.items() if scope != "batch:batch-a"
        ]
        self.core.append(
            priced(), *standing, started("batch-a", experiment="tone", **stop), started("batch-b")
        )
        self.claim()

    def claim(self) -> None:
        self.fence = self.core.do(b.Claim(batch="batch-a", runner="r", ttl_ms=TTL_MS)).fence

    @property
    def today(self) -> str:
        return f"{self.core.now:%F}"

    def held(self, scope: str, state: str) -> int:
        return sum(
            each.most for each in self.calls if each.state == state and each.falls_under(scope)
        )

    def spent(self, scope: str) -> int:
        return sum(each.spent(scope, self.today) for each in self.calls)

    def answer_to(self, asked: Call) -> str:
        """What the model says of a call."""
        answer = "granted"
        for scope, limit in LIMITS.items():
            if asked.falls_under(scope):
                fixed = self.spent(scope) + self.held(scope, "unresolved") + asked.most
                if fixed > limit:
                    return "refused"
                if fixed + self.held(scope, "open") > limit:
                    answer = "wait"
        return answer

    @rule(
        most=st.integers(1, 60),
        batch=st.sampled_from(["batch-a", "batch-b", None]),
        is_tone=st.booleans(),
    )
    def ask(self, most: int, batch: str | None, is_tone: bool) -> None:
        experiment = "tone" if is_tone or batch == "batch-a" else None
        asked = Call(f"call-{len(self.calls)}", most, batch, experiment)
        said = self.core.do(self.request(asked))
        assert type(said).__name__.lower() == self.answer_to(asked)
        if isinstance(said, c.Granted):
            assert said.reserved_nanousd == most
        else:
            asked.state = "over"
        self.calls.append(asked)

    def request(self, asked: Call) -> c.StartCall:
        fence = self.fence if asked.batch == "batch-a" else None
        # A batch's experiment counts, whether the call names it or not.
        experiment = None if asked.batch == "batch-a" else asked.experiment
        return call(asked.name, asked.most, batch=asked.batch, experiment=experiment, fence=fence)

    def one(self, number: int, *states: str) -> Call | None:
        found = [each for each in self.calls if each.state in states]
        return found[number % len(found)] if found else None

    @rule(number=st.integers(0, 99))
    def ask_again(self, number: int) -> None:
        if again := self.one(number, "open"):
            assert self.core.do(self.request(again)) == c.Granted(reserved_nanousd=again.most)

    @rule(number=st.integers(0, 99), share=st.integers(0, 100), is_late=st.booleans())
    def be_billed(self, number: int, share: int, is_late: bool) -> None:
        states = ("unresolved",) if is_late else ("open",)
        if (billed := self.one(number, *states)) is None:
            return
        cost = billed.most * share // 100
        told = bill(
            billed.name, cost, batch=billed.batch, experiment=billed.experiment, at=self.core.now
        )
        self.core.append(told, told)
        billed.state, billed.cost, billed.day = "over", cost, self.today

    @rule(number=st.integers(0, 99))
    def abandon(self, number: int) -> None:
        if given_up := self.one(number, "open"):
            self.core.append(happened(c.CallAbandoned, call=given_up.name))
            given_up.state = "over"

    @rule(number=st.integers(0, 99))
    def hear_nothing(self, number: int) -> None:
        if lost := self.one(number, "open"):
            facts = {"batch": lost.batch, "experiment": lost.experiment, "at": self.core.now}
            self.core.append(bill(lost.name, None, outcome="unknown", **facts))  # type: ignore[arg-type]
            lost.state = "unresolved"

    @rule()
    def lose_the_lease(self) -> None:
        self.core.clock += TTL_MS / 1_000 + 1
        # `batch-b`, which nobody ever claims, may have waited long enough as well.
        lost = self.core.leases.expired(self.core.clock)
        self.core.keep_time()
        for each in self.calls:
            if each.batch in lost and each.state == "open":
                each.state = "unresolved"
        self.core.do(b.Resume(batch="batch-a"))
        self.claim()

    @precondition(lambda self: any(each.state == "unresolved" for each in self.calls))
    @rule()
    def settle(self) -> None:
        unresolved = {each.name for each in self.calls if each.state == "unresolved"}
        assert {each.call for each in self.core.do(c.Settle()).calls} == unresolved
        for each in self.calls:
            if each.name in unresolved:
                each.state = "over"

    @rule()
    def start_the_daemon_again(self) -> None:
        self.core.book = Book(self.core.db, self.core.book.zone)

    @rule(hours=st.integers(1, 40))
    def let_time_pass(self, hours: int) -> None:
        self.core.clock += timedelta(hours=hours).total_seconds()
        # Nobody lost the batch meanwhile: its runner was there.
        self.core.leases.deadlines["batch-a"] = self.core.clock + TTL_MS / 1_000

    @invariant()
    def every_limit_holds_and_every_figure_is_the_model_s(self) -> None:
        for scope, found in status(self.core).items():
            figures = (found.spent_nanousd, found.reserved_nanousd, found.unresolved_nanousd)
            assert figures == (
                self.spent(scope),
                self.held(scope, "open"),
                self.held(scope, "unresolved"),
            )
            assert sum(figures) <= LIMITS[scope] == found.limit_nanousd


TestBudgets = pytest.mark.no_cover(Budgets.TestCase)
TestBudgets.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@dataclass
class Caller:
    """A run that makes its calls one after another."""

    todo: list[tuple[int, int]]
    """The most that each could cost, and what it does."""
    name: str
    in_flight: bool = False


@pytest.mark.no_cover
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100)), min_size=1, max_size=6),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_fits_is_never_refused_and_waiting_always_ends(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[list[tuple[int, int]]],
    chance: random.Random,
) -> None:
    work = [[(most, most * share // 100) for most, share in run] for run in runs]
    costs = [cost for run in work for _, cost in run]
    # The last call needs room for the most that it could cost, beside all the others.
    limit = sum(costs) + max(most - cost for run in work for most, cost in run)
    core = Core(tmp_path_factory.mktemp("core") / "ledger.db")
    core.append(priced(), budget(limit=max(limit, 1)))
    callers = [Caller(todo, f"run-{number}") for number, todo in enumerate(work)]
    asked = 0
    while left := [each for each in callers if each.todo]:
        caller = chance.choice(left)
        most, cost = caller.todo[0]
        name = f"{caller.name}-{len(caller.todo)}"
        if caller.in_flight:
            core.append(bill(name, cost))
            caller.todo.pop(0)
            caller.in_flight = False
        else:
            said = core.do(call(name, most))
            assert not isinstance(said, c.Refused)
            caller.in_flight = isinstance(said, c.Granted)
            assert caller.in_flight or any(each.in_flight for each in callers)
        asked += 1
        assert asked < 10_000
    assert status(core)["daily"].spent_nanousd == sum(costs) <= limit
    core.db.close()
