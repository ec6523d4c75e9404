"""The daemon's side of the spool: every byte is taken, dropped with a note, or set aside."""

import json
import os
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.spool import Spool

from personad.contract import spool as form
from personad.contract.batch import BatchInterrupted
from personad.contract.codec import encode
from personad.contract.errors import Code, LedgerError
from personad.contract.events import AnyEvent
from personad.contract.quality import GoalCleared
from personad.spool import (
    CHUNK_EVENTS,
    MOST_TRIES,
    Stubborn,
    Taken,
    backlog,
    quarantined,
    reasons,
    take,
)

AT = datetime(2026, 11, 23, tzinfo=UTC)
FIRST = f"{UUID(int=1)}.open"
SECOND = f"{UUID(int=2)}.open"


class Log:
    """Appends by id, all or none; refuses what the test says."""

    def __init__(self, *refused: str, code: Code = "invalid", room: int | None = None) -> None:
        self.refused = refused
        self.code = code
        self.room = room
        self.metrics: list[str] = []
        self.ids: set[UUID] = set()
        self.largest = 0

    def __call__(self, events: list[AnyEvent]) -> None:
        self.largest = max(self.largest, len(events))
        found = [event for event in events if isinstance(event, GoalCleared)]
        if any(event.metric in self.refused for event in found):
            raise LedgerError(self.code, "refused by the test")
        if self.room is not None and len(self.metrics) + len(events) > self.room:
            raise LedgerError("unavailable", "the disk is full")
        for event in found:
            if event.id not in self.ids:
                self.ids.add(event.id)
                self.metrics.append(event.metric)


def event(number: int) -> GoalCleared:
    return GoalCleared(id=UUID(int=number + 1), at=AT, metric=f"m{number}")


