"""The rows that events become on disk, for a bare loop that inserts nothing else."""

from collections.abc import Iterable, Iterator

from personad.contract.events import AnyEvent
from personad.kinds import CODE_OF, body_of, microseconds

Row = tuple[int, bytes, int, int, int, int, bytes]

INSERT = (
    "INSERT INTO event (seq, id, kind, at, recorded_at, batch, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def rows_of(events: Iterable[AnyEvent]) -> Iterator[Row]:
    for seq, event in enumerate(events, start=1):
        at = microseconds(event.at)
        yield seq, event.id.bytes, CODE_OF[type(event)], at, at, 1, body_of(event)
