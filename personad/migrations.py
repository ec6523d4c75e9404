"""From the format of one release's database file to the next one's.

`MIGRATIONS` is the whole list: the first leads from format 1 to 2, the second from 2 to 3, and so
on. Each is a plain function that is given the database inside of a transaction, which also holds
the new format's number: killed at any moment, the file has one format or the other. Before the
first of them runs, the file is copied to `<file>.format-<n>` beside it.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import msgspec

from personad import log, news
from personad.contract.base import VERSION
from personad.contract.batch import BatchStarted
from personad.contract.errors import LedgerError
from personad.contract.quality import QualityScored
from personad.copying import alone_on, copy
from personad.kinds import CODE_OF, part_of
from personad.projections import (
    alerts,
    call_places,
    charts,
    counted,
    fresh_sums,
    persona_costs,
    sketches,
)
from personad.projections.book import Book
from personad.projections.cost_sums import COST
from personad.projections.personas import PERSONA
from personad.projections.quality import SCORE

Migration = Callable[[apsw.Connection], None]


def _add_sleep(db: apsw.Connection) -> None:
    """What the machine slept while a batch was running; nobody had counted it."""
    db.execute("ALTER TABLE batch ADD COLUMN slept_us INTEGER NOT NULL DEFAULT 0")


def _to_format_3(db: apsw.Connection) -> None:
    """What a runner that is held up waits for."""
    db.execute("ALTER TABLE batch ADD COLUMN held_until INTEGER")


def _to_format_4(db: apsw.Connection) -> None:
    """The forecasts that were shown; an import may have brought some already."""
    db.execute("""
      CREATE TABLE forecast (
        filters TEXT NOT NULL, timezone TEXT NOT NULL, as_of TEXT NOT NULL,
        horizon_days INTEGER NOT NULL, level INTEGER NOT NULL, expected INTEGER NOT NULL,
        low INTEGER, high INTEGER, seq INTEGER NOT NULL,
        PRIMARY KEY (filters, timezone, as_of, horizon_days)
      ) STRICT, WITHOUT ROWID""")
    db.execute("INSERT INTO projection (name, version) VALUES ('forecasts', 1)")
    recorded = """SELECT seq, body FROM event WHERE kind = 46
      AND seq NOT IN (SELECT seq FROM anomaly) ORDER BY seq"""
    found: list[Any] = db.execute(recorded).fetchall()
    for seq, body in found:
        _, as_of, filters, horizon, level, expected, low, high = msgspec.msgpack.decode(body)[:8]
        kept = {name: sorted(set(values)) for name, values in filters.items() if values}
        text = msgspec.json.encode(kept, order="sorted").decode()
        db.execute(
            """INSERT INTO forecast SELECT ?1, '', ?2, ?3, ?4, ?5, ?6, ?7, ?8
              WHERE date(?2) = ?2 ON CONFLICT DO NOTHING""",
            (text, as_of, horizon, level, expected, low, high, seq),
        )


def _to_format_5(db: apsw.Connection) -> None:
    """Charts of scores, what alerts tell beside their message, and who was shown them."""
    for column in alerts.ADDED:
        db.execute(f"ALTER TABLE alert ADD COLUMN {column}")
    db.execute(charts.SCHEMA + news.SCHEMA)
    for each in (alerts, charts):
        db.execute("INSERT OR REPLACE INTO projection VALUES (?, ?)", (each.NAME, each.VERSION))
    book, after = Book(db, ZoneInfo("UTC")), 0
    while some := log.entries(db, after=after, limit=_SLICE_EVENTS):
        after = some[-1][0]
        charts.apply(book, [entry for entry in some if isinstance(entry[2], QualityScored)])


def _to_format_6(db: apsw.Connection) -> None:
    """Kinds that are kept for ever are found among millions of others."""
    db.execute(log.KEPT_INDEX)


def _to_format_7(db: apsw.Connection) -> None:
    """Hours and days of all models together; those of which there are none yet are not read."""
    db.execute(sketches.ALL_SCHEMA)
    db.execute("""
      INSERT OR IGNORE INTO stale SELECT DISTINCT 'day', bucket FROM sketch_day;
      INSERT OR IGNORE INTO stale
        SELECT DISTINCT 'hour', bucket / 24 - (bucket % 24 < 0) FROM sketch_hour""")


def _to_format_8(db: apsw.Connection) -> None:
    """Where calls lie in the log; what is there already is noted in quiet moments."""
    db.execute(call_places.SCHEMA)


def _to_format_9(db: apsw.Connection) -> None:
    """The dearest of many blocks are found without looking at all of a range."""
    db.execute(call_places.INDEXES)


def _to_format_10(db: apsw.Connection) -> None:
    """Calls by experiment; they are noted together with those by model, in quiet moments."""
    db.execute(call_places.EXPERIMENT_SCHEMA)
    db.execute("DELETE FROM call_place_model")
    db.execute("DELETE FROM meta WHERE name = 'calls_placed_by_model'")


def _to_format_11(db: apsw.Connection) -> None:
    """Days by experiment, a row each instead of one for each experiment too."""
    for days in (COST.experiments, PERSONA.experiments, SCORE.experiments):
        table = f"{days.name}_day"
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
        db.execute(days.schema)
        columns = ", ".join(("bucket", days.key, *days.sums))
        found: Any = db.execute(f"SELECT {columns} FROM {table}_before ORDER BY 1, 2")  # noqa: S608
        for day, rows in groupby(found, itemgetter(0)):
            days.put(db, day, [row[1:] for row in rows])
        db.execute(f"DROP TABLE {table}_before")


def _to_format_12(db: apsw.Connection) -> None:
    """Calls that were told lately lie beside the others."""
    db.execute(counted.FRESH_SCHEMA)


def _to_format_13(db: apsw.Connection) -> None:
    """What a batch is made from stands beside it: to find it in the log was a seek a batch."""
    db.execute("ALTER TABLE batch ADD COLUMN digest TEXT")
    source_of = part_of(BatchStarted, "source")
    found: Any = db.execute(
        "SELECT event.body, batch_key.batch FROM event "  # noqa: S608 - a number of ours
        f"JOIN batch_key ON batch_key.key = event.batch WHERE kind = {CODE_OF[BatchStarted]} "
        "AND seq NOT IN (SELECT seq FROM anomaly)"
    ).fetchall()
    digests = [(source_of(body).source.digest, batch) for body, batch in found]
    db.executemany("UPDATE batch SET digest = ? WHERE batch = ?", digests)


def _to_format_14(db: apsw.Connection) -> None:
    """The same index, of a condition that is quicker to look at."""
    db.execute("DROP INDEX event_kept")
    db.execute(log.KEPT_INDEX)


def _to_format_15(db: apsw.Connection) -> None:
    """What personas cost lately lies beside the rest."""
    db.execute(persona_costs.FRESH_SCHEMA)


def _to_format_16(db: apsw.Connection) -> None:
    """What calls cost lately lies beside the sums by quarter-hour."""
    db.execute(fresh_sums.schema(COST))


MIGRATIONS: Sequence[Migration] = (
    _add_sleep,
    _to_format_3,
    _to_format_4,
    _to_format_5,
    _to_format_6,
    _to_format_7,
    _to_format_8,
    _to_format_9,
    _to_format_10,
    _to_format_11,
    _to_format_12,
    _to_format_13,
    _to_format_14,
    _to_format_15,
    _to_format_16,
)

FORMAT = 1 + len(MIGRATIONS)
"""Of a database file that this release makes."""

_MAKERS = "SELECT value FROM meta WHERE name IN ('created_by', 'migrated_by') ORDER BY name DESC"
_MIGRATED_BY = "INSERT OR REPLACE INTO meta (name, value) VALUES ('migrated_by', ?)"

_SLICE_EVENTS = 5_000

logger = logging.getLogger(__name__)


def bring_up(db: apsw.Connection, path: str, migrations: Sequence[Migration] | None = None) -> None:
    """Leads the database to this release's format; `db` is in no transaction.

    Raises:
        LedgerError: a newer release made it, or there is no room for the copy.
        apsw.Error: a step failed; the file has the format that it had before that step.
    """
    steps = MIGRATIONS if migrations is None else migrations
    found = format_of(db)
    newest = 1 + len(steps)
    if found > newest:
        raise too_new(db, path, found, newest)
    if found == newest:
        return
    _keep(db, path, found)
    for number in range(found, newest):
        _step(db, steps[number - 1], number + 1)
        logger.info("%s has format %d now", path, number + 1)


def format_of(db: apsw.Connection) -> int:
    """0 where it is no ledger."""
    return int(db.pragma("user_version"))


def check_format(db: apsw.Connection, path: str) -> None:
    """Raises LedgerError where the database has another format than this release's."""
    found = format_of(db)
    if found > FORMAT:
        raise too_new(db, path, found)
    if found < FORMAT:
        raise LedgerError(
            "unavailable",
            f"{path} has format {found}, and this personad {VERSION} works with format {FORMAT}",
            hint="`personad start` leads it there, and keeps a copy of it as it was",
        )


