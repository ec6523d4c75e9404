"""Several producers at once, and when their requests were answered."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from .house import House
from .producer import Load, Sent


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
    """Events a second, from the first request of any to the last answer to any."""
    began_ns = min(each.began_ns for each in sent)
    ended_ns = max(each.answered_ns[-1] for each in sent)
    return sum(load.events for load in loads) / ((ended_ns - began_ns) / 1e9)
