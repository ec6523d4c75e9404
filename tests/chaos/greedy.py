"""A client that takes all it can get: `python -m tests.chaos.greedy SOCKET CONNECTIONS MESSAGES`.

Sends so many appends of nearly 8 MiB over each of so many connections, without waiting for any
answer, and prints the last seq of each as the answers come.
"""

import json
import os
import socket
import sys
import threading
from uuid import uuid4

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.batch import PersonaQueued, SegmentRef
from personad.contract.codec import encode
from personad.contract.events import Append
from personad.kinds import moment_of

HELLO = b"\x00SP\x00\x00\x30\x00\x00"
"""What a requester says first; see the Scalability Protocols' mapping for TCP."""
EVENTS = 8
"""In one append; each is nearly as large as an event may be."""
AT = moment_of(1_790_000_000_000_000)


def frame(number: int, body: bytes) -> bytes:
    """A request as it goes over a connection; its answer has the same number."""
    header = (1 << 31 | number).to_bytes(4, "big")
    return b"\x01" + (len(header) + len(body)).to_bytes(8, "big") + header + body


def answer(plain: socket.socket) -> dict[str, object]:
    """The next answer on a connection, of a request that was JSON."""
    size = int.from_bytes(_exactly(plain, 9)[1:], "big")
    found: dict[str, object] = json.loads(_exactly(plain, size)[4:])
    return found


def connect(path: str) -> socket.socket:
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(path)
    plain.sendall(HELLO)
    _exactly(plain, len(HELLO))
    return plain


def _exactly(plain: socket.socket, size: int) -> bytes:
    found = plain.recv(size, socket.MSG_WAITALL)
    if len(found) != size:
        raise EOFError("the daemon hung up")
    return found


def large(connection: int, number: int) -> bytes:
    """An append of nearly all that a message may hold, and of little work."""
    segment = SegmentRef(digest="d", record_ids=["x" * 1_000] * 1_000)
    of = {"at": AT, "batch": f"batch-{connection}", "persona": "p"}
    events = [PersonaQueued(id=uuid4(), index=number, segment=segment, **of) for _ in range(EVENTS)]  # type: ignore[arg-type]
    body = encode(Append(events=events), "json")  # type: ignore[arg-type]
    assert 0.9 * MAX_MESSAGE_BYTES < len(body) <= MAX_MESSAGE_BYTES
    return body


def flood(path: str, connection: int, messages: int) -> None:
    with connect(path) as plain:
        sender = threading.Thread(target=_send, args=(plain, connection, messages))
        sender.start()
        for _ in range(messages):
            # In one piece, so that no other thread's comes between a number and its line's end.
            os.write(sys.stdout.fileno(), f"{answer(plain)['last_seq']}\n".encode())
        sender.join()


def _send(plain: socket.socket, connection: int, messages: int) -> None:
    for number in range(1, messages + 1):
        plain.sendall(frame(number, large(connection, number)))


def main() -> int:
    path, connections, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    floods = [
        threading.Thread(target=flood, args=(path, each, messages)) for each in range(connections)
    ]
    for each in floods:
        each.start()
    for each in floods:
        each.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
