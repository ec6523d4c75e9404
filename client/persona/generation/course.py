"""What is left of a batch to be made, how it ends, and what a run's own trouble is called."""

import errno
from collections.abc import Iterable, Iterator

from persona.generation.output import OutputError
from persona.generation.providers.keys import KeyProblem
from persona.generation.responses import Saved
from persona.generation.shop import Piece
from persona.identity import now
from personad.contract import batch as b
from personad.contract.base import derived_id

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def reason_of(error: Exception) -> str:
    """A pause's reason, as short as one word is clear."""
    match error:
        case OSError() if error.errno in _FULL:
            return "disk full"
        case KeyProblem():
            return "no key"
        case OSError() | OutputError():
            return "output folder"
        case _:
            return "error"


def trouble_of(error: Exception) -> tuple[str, str]:
    """A pause's reason, and in words what went wrong first: tasks wrap their errors in groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    reason = reason_of(error)
    return reason, f"{type(error).__name__}: {error}" if reason == "error" else str(error)


def left_of(state: b.BatchState, received: Iterable[Saved]) -> Iterator[Piece]:
    """What is still to be made, in order, each with what was already received for it."""
    found: dict[str, list[Saved]] = {}
    for saved in received:
        found.setdefault(saved.persona, []).append(saved)
    for row in state.personas:
        if row.status not in ("completed", "failed"):
            yield Piece(
                index=row.index,
                persona=row.persona,
                attempts=row.attempts,
                saved=tuple(found.get(row.persona, ())),
            )


def finish_of(state: b.BatchState) -> b.BatchFinished:
    completed, failed = state.counts.completed, state.counts.failed
    status: b.Ended = "completed" if not failed else "partial" if completed else "failed"
    return b.BatchFinished(
        id=derived_id("batch.finished", state.batch, state.seq),
        at=now(),
        batch=state.batch,
        status=status,
    )
