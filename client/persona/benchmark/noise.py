"""A shared machine, simulated: what a comparison has to keep its head in.

Times on such a machine are skewed, drift for minutes, and are now and then disturbed for many runs
on end; each process has its own luck with memory and caches, for all of its runs.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

_Floats = npt.NDArray[np.float64]


_ON_CORE = 0.25
"""How much of a disturbance is time on the core."""


class Noise(Struct, frozen=True, kw_only=True):
    """How loud the machine is; all standard deviations are of logarithms."""

    jitter: float = 0.06
    """From run to run."""
    drift: float = 0.07
    """Of the slow wave that all runs of some minutes share."""
    memory: float = 0.97
    """How much of the wave is left a run later."""
    process: float = 0.03
    """Of each process's own luck."""
    spike_share: float = 0.03
    spike: float = 0.5
    """A disturbed run takes e**|N(0, spike)| longer."""


def wave(noise: Noise, runs: int, rng: np.random.Generator) -> _Floats:
    """The slow wave over so many runs, a first-order autoregression."""
    steps = rng.normal(0, noise.drift * np.sqrt(1 - noise.memory**2), runs)
    values = np.empty(runs)
    level = rng.normal(0, noise.drift)
    for index in range(runs):
        level = noise.memory * level + steps[index]
        values[index] = level
    return values


def jitter(noise: Noise, runs: int, rng: np.random.Generator) -> _Floats:
    """What each run has for itself."""
    spikes = rng.random(runs) < noise.spike_share
    return rng.normal(0, noise.jitter, runs) + spikes * np.abs(rng.normal(0, noise.spike, runs))


def pairs(noise: Noise, count: int, change: float, rng: np.random.Generator) -> _Floats:
    """ln(new / old) of runs in turn, each pair in random order, of which the new ones take
    `1 + change` times as long.
    """
    times = wave(noise, 2 * count, rng) + jitter(noise, 2 * count, rng)
    first, second = times[0::2], times[1::2]
    swapped = rng.random(count) < 0.5
    found: _Floats = np.where(swapped, first - second, second - first) + np.log1p(change)
    return found


def processes(
    noise: Noise,
    count: int,
    runs: int,
    rng: np.random.Generator,
    *,
    wall: float = 1.0,
    cpu: float = 1.0,
) -> list[tuple[_Floats, _Floats]]:
    """Wall time and time on a core of the runs of processes one after another.

    Both are in units of what a run takes alone, times `wall` and `cpu`. Others make a run wait for
    its core, and only a part of that costs it time on the core too, by cold caches.
    """
    waves = wave(noise, count * runs, rng).reshape(count, runs)
    found = []
    for each in waves:
        luck = rng.normal(0, noise.process)
        disturbed = each + jitter(noise, runs, rng) + luck
        own = rng.normal(0, noise.jitter / 4, runs) + luck / 2
        found.append(
            (wall * np.exp(disturbed), cpu * np.exp(np.maximum(disturbed, 0) * _ON_CORE + own))
        )
    return found
