"""What calls cost: one row a call, and the sums a batch and a persona show.

Of several `cost.recorded` for one call the greatest by (total tokens, output tokens, id) counts, so
the result depends on no order. A call that was granted and whose answer never came counts at what
was reserved for it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.events import Recorded

NAME = "costs"
VERSION = 1
SCHEMA = """
CREATE TABLE call (
  call TEXT PRIMARY KEY,
  batch TEXT,
  persona TEXT,
  state TEXT NOT NULL CHECK (state IN ('open', 'unresolved', 'settled', 'abandoned')),
  reserved_nanousd INTEGER NOT NULL,
  cost_nanousd INTEGER,               -- NULL: not settled, or no price is known
  tokens INTEGER NOT NULL,            -- the sum of the four kinds
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  event_id BLOB                       -- of the `cost.recorded` that counts
) STRICT, WITHOUT ROWID;
-- With all that is summed in it, so that a batch of many calls is summed without looking each up.
CREATE INDEX call_of_batch ON call (batch, persona, state, cost_nanousd, reserved_nanousd,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, event_id)
  WHERE batch IS NOT NULL;
CREATE INDEX call_in_flight ON call (batch) WHERE state IN ('open', 'unresolved');
"""

_STARTED = """
INSERT INTO call (call, batch, persona, state, reserved_nanousd, tokens, input_tokens,
  output_tokens, cache_read_tokens, cache_write_tokens)
VALUES (?, ?, ?, 'open', ?, 0, 0, 0, 0, 0)
ON CONFLICT DO UPDATE SET reserved_nanousd = excluded.reserved_nanousd,
  batch = coalesce(batch, excluded.batch), persona = coalesce(persona, excluded.persona)
"""
_ABANDONED = """
INSERT INTO call (call, state, reserved_nanousd, tokens, input_tokens,
  output_tokens, cache_read_tokens, cache_write_tokens)
VALUES (?, 'abandoned', 0, 0, 0, 0, 0, 0)
ON CONFLICT DO UPDATE SET state = 'abandoned' WHERE event_id IS NULL
"""
_RECORDED = """
INSERT INTO call (call, batch, persona, state, reserved_nanousd, cost_nanousd, tokens,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, event_id)
VALUES (:call, :batch, :persona, :state, 0, :cost, :tokens,
  :input, :output, :cache_read, :cache_write, :id)
ON CONFLICT DO UPDATE SET
  batch = excluded.batch, persona = excluded.persona, state = excluded.state,
  cost_nanousd = excluded.cost_nanousd, tokens = excluded.tokens,
  input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
  cache_read_tokens = excluded.cache_read_tokens,
  cache_write_tokens = excluded.cache_write_tokens, event_id = excluded.event_id
WHERE event_id IS NULL
   OR (excluded.tokens, excluded.output_tokens, excluded.event_id)
      > (tokens, output_tokens, event_id)
"""
_LEASE_LOST = "UPDATE call SET state = 'unresolved' WHERE batch = ? AND state = 'open'"


def exact_sum(value: str) -> str:
    """SQL for a sum that is exact up to 63 bits and stays at their end, where `sum` would fail."""
    high, low = f"sum(({value}) >> 32)", f"sum(({value}) & 4294967295)"
    return (
        f"iif({high} + ({low} >> 32) > 2147483647, 9223372036854775807, "
        f"coalesce({high} * 4294967296 + {low}, 0))"
    )


_OF_BATCH = f"""
SELECT {exact_sum("iif(state = 'unresolved', 0, cost_nanousd)")},
       {exact_sum("iif(state = 'open', reserved_nanousd, 0)")},
       {exact_sum("iif(state = 'unresolved', coalesce(cost_nanousd, reserved_nanousd), 0)")},
       count(event_id),
       {exact_sum("input_tokens")},
       {exact_sum("output_tokens")},
       {exact_sum("cache_read_tokens")},
       {exact_sum("cache_write_tokens")}
FROM call WHERE batch = ?
"""  # noqa: S608 - expressions of ours
_OF_PERSONAS = f"""
SELECT persona, {exact_sum("cost_nanousd")} FROM call
WHERE batch = ? AND persona IS NOT NULL AND cost_nanousd IS NOT NULL GROUP BY persona
"""  # noqa: S608 - expressions of ours
_OF_PERSONA = f"SELECT {exact_sum('cost_nanousd')} FROM call WHERE batch = ? AND persona = ?"  # noqa: S608

_SUM_MAX = 2**62


def apply(
    db: apsw.Connection, recorded: Sequence[Recorded], *, since: int
) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    anomalies = []
    for each in recorded:
        match each.event:
            case c.CallStarted() as event:
                reserved = event.reserved_nanousd or 0
                db.execute(_STARTED, (event.call, event.batch, event.persona, reserved))
            case c.CallAbandoned() as event:
                db.execute(_ABANDONED, (event.call,))
            case c.CostRecorded() as event:
                tokens = total_tokens(event)
                if max(tokens, event.cost_nanousd or 0) > _SUM_MAX // 1_000:
                    anomalies.append((each.seq, "too large to be a call's tokens or cost"))
                    continue
                db.execute(
                    _RECORDED,
                    {
                        "call": event.call,
                        "batch": event.batch,
                        "persona": event.persona,
                        "state": "unresolved" if event.outcome == "unknown" else "settled",
                        "cost": event.cost_nanousd,
                        "tokens": tokens,
                        "input": event.input_tokens,
                        "output": event.output_tokens,
                        "cache_read": event.cache_read_tokens,
                        "cache_write": event.cache_write_tokens,
                        "id": event.id.bytes,
                    },
                )
            case b.BatchInterrupted() as event:
                db.execute(_LEASE_LOST, (event.batch,))
            case _:
                pass
    return anomalies


def total_tokens(event: c.CostRecorded) -> int:
    return (
        event.input_tokens
        + event.output_tokens
        + event.cache_read_tokens
        + event.cache_write_tokens
    )


class OfBatch(NamedTuple):
    """What the calls of one batch add up to."""

    spent_nanousd: int = 0
    reserved_nanousd: int = 0
    unresolved_nanousd: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


def of_batch(db: apsw.Connection, batch: str) -> OfBatch:
    found = db.execute(_OF_BATCH, (batch,)).fetchone()
    return OfBatch(*found) if found else OfBatch()


def of_personas(db: apsw.Connection, batch: str) -> dict[str, int]:
    """Spent on each persona of a batch, in nano-dollars."""
    return dict(db.execute(_OF_PERSONAS, (batch,)))


def of_some(db: apsw.Connection, batch: str, personas: Sequence[str]) -> dict[str, int]:
    """Spent on some personas of a batch, in nano-dollars."""
    return {each: db.execute(_OF_PERSONA, (batch, each)).get for each in personas}
