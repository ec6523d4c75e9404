"""Several producers at once, and when their requests were answered."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from .house import House
from .producer import Load, Sent

WARM_UP = 5
"""One part of so many."""


@contextmanager
def producing(here: House, loads: Sequence[Load]) -> Iterator["Producers"]:
    """Producers in processes of their own, with their requests prepared, that wait to begin."""
    with ExitStack() as stack:
        processes = []
        for load in loads:
            process = here.worker("bench.producer", msgspec.json.encode(load).decode())
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("a producer did not start")
        yield Producers(processes)


class Producers:
    def __init__(self, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
        self._processes = processes

    def begin(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()

    @property
    def busy(self) -> bool:
        """Whether all of them still send."""
        return all(process.poll() is None for process in self._processes)

    def finish(self) -> list[Sent]:
        """Waits until all was answered; what each of them noted."""
        return [
            msgspec.json.decode(process.communicate()[0], type=Sent) for process in self._processes
        ]


def send(here: House, loads: Sequence[Load]) -> list[Sent]:
    with producing(here, loads) as producers:
        producers.begin()
        return producers.finish()


def rate(loads: Sequence[Load], sent: Sequence[Sent]) -> float:
    """Events a second, from when a fifth of them were answered until all were: a daemon that is
    sent much has begun another process by then."""
    answered = sorted(
        (at_ns, load.at_once)
        for load, each in zip(loads, sent, strict=True)
        for at_ns in each.answered_ns
    )
    first = len(answered) // WARM_UP
    seconds = (answered[-1][0] - answered[first][0]) / 1e9
    return sum(events for _, events in answered[first + 1 :]) / seconds
