"""The producer's side of the spool, and the recorder that chooses between ledger and spool."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.identity import (
    BitSource,
    batch_id,
    call_id,
    event_id,
    new_id,
    now,
    persona_id,
)
from persona.spool import Recorder, Spool, Spooled

from personad.contract import spool as form
from personad.contract.batch import BatchInterrupted, BatchPaused
from personad.contract.codec import codec
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Appended, Fence, check_event
from personad.contract.quality import GoalCleared

EVENT = codec(AnyEvent, check_event)


def event(metric: str = "coherence") -> GoalCleared:
    return GoalCleared(id=event_id(), at=now(), metric=metric)


def events_in(folder: Path) -> list[AnyEvent]:
    found: list[AnyEvent] = []
    for file in sorted(folder.glob("*.open")):
        pieces = list(form.scan(BytesIO(file.read_bytes())))
        found += [EVENT.decode(piece.payload) for piece in pieces if isinstance(piece, form.Record)]
    return found


def appended(events: Sequence[AnyEvent]) -> Appended:
    return Appended(first_seq=1, last_seq=1, duplicates=0, anomalies=0, quarantined=0)


@dataclass
class FlakyLedger:
    """A ledger that is there or not, as the test says, and takes spools when it is asked."""

    folder: Path
    error: LedgerError | None = None
    takes: bool = True
    got: list[AnyEvent] = field(default_factory=list)
    fences: list[Fence | None] = field(default_factory=list)
    asked: int = 0

    def append(self, events: Sequence[AnyEvent], *, fence: Fence | None = None) -> Appended:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.takes:
            self.got += events_in(self.folder)
            for file in self.folder.glob("*.open"):
                file.unlink()
        self.got += events
        self.fences.append(fence)
        return appended(events)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


GONE = LedgerError("unavailable", "no daemon")


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    written = [event(f"m{n}") for n in range(5)]
    with Spool(tmp_path) as spool:
        spool.write(written[:2])
        result = spool.write(written[2:])
    assert events_in(tmp_path) == written
    assert result == Spooled(events=3, file=next(tmp_path.glob("*.open")))


def test_nothing_is_created_before_the_first_event(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.close()
    assert spool.empty
    assert not (tmp_path / "spool").exists()


def test_only_the_owner_may_read_the_spool(tmp_path: Path) -> None:
    with Spool(tmp_path / "share" / "personad" / "spool") as spool:
        file = spool.write([event()]).file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700


def test_the_file_is_locked_until_the_spool_is_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.write([event()]).file.open("rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        spool.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_of_a_killed_producer_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from persona.spool import Spool;"
        "from persona.identity import event_id, now; from personad.contract.quality import *;"
        "s = Spool(Path(sys.argv[1])); e = GoalCleared(id=event_id(), at=now(), metric='m');"
        "s.write([e]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (file,) = tmp_path.glob("*.open")
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(events_in(tmp_path)) == 1


def test_writing_goes_on_in_a_new_file_after_closing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first = spool.write([event()]).file
    spool.close()
    second = spool.write([event()]).file
    assert first.name < second.name
    first.unlink()
    assert not spool.empty
    second.unlink()
    assert spool.empty
    spool.close()


def test_a_file_taken_between_creation_and_lock_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    taken: list[Path] = []

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.extend(tmp_path.glob("*.open"))
            taken[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with Spool(tmp_path) as spool:
        file = spool.write([event()]).file
    assert file not in taken
    assert len(events_in(tmp_path)) == 1


def test_what_the_ledger_would_refuse_is_refused_at_once(tmp_path: Path) -> None:
    naive = GoalCleared(id=event_id(), at=now().replace(tzinfo=None), metric="m")
    daemon_only = BatchInterrupted(id=event_id(), at=now(), batch="b", reason="lease")
    huge = GoalCleared(id=event_id(), at=now(), metric="m" * (9 << 20))
    with Spool(tmp_path) as spool:
        for wrong, code in ((naive, "invalid"), (daemon_only, "invalid"), (huge, "too-large")):
            with pytest.raises(LedgerError) as caught:
                spool.write([event(), wrong])
            assert caught.value.code == code
    assert events_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(LedgerError, match=r"its spool .*/spool takes nothing") as caught:
        Spool(tmp_path / "spool").write([event()])
    assert caught.value.code == "unavailable"
    assert caught.value.hint


def test_a_lock_that_cannot_be_had_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LedgerError, match="No locks available"):
        Spool(tmp_path).write([event()])


def test_a_write_that_fails_half_way_leaves_only_whole_events(tmp_path: Path) -> None:
    """In a process of its own, because a limit on file sizes holds for a whole process."""
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_spool import event
from persona.spool import Spool
from personad.contract.errors import LedgerError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]))
spool.write([event("first")])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    spool.write([event(f"refused-{{n}}") for n in range(100)])
except LedgerError as error:
    print(error.code, error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.write([event("second")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "unavailable" in done.stdout
    assert "File too large" in done.stdout
    assert [getattr(found, "metric", None) for found in events_in(tmp_path)] == ["first", "second"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_the_recorder_appends_directly_while_the_ledger_is_there(tmp_path: Path) -> None:
    ledger = FlakyLedger(tmp_path)
    fence = Fence(batch="b", fence=3)
    recorder = Recorder(ledger, Spool(tmp_path))
    result = recorder.record([event()], fence=fence)
    assert isinstance(result, Appended)
    assert ledger.fences == [fence]
    assert not list(tmp_path.iterdir())


def test_the_recorder_spools_while_the_ledger_is_away_and_keeps_the_order(tmp_path: Path) -> None:
    clock = Clock()
    ledger = FlakyLedger(tmp_path, error=GONE)
    recorder = Recorder(ledger, Spool(tmp_path), clock=clock)
    written = [event(f"m{n}") for n in range(3)]
    assert isinstance(recorder.record(written[:1]), Spooled)
    assert isinstance(recorder.record(written[1:2]), Spooled)
    ledger.error = None
    clock.now_s = 1.0
    assert isinstance(recorder.record(written[2:]), Appended)
    assert ledger.got == written


def test_the_recorder_asks_less_and_less_often_while_the_ledger_is_away(tmp_path: Path) -> None:
    clock = Clock()
    ledger = FlakyLedger(tmp_path, error=GONE)
    with Spool(tmp_path) as spool:
        recorder = Recorder(ledger, spool, clock=clock)
        for second in range(61):
            clock.now_s = float(second)
            recorder.record([event()])
    assert ledger.asked == 6  # at 0, 1, 3, 7, 15 and 31 s


def test_the_recorder_spools_on_while_its_spool_is_not_taken(tmp_path: Path) -> None:
    clock = Clock()
    ledger = FlakyLedger(tmp_path, error=GONE)
    recorder = Recorder(ledger, Spool(tmp_path), taken_s=0, clock=clock)
    written = [event(f"m{n}") for n in range(2)]
    recorder.record(written[:1])
    ledger.error, ledger.takes = None, False
    clock.now_s = 1.0
    assert isinstance(recorder.record(written[1:]), Spooled)
    assert events_in(tmp_path) == written
    assert ledger.got == []
    recorder.close()


def test_the_recorder_waits_for_a_daemon_that_is_about_to_take_the_spool(tmp_path: Path) -> None:
    ledger = FlakyLedger(tmp_path, error=GONE)
    spool = Spool(tmp_path)
    recorder = Recorder(ledger, spool, clock=Ticking(spool, tmp_path))
    recorder.record([event()])
    ledger.error, ledger.takes = None, False
    assert recorder.settle()


class Ticking:
    """A clock at whose fifth reading the spool has been taken."""

    def __init__(self, spool: Spool, folder: Path) -> None:
        self.readings = 0
        self.folder = folder

    def __call__(self) -> float:
        self.readings += 1
        if self.readings == 5:
            for file in self.folder.glob("*.open"):
                file.unlink()
        return 0.0


@pytest.mark.parametrize("code", ["conflict", "invalid", "too-large", "internal"])
def test_what_the_ledger_refuses_is_not_spooled(tmp_path: Path, code: str) -> None:
    ledger = FlakyLedger(tmp_path, error=LedgerError(code, "no"))  # type: ignore[arg-type]
    with pytest.raises(LedgerError) as caught:
        Recorder(ledger, Spool(tmp_path)).record([event()])
    assert caught.value.code == code
    assert events_in(tmp_path) == []


@given(st.integers(0, 2**60), st.integers(0, 2**70))
def test_an_id_holds_its_moment(now_ns: int, random: int) -> None:
    made = new_id(now_ns, random)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == now_ns // 1_000_000 & 2**48 - 1
    assert made.int & 2**62 - 1 == random & 2**62 - 1


def test_the_example_of_the_standard() -> None:
    made = new_id(0x017F22E279B0 * 1_000_000, 0x18C4DC0C0C07398F)
    assert made.fields[:2] == UUID("017F22E2-79B0-7000-98C4-DC0C0C07398F").fields[:2]
    assert made == UUID("017F22E2-79B0-7000-98C4-DC0C0C07398F")


@given(st.lists(st.integers(0, 2**60), min_size=2, max_size=2))
def test_later_ids_are_greater(moments: list[int]) -> None:
    low, high = sorted(moments)
    assert new_id(low, 0) <= new_id(high, 0)


def test_event_ids_grow() -> None:
    made = [event_id() for _ in range(5_000)]
    assert made == sorted(set(made))


def test_ids_for_people() -> None:
    rng: BitSource = Random(1)
    assert batch_id(now().replace(2026, 11, 23), rng) == "batch-2026-11-23-2265b1"
    assert persona_id("batch-a", 1) == persona_id("batch-a", 1)
    assert len({persona_id(batch, n) for batch in ("a", "b") for n in range(5_000)}) == 10_000
    assert persona_id("batch-a", 1).startswith("persona-")
    assert call_id() < call_id()


def test_the_spool_is_not_inherited(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        inode = spool.write([event()]).file.stat().st_ino
        held = [int(name) for name in os.listdir("/proc/self/fd")]
        ours = [fd for fd in held if _inode(fd) == inode]
        assert [os.get_inheritable(fd) for fd in ours] == [False]


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


def test_an_event_of_the_batch_keeps_its_fields(tmp_path: Path) -> None:
    paused = BatchPaused(id=event_id(), at=now(), batch="batch-a", reason="user", producer="p")
    with Spool(tmp_path) as spool:
        spool.write([paused])
    assert events_in(tmp_path) == [paused]
