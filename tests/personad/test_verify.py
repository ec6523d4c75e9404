"""`verify`: a sound ledger is found sound, and each kind of damage is named."""

from zoneinfo import ZoneInfo

import apsw
import pytest

from bench.history import Shape, history
from personad.store import open_for_reading
from personad.tidy import Tidier, all_at_once
from personad.verify import Verified, verify

from .conftest import Core
from .facts import NOON

UTC = ZoneInfo("UTC")


def filled(core: Core, events: int = 2_000) -> Core:
    made = list(history(Shape(events, 5, NOON)))
    for start in range(0, len(made), 300):
        core.append(*made[start : start + 300])
    return core


def look(core: Core) -> Verified:
    db = open_for_reading(str(core.path))
    try:
        return verify(db, core.path.parent, UTC, lambda *_: None)
    finally:
        db.close()


def test_a_sound_ledger_is_found_sound_before_and_after_tidying(core: Core) -> None:
    filled(core)
    before = look(core)
    assert before.damage is None
    assert before.events == 2_000
    Tidier(lambda work: work(core.book)).tidy(NOON)
    assert look(core).damage is None
    all_at_once(core.book)
    after = look(core)
    assert after.damage is None
    assert after.rows > before.rows
    assert not list(core.path.parent.glob(".refold*"))


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("UPDATE cost_quarter SET cost_nanousd = cost_nanousd + 1", "cost_quarter"),
        ("DELETE FROM cost_batch_quarter WHERE rowid IS NULL OR batch = 3", "cost_batch_quarter"),
        ('UPDATE persona SET quality = 1 WHERE "index" = 1', "persona"),
        ("UPDATE batch SET completed = completed + 1", "batch"),
        ("UPDATE score_day SET total = total - 1", "score_day"),
        ("UPDATE cost_hour SET calls = calls + 1", "cost_hour"),
        ("DELETE FROM call WHERE seq = (SELECT max(seq) FROM call)", "call"),
        (
            "INSERT INTO cost_day "
            "SELECT bucket - 900, dim, 1, 0, 0, 0, 5, 0, 0, 0, 0 FROM cost_day",
            "cost_day",
        ),
        ("DELETE FROM sketch_day", "sketch_day"),
        ("UPDATE sketch_quarter SET data = x'0100'", "sketch_quarter"),
        ("INSERT INTO anomaly SELECT min(seq), 'no' FROM event", "anomaly"),
        ("DELETE FROM event WHERE seq = 1000", "event"),
        ("UPDATE event SET body = x'c1' WHERE seq = 1000", "event"),
        ("DELETE FROM call_place WHERE block = 1", "call_place"),
        ("UPDATE call_place SET unpriced = unpriced + 1", "call_place"),
        ("UPDATE call_place_model SET dearest = dearest - 1", "call_place_model"),
        ("DELETE FROM call_of_experiment", "call_of_experiment"),
        ("UPDATE call_of_experiment SET places = substr(places, 4)", "call_of_experiment"),
        (
            "UPDATE call_of_experiment SET places = CAST(places || places AS BLOB)",
            "call_of_experiment",
        ),
        ("INSERT INTO correction VALUES (5, 1)", "correction"),
        ("UPDATE meta SET value = '99' WHERE name = 'calls_placed'", "call_place"),
        ("UPDATE meta SET value = '1' WHERE name = 'calls_placed'", "call_place"),
        ("UPDATE batch_key SET first_seq = 1500 WHERE key = 1", "batch_key"),
        ("INSERT INTO own_price VALUES (9, x'00', 1, 'p', 'm', 1, 1, 1, 1, 1)", "own_price"),
    ],
)
def test_the_first_difference_is_named(core: Core, sql: str, named: str) -> None:
    filled(core)
    all_at_once(core.book)
    core.db.execute(sql.replace("rowid IS NULL OR ", ""))
    assert core.db.changes() > 0
    damage = look(core).damage
    assert damage is not None
    assert damage.what == named


def test_a_damaged_page_is_named(core: Core) -> None:
    filled(core)
    core.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    with core.path.open("r+b") as file:
        file.seek(4_096 * 20)
        file.write(b"\xff" * 4_096)
    damage = look(core).damage
    assert damage is not None
    assert damage.what == "file"
