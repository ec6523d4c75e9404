"""How many calls a provider is given at a time, and when it is left alone; no clock, no waiting.

Under rate limits the number at a time is halved, and comes back by one a round of calls (additive
increase, multiplicative decrease: Chiu and Jain, Analysis of the Increase and Decrease Algorithms
for Congestion Avoidance, 1989). After so many failures in a row nothing is started, but for one
call now and then that finds out whether the provider is back.
"""

from msgspec import Struct

from persona.generation.providers.base import ErrorKind

FAILED: frozenset[ErrorKind] = frozenset({"timeout", "server_error", "connection"})
"""What says of a provider that it doesn't work; the rest says something of the question."""
PROBE_MIN_S, PROBE_MAX_S = 30.0, 600.0
PATIENT_S = 1.0
"""Only a time longer than this that one call is told to wait holds for all."""


class Turn(Struct, frozen=True):
    """One call that may be made."""

    begun_s: float
    is_probe: bool = False
    """It finds out whether the provider is back: failing is no news of its own persona."""


class Pace:
    """One provider's; every time is in seconds of one clock that never goes back."""

    def __init__(self, at_a_time: int, breaker_failures: int) -> None:
        self._most = at_a_time
        self._limit = float(at_a_time)
        self._slowed_s = float("-inf")
        self._in_flight = 0
        self._breaker_failures = breaker_failures
        self._failures = 0
        self._probe_s: float | None = None
        """When a broken provider is tried again."""
        self._probe_after_s = PROBE_MIN_S
        self._is_probing = False
        self._asked_until_s = float("-inf")

    @property
    def is_broken(self) -> bool:
        return self._probe_s is not None

    @property
    def limit(self) -> int:
        """How many calls there may be at a time."""
        return int(self._limit)

    def wait_s(self, now_s: float) -> float:
        """How long a call would have to wait: 0 for not at all, infinite until another ends."""
        if self._probe_s is not None:
            return float("inf") if self._is_probing else max(0.0, self._probe_s - now_s)
        if self._in_flight >= self.limit:
            return float("inf")
        return max(0.0, self._asked_until_s - now_s)

    def held_s(self, now_s: float) -> float:
        """How long nothing at all will be started; 0 where that is not so."""
        until = self._asked_until_s if self._probe_s is None else self._probe_s
        return max(0.0, until - now_s)

    def begin(self, now_s: float) -> Turn:
        """A call begins, after `wait_s` gave 0."""
        self._in_flight += 1
        self._is_probing = self.is_broken
        return Turn(now_s, is_probe=self.is_broken)

    def end(self, turn: Turn, now_s: float, error: ErrorKind | None, asked_s: float = 0.0) -> None:
        """A call has ended; `asked_s` is how long the provider asks to be left alone."""
        self._in_flight -= 1
        if turn.is_probe:
            self._is_probing = False
        if error in FAILED:
            self._count(turn, now_s)
            return
        if error == "rate_limit":
            self._slow_down(turn, now_s, asked_s)
        elif error is None:
            self._limit = min(float(self._most), self._limit + 1 / self._limit)
        if error is None or turn.is_probe:
            # It has answered, and be it with a refusal.
            self._failures = 0
            self._probe_s, self._probe_after_s = None, PROBE_MIN_S

    def drop(self, turn: Turn) -> None:
        """A call was given up, for a reason that says nothing of the provider."""
        self._in_flight -= 1
        if turn.is_probe:
            self._is_probing = False

    def _count(self, turn: Turn, now_s: float) -> None:
        if self._probe_s is not None:
            if turn.is_probe:
                self._probe_after_s = min(2 * self._probe_after_s, PROBE_MAX_S)
                self._probe_s = now_s + self._probe_after_s
            return
        self._failures += 1
        if self._failures >= self._breaker_failures:
            self._probe_s = now_s + self._probe_after_s

    def _slow_down(self, turn: Turn, now_s: float, asked_s: float) -> None:
        if asked_s >= PATIENT_S:
            self._asked_until_s = max(self._asked_until_s, now_s + asked_s)
        if turn.begun_s < self._slowed_s:
            # It was on its way before the others slowed down: one answer to one jam.
            return
        self._slowed_s = now_s
        self._limit = max(1.0, min(self._limit, self._in_flight + 1.0) / 2)