def records(*numbers: int) -> list[bytes]:
    return [form.record(place, encode(event(n))) for place, n in enumerate(numbers, 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


def set_aside(aside: Path) -> list[tuple[str, bytes]]:
    """The reason and the bytes of each quarantined piece."""
    pieces = [file.read_bytes().split(b"\n", 1) for file in sorted(aside.iterdir())]
    return [(json.loads(head)["reason"], body) for head, body in pieces]


def test_what_a_producer_spooled_is_appended_in_order_and_removed(
    folder: Path, aside: Path
) -> None:
    with Spool(folder) as spool:
        spool.write([event(0), event(1)])
        spool.close()
        spool.write([event(2)])
    log = Log()
    assert take(folder, aside, log) == Taken(files=2, events=3)
    assert log.metrics == ["m0", "m1", "m2"]
    assert list(folder.iterdir()) == []
    assert not aside.exists()


def test_a_file_that_is_being_written_is_left_alone(folder: Path, aside: Path) -> None:
    log = Log()
    with Spool(folder) as spool:
        spool.write([event(0)])
        assert take(folder, aside, log) == Taken()
        assert backlog(folder) == 1
    assert take(folder, aside, log) == Taken(files=1, events=1)
    assert backlog(folder) == 0


def test_without_a_spool_folder_there_is_nothing_to_take(tmp_path: Path, aside: Path) -> None:
    assert take(tmp_path / "none", aside, Log()) == Taken()
    assert backlog(tmp_path / "none") == 0
    assert quarantined(aside) == 0


def test_other_files_in_the_folder_are_not_touched(folder: Path, aside: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert take(folder, aside, Log()) == Taken()
    assert (folder / "notes.txt").exists()


@given(cut=st.integers(min_value=1))
def test_a_record_whose_writing_was_cut_off_is_dropped_with_a_note(cut: int) -> None:
    whole, last = records(0, 1)
    kept = last[: cut % len(last)]
    pieces = list(form.scan(BytesIO(whole + kept)))
    assert pieces[0] == form.Record(0, len(whole), 1, encode(event(0)))
    assert pieces[1:] == ([form.Torn(len(whole), len(kept))] if kept else [])


def test_a_torn_file_is_taken_up_to_the_tear(folder: Path, aside: Path) -> None:
    (folder / FIRST).write_bytes(b"".join(records(0, 1))[:-1])
    log = Log()
    assert take(folder, aside, log) == Taken(files=1, events=1, torn=1)
    assert log.metrics == ["m0"]


@given(st.data())
def test_damage_costs_only_the_damaged_records_and_no_byte_is_forgotten(
    data: st.DataObject,
) -> None:
    parts = records(*range(6))
    place = data.draw(st.integers(0, 5))
    at = data.draw(st.integers(0, len(parts[place]) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(parts[place])
    damaged[at] ^= flip
    whole = b"".join([*parts[:place], bytes(damaged), *parts[place + 1 :]])
    pieces = list(form.scan(BytesIO(whole)))
    found = [piece.payload for piece in pieces if isinstance(piece, form.Record)]
    assert found == [encode(event(n)) for n in range(6) if n != place]
    assert _covers(pieces, len(whole))


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(records(*range(4))))))
def test_any_bytes_are_read_to_their_end_without_a_gap(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert _covers(list(form.scan(BytesIO(whole))), len(whole))


def _covers(pieces: list[form.Record | form.Damage | form.Torn], size: int) -> bool:
    end = 0
    for piece in pieces:
        if piece.offset != end:
            return False
        end += piece.size
    return end == size


def test_a_long_damaged_stretch_is_skipped_to_the_next_record(folder: Path, aside: Path) -> None:
    first, second = records(0, 1)
    (folder / FIRST).write_bytes(first + bytes(200_000) + second)
    log = Log()
    assert take(folder, aside, log) == Taken(files=1, events=2, quarantined=1)
    assert set_aside(aside) == [("damaged: no checksum fits", bytes(200_000))]


def test_a_marker_that_lies_across_two_windows_is_found() -> None:
    (part,) = records(0)
    for shift in range(1, 8):
        junk = bytes((64 << 10) - shift)
        (_, found) = form.scan(BytesIO(junk + part))
        assert isinstance(found, form.Record)
        assert form.count(BytesIO(part + junk)) == 1


def test_what_is_no_event_is_set_aside_with_the_reason(folder: Path, aside: Path) -> None:
    wrong = form.record(2, b'{"type": "goal.cleared", "id": 7}')
    first, _, last = records(0, 1, 2)
    (folder / FIRST).write_bytes(first + wrong + last)
    log = Log()
    assert take(folder, aside, log) == Taken(files=1, events=2, quarantined=1)
    ((reason, body),) = set_aside(aside)
    assert "$.id" in reason
    assert body == wrong
    assert quarantined(aside) == 1


def test_an_event_that_only_the_daemon_may_write_is_set_aside(folder: Path, aside: Path) -> None:
    forged = BatchInterrupted(id=UUID(int=9), at=AT, batch="b", reason="lease")
    (folder / FIRST).write_bytes(form.record(1, encode(forged)))
    assert take(folder, aside, Log()) == Taken(files=1, quarantined=1)
    assert set_aside(aside)[0][0] == "only the daemon writes BatchInterrupted"


@pytest.mark.parametrize("code", ["invalid", "conflict", "too-large"])
def test_one_refused_event_does_not_keep_the_others_out(
    folder: Path, aside: Path, code: Code
) -> None:
    (folder / FIRST).write_bytes(b"".join(records(*range(5))))
    log = Log("m2", code=code)
    assert take(folder, aside, log) == Taken(files=1, events=4, quarantined=1)
    assert log.metrics == ["m0", "m1", "m3", "m4"]
    assert set_aside(aside) == [("refused by the test", records(*range(5))[2])]


def test_a_ledger_that_cannot_take_now_leaves_the_file_for_later(folder: Path, aside: Path) -> None:
    (folder / FIRST).write_bytes(b"".join(records(0, 1)))
    with pytest.raises(LedgerError):
        take(folder, aside, Log("m1", code="unavailable"))
    log = Log()
    assert take(folder, aside, log) == Taken(files=1, events=2)
    assert log.metrics == ["m0", "m1"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_that_the_ledger_fails_on_is_tried_again_after_ever_longer(
    folder: Path, aside: Path
) -> None:
    (folder / FIRST).write_bytes(b"".join(records(0, 1, 2)))
    (folder / SECOND).write_bytes(b"".join(records(3)))
    clock, log = Clock(), Log("m1", code="internal")
    stubborn = Stubborn(clock)
    assert take(folder, aside, log, stubborn) == Taken(files=1, events=2, failed=1)
    assert log.metrics == ["m0", "m3"]
    assert take(folder, aside, log, stubborn) == Taken()
    clock.now = 1.0
    assert take(folder, aside, log, stubborn).failed == 1
    clock.now = 2.9
    assert take(folder, aside, log, stubborn) == Taken()
    clock.now, log.refused = 3.0, ()
    assert take(folder, aside, log, stubborn).files == 1
    assert log.metrics == ["m0", "m3", "m1", "m2"]
    assert quarantined(aside) == 0


def test_what_the_ledger_fails_on_for_good_is_set_aside_with_what_it_was(
    folder: Path, aside: Path
) -> None:
    (folder / FIRST).write_bytes(b"".join(records(*range(5))))
    clock, log = Clock(), Log("m1", "m3", code="internal")
    stubborn = Stubborn(clock)
    passes = 0
    while backlog(folder):
        take(folder, aside, log, stubborn)
        passes, clock.now = passes + 1, clock.now + 100
    assert passes == MOST_TRIES
    assert log.metrics == ["m0", "m2", "m4"]
    why = f"goal.cleared could not be recorded, tried {MOST_TRIES} times: refused by the test"
    assert sorted(set_aside(aside)) == [(why, records(*range(5))[n]) for n in (1, 3)]
    assert reasons(aside, 1) == [why]


def test_a_disk_that_fills_up_among_refused_events_leaves_the_file_for_later(
    folder: Path, aside: Path
) -> None:
    (folder / FIRST).write_bytes(b"".join(records(0, 1, 2)))
    log = Log("m0", room=1)
    with pytest.raises(LedgerError, match="the disk is full"):
        take(folder, aside, log)
    log.room = None
    take(folder, aside, log)
    assert log.metrics == ["m1", "m2"]
    assert quarantined(aside) == 1


def test_stopped_after_appending_it_begins_again_and_nothing_counts_twice(
    folder: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FIRST).write_bytes(b"".join(records(0, 1)) + b"junk")
    log = Log()

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            take(folder, aside, log)
    take(folder, aside, log)
    assert log.metrics == ["m0", "m1"]
    assert quarantined(aside) == 1
    assert list(folder.iterdir()) == []


def test_what_is_no_file_is_moved_out_of_the_way(folder: Path, aside: Path) -> None:
    os.mkfifo(folder / FIRST)
    (folder / f"{UUID(int=2)}.open").mkdir()
    (folder / f"{UUID(int=3)}.open").symlink_to("/etc/passwd")
    assert take(folder, aside, Log()) == Taken(quarantined=3)
    os.mkfifo(folder / FIRST)
    assert take(folder, aside, Log()) == Taken(quarantined=1)
    assert quarantined(aside) == 4
    assert list(folder.iterdir()) == []


def test_a_pipe_keeps_nobody_waiting_who_counts_or_asks_why(folder: Path, aside: Path) -> None:
    os.mkfifo(folder / FIRST)
    assert backlog(folder) == 0
    take(folder, aside, Log())
    assert reasons(aside, 1) == [f"{FIRST}.no-regular-file.0.quarantine"]


def test_what_may_not_be_read_is_moved_out_of_the_way(
    folder: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FIRST).write_bytes(records(0)[0])

    opened = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if path == folder / FIRST:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    assert backlog(folder) == 0
    assert take(folder, aside, Log()) == Taken(quarantined=1)


def test_a_file_that_went_away_meanwhile_is_no_error(
    folder: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda _: [FIRST])
    assert take(folder, aside, Log()) == Taken()
    assert backlog(folder) == 0


def test_quarantine_is_for_its_owner_only(folder: Path, aside: Path) -> None:
    (folder / FIRST).write_bytes(b"not a record, nor the start of one")
    take(folder, aside, Log())
    (file,) = aside.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert aside.stat().st_mode & 0o777 == 0o700


def test_memory_does_not_grow_with_the_spool(folder: Path, aside: Path) -> None:
    def parts(number: int) -> Iterator[bytes]:
        body = encode(event(1))
        return (form.record(place, body) for place in range(1, number + 1))

    def peak(number: int) -> int:
        (folder / FIRST).write_bytes(b"".join(parts(number)))
        log = Log()
        tracemalloc.start()
        take(folder, aside, log)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert log.largest == CHUNK_EVENTS
        return found

    assert peak(8 * CHUNK_EVENTS) < 1.5 * peak(2 * CHUNK_EVENTS)


def test_large_events_make_small_chunks(folder: Path, aside: Path) -> None:
    big = [GoalCleared(id=UUID(int=n), at=AT, metric="m", producer="p" * 200) for n in range(1, 11)]
    padding = b'{"type":"goal.cleared","pad":"' + b"x" * (600 << 10) + b'",'
    lines = [
        form.record(n, padding + encode(one, "json").removeprefix(b'{"type":"goal.cleared",'))
        for n, one in enumerate(big, 1)
    ]
    (folder / FIRST).write_bytes(b"".join(lines))
    log = Log()
    assert take(folder, aside, log) == Taken(files=1, events=10)
    assert log.largest == 2


def test_the_backlog_counts_what_whole_records_say(folder: Path) -> None:
    parts = records(*range(300))
    (folder / FIRST).write_bytes(b"".join(parts)[:-1])
    (folder / f"{UUID(int=2)}.open").write_bytes(b"")
    (folder / f"{UUID(int=3)}.open").write_bytes(form.MARKER + b"no record" * 20_000)
    assert backlog(folder) == 299


def test_a_cut_off_header_is_torn_and_other_bytes_are_damage() -> None:
    (part,) = records(0)
    assert list(form.scan(BytesIO(part[:10]))) == [form.Torn(0, 10)]
    assert list(form.scan(BytesIO(b"short"))) == [form.Damage(0, 5)]
    assert list(form.scan(BytesIO(bytes(40)))) == [form.Damage(0, 40)]
