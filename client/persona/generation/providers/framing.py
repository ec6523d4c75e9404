"""Bytes of a streamed answer → the messages in them: server-sent events, or JSON lines."""


class Framer:
    """Cuts a stream into messages, however its bytes are parcelled.

    Of server-sent events (WHATWG HTML, 9.2) only the data matter here: every provider repeats an
    event's kind inside of it. Lines may end in a line feed, with or without a carriage return.
    """

    def __init__(self, *, events: bool) -> None:
        self._events = events
        self._rest: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[bytes]:
        """The messages that are now whole."""
        if b"\n" not in received:
            self._rest.append(received)
            return []
        lines = b"".join((*self._rest, received)).split(b"\n")
        self._rest = [lines.pop()]
        if not self._events:
            return [line for line in lines if line.strip()]
        return [message for line in lines if (message := self._event(line)) is not None]

    def end(self) -> list[bytes]:
        """What was left without a line end or a blank line after it."""
        left = self.feed(b"\n\n" if self._events else b"\n")
        self._rest = []
        return left

    def _event(self, line: bytes) -> bytes | None:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return None
        if line or not self._data:
            return None
        whole = b"\n".join(self._data)
        self._data = []
        return whole
