"""What the calls of a batch add up to."""

from typing import NamedTuple

import apsw

from personad.projections import fresh_sums
from personad.projections.cost_sums import COST, SUMS


def exact_sum(value: str) -> str:
    """SQL for a sum that is exact up to 63 bits and stays at their end, where `sum` would fail."""
    high, low = f"sum(({value}) >> 32)", f"sum(({value}) & 4294967295)"
    return (
        f"iif({high} + ({low} >> 32) > 2147483647, 9223372036854775807, "
        f"coalesce({high} * 4294967296 + {low}, 0))"
    )


def _of(batch: str, columns: str, late: str | None = None) -> str:
    """SQL for what calls of a batch cost, by the expression for its number."""
    return fresh_sums.of_both(COST, COST.batch, columns, f"batch = {batch}", late)


LATE = f"""late AS MATERIALIZED (
  SELECT batch, dim, {exact_sum("cost_nanousd")} AS cost_nanousd,
    sum(unpriced_calls) AS unpriced_calls
  FROM {COST.fresh} WHERE batch IS NOT NULL GROUP BY batch, dim)"""  # noqa: S608 - of ours
"""What the two below need of a query about many batches, so that each needn't go through all."""
_KEY = "(SELECT key FROM batch_key WHERE batch_key.batch = batch.batch)"
_SPENT_SUM = exact_sum("iif(outcome = 'unknown', 0, cost_nanousd)")
SPENT = f"""(
  SELECT {_SPENT_SUM} FROM {_of(_KEY, "dim, cost_nanousd", "late")} AS sums
  JOIN dim ON dim.key = sums.dim)"""  # noqa: S608 - expressions of ours
"""SQL for what the `batch` of a query has spent."""
UNPRICED = f"""(
  SELECT coalesce(sum(unpriced_calls), 0) FROM {_of(_KEY, "unpriced_calls", "late")})"""  # noqa: S608
"""SQL for how many calls of the `batch` of a query have no price."""
_OF_BATCH = f"""
SELECT {_SPENT_SUM}, 0, 0, sum(calls),
       {", ".join(exact_sum(each) for each in SUMS[-4:])}, sum(unpriced_calls)
FROM {_of("(SELECT key FROM batch_key WHERE batch = ?1)", f"dim, {', '.join(SUMS)}")} AS sums
JOIN dim ON dim.key = sums.dim
"""  # noqa: S608 - expressions of ours
_HELD = f"""
SELECT {exact_sum("iif(state = 'open', reserved_nanousd, 0)")},
       {exact_sum("iif(state = 'unresolved', reserved_nanousd, 0)")}
FROM open_call WHERE batch = ?
"""  # noqa: S608 - expressions of ours


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
    unpriced_calls: int = 0


def of_batch(db: apsw.Connection, batch: str) -> OfBatch:
    found = db.execute(_OF_BATCH, (batch,)).fetchone()
    reserved, unresolved = db.execute(_HELD, (batch,)).fetchone() or (0, 0)
    sums = OfBatch(*found) if found and found[3] else OfBatch()
    return sums._replace(reserved_nanousd=reserved, unresolved_nanousd=unresolved)
