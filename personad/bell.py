"""How a thread waits for others and for a file at once."""

import os
import select


class Bell:
    """Rung by any thread; one waits for it."""

    def __init__(self) -> None:
        self._rung = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._rung, select.POLLIN)
        self._other: int | None = None

    def ring(self) -> None:
        os.eventfd_write(self._rung, 1)

    def wait(self, other: int | None) -> bool:
        """Until it is rung, or there is something to be read from the other file, which it tells
        of."""
        if other != self._other:
            if self._other is not None:
                self._poll.unregister(self._other)
            if other is not None:
                self._poll.register(other, select.POLLIN)
            self._other = other
        found = {number for number, _ in self._poll.poll()}
        if self._rung in found:
            os.eventfd_read(self._rung)
        return other in found

    def close(self) -> None:
        """For when nobody rings any more."""
        if self._rung >= 0:
            os.close(self._rung)
            self._rung = -1