def too_new(db: apsw.Connection, path: str, found: int, newest: int = FORMAT) -> LedgerError:
    """Names both: what can't be read, and what can't read it."""
    return LedgerError(
        "unavailable",
        f"{path} has format {found}, made by personad {_maker(db)}, and this personad {VERSION} "
        f"knows formats up to {newest}",
        hint="install that version, or a newer one; nothing was changed",
    )


def _maker(db: apsw.Connection) -> str:
    """The release that gave the database its format; a future one may not say."""
    try:
        row = db.execute(_MAKERS).fetchone()
    except apsw.SQLError:
        return "(unknown)"
    return str(row[0]) if row else "(unknown)"


def _keep(db: apsw.Connection, path: str, found: int) -> None:
    kept = Path(f"{path}.format-{found}")
    try:
        copy(alone_on(db), kept)
    except (OSError, apsw.FullError, apsw.IOError) as error:
        raise LedgerError(
            "unavailable",
            f"{path} has to be led from format {found} to a newer one, and can't be copied to "
            f"{kept} first: {error}",
            hint="make as much room on its disk as it takes itself; nothing was changed",
        ) from None
    logger.info("%s is kept as it was in %s", path, kept)


def _step(db: apsw.Connection, migration: Migration, number: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        migration(db)
        db.pragma("user_version", number)
        db.execute(_MIGRATED_BY, (VERSION,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
