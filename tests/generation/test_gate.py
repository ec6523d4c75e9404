"""Where calls wait for their turn: in this process, with a clock that only the waiting moves."""

from datetime import datetime
from typing import Any

import anyio
import pytest
from persona.generation.gate import Gate, Slept
from persona.generation.pace import Pace
from persona.generation.providers.base import ErrorKind, ProviderError
from persona.generation.standing import HoldLost, Standing
from persona.generation.steering import mind_sleep


class Skipping(Standing):
    """Passes the time that somebody waits for at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.waited: list[float] = []

    async def until_change(self, seconds: float) -> None:
        await super().until_change(0)
        self.waited.append(seconds)
        self.now_s += seconds


class Scene:
    def __init__(self, at_a_time: int = 4, failures: int = 2) -> None:
        self.standing = Skipping()
        self.told: list[str | None] = []
        self.gate = Gate(Pace(at_a_time, failures), self.standing, tell=self.tell, clock=self.clock)

    def clock(self) -> float:
        return self.standing.now_s

    async def tell(self, reason: str | None, until: datetime | None) -> None:
        self.told.append(reason)

    async def fail(self, *kinds: ErrorKind, asked_s: float | None = None) -> None:
        for kind in kinds:
            await self.gate.leave(await self.gate.enter(), ProviderError(kind, "", asked_s))


def played(scene: Scene, act: Any) -> None:
    anyio.run(act)


def test_a_broken_provider_is_left_alone_probed_and_gone_on_with() -> None:
    scene = Scene()

    async def act() -> None:
        await scene.fail("server_error", "server_error")
        probe = await scene.gate.enter()
        assert probe.is_probe
        await scene.gate.leave(probe, ProviderError("timeout", ""))
        probe = await scene.gate.enter()
        scene.gate.answered(probe)
        await scene.gate.report()
        assert not (await scene.gate.enter()).is_probe

    played(scene, act)

    assert scene.standing.waited == [30, 60]
    assert scene.told == ["breaker", "breaker", None]


def test_a_users_pause_is_not_undone_by_a_provider_that_is_back() -> None:
    scene = Scene()

    async def act() -> None:
        await scene.fail("server_error", "server_error")
        probe = await scene.gate.enter()
        scene.standing.now_is("pausing")
        scene.gate.answered(probe)
        await scene.gate.report()
        scene.standing.now_is("paused")
        await scene.fail("server_error", "server_error")
        with pytest.raises(HoldLost):
            await scene.gate.enter()

    played(scene, act)

    assert scene.standing.status == "paused"


@pytest.mark.parametrize("asked_s", [float("nan"), -1.0, None, 0.2])
def test_a_time_that_means_nothing_holds_nobody(asked_s: float | None) -> None:
    scene = Scene()

    async def act() -> None:
        await scene.fail("rate_limit", asked_s=asked_s)
        await scene.gate.enter()

    played(scene, act)

    assert scene.standing.waited == []
    assert scene.told == []


def test_a_rate_limits_own_time_holds_for_all_and_is_told() -> None:
    scene = Scene()

    async def act() -> None:
        await scene.fail("rate_limit", asked_s=60)
        assert scene.gate.held_s() == 60
        scene.gate.answered(await scene.gate.enter())
        await scene.gate.report()

    played(scene, act)

    assert scene.standing.waited == [60]
    assert scene.told == ["rate limit", None]


def test_a_sleep_says_nothing_of_the_provider() -> None:
    scene = Scene(failures=1)

    async def act() -> None:
        await scene.gate.leave(await scene.gate.enter(), Slept())
        await scene.gate.enter()

    played(scene, act)

    assert scene.standing.waited == []


def test_a_sleep_of_the_machine_is_noticed_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona.generation.steering.SLEEP_LOOK_S", 0)
    clock = iter([10.0, 10.0, 10.001, 130.001, 130.002, 131.0])
    slept: list[int] = []

    class Done(Exception):
        pass

    async def told(slept_ms: int) -> None:
        slept.append(slept_ms)
        if len(slept) == 2:
            raise Done

    with pytest.raises(Done):
        anyio.run(mind_sleep, told, clock.__next__)

    assert slept == [120_000, 998]
