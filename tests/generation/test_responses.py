"""Responses are kept whole until what was made of them is on the disk."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persona.generation.providers.base import Usage
from persona.generation.responses import Document, Record, Responses, Saved, load

DOCUMENT = Document(persona="persona-1", index=1, data=b'{"name":"Ada"}\n')


def saved(call: str = "call-1", body: bytes = b'{"name":"Ada"}') -> Saved:
    return Saved(
        call=call,
        persona="persona-1",
        attempt=2,
        body=body,
        usage=Usage(10, 5, 3, 1),
        duration_ms=12,
        request_id="r-1",
        ttft_ms=4,
    )


def calls(folder: Path) -> list[str]:
    return [each.call for each in load(folder).saved]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Responses]:
    responses = Responses(tmp_path / "run" / "calls")
    yield responses
    responses.close()


def test_what_was_kept_comes_back_in_the_order_of_the_calls(kept: Responses) -> None:
    kept.keep([saved("call-2", bytes(range(256)))])
    kept.keep([saved("call-1", b""), DOCUMENT])

    found = load(kept.folder)
    assert found.saved == (saved("call-1", b""), saved("call-2", bytes(range(256))))
    assert found.documents == (DOCUMENT,)


def test_only_the_owner_may_read_it(kept: Responses) -> None:
    kept.keep([saved()])

    (path,) = kept.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_forgotten_one_is_not_found_again_and_forgetting_again_is_no_error(
    kept: Responses,
) -> None:
    kept.keep([saved("call-1"), saved("call-2"), saved("call-3")])
    kept.forget("call-1")
    kept.forget("call-1")

    assert [each.call for each in kept.found().saved] == ["call-2", "call-3"]
    kept.keep([saved("call-4")])
    assert calls(kept.folder) == ["call-2", "call-3", "call-4"]
    kept.forget("call-3")
    kept.close()
    assert calls(kept.folder) == ["call-2", "call-4"]


def test_what_one_run_is_done_with_may_be_what_another_kept(kept: Responses) -> None:
    kept.keep([saved("call-1"), saved("call-2")])
    kept.close()
    following = Responses(kept.folder)
    following.forget("call-1")
    following.keep([saved("call-3")])
    following.close()

    assert calls(kept.folder) == ["call-2", "call-3"]


def test_two_runs_at_once_never_write_to_the_same_file(kept: Responses) -> None:
    other = Responses(kept.folder)
    for n in range(10):
        kept.keep([saved(f"call-{2 * n:02d}")])
        other.keep([saved(f"call-{2 * n + 1:02d}")])

    assert len(list(kept.folder.iterdir())) == 2
    assert calls(kept.folder) == [f"call-{n:02d}" for n in range(20)]
    # What another run still has open stays: its runner lives, and may yet keep something.
    other.drop()
    assert calls(kept.folder) == [f"call-{n:02d}" for n in range(0, 20, 2)]
    kept.drop()
    assert not list(kept.folder.iterdir())


def test_a_file_that_is_written_to_is_locked(kept: Responses) -> None:
    kept.keep([saved()])

    (path,) = kept.folder.iterdir()
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_an_earlier_version_kept_file_by_file_is_read_too(kept: Responses) -> None:
    alone = {n: getattr(saved(), n) for n in Saved.__struct_fields__}
    kept.folder.mkdir(parents=True)
    (kept.folder / "call-1.response").write_bytes(msgspec.msgpack.encode(alone))
    (kept.folder / "call-3.response").write_bytes(b"\x81half")
    (kept.folder / ".persona-0123.tmp").write_bytes(b"half")
    kept.keep([saved("call-2")])

    assert load(kept.folder).saved == (saved("call-1"), saved("call-2"))
    kept.forget("call-1")
    assert [each.call for each in kept.found().saved] == ["call-2"]
    kept.drop()
    assert [path.name for path in kept.folder.iterdir()] == ["call-3.damaged"]


@pytest.mark.no_cover
def test_of_a_file_that_was_cut_anywhere_every_whole_record_is_read(kept: Responses) -> None:
    ends = []
    for n in range(4):
        kept.keep([saved(f"call-{n}", bytes([0xF5, 0x53, n]) * n)])
        (path,) = kept.folder.iterdir()
        ends.append(path.stat().st_size)
    kept.close()
    whole = path.read_bytes()

    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert calls(kept.folder) == [f"call-{n}" for n, end in enumerate(ends) if end <= size]


@pytest.mark.no_cover
@settings(deadline=None, max_examples=60)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_damaged_record_costs_no_other(
    at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = Responses(tmp_path_factory.mktemp("damaged"))
    ends = [0]
    for n in range(3):
        kept.keep([saved(f"call-{n}")])
        (path,) = kept.folder.iterdir()
        ends.append(path.stat().st_size)
    kept.close()
    damaged = bytearray(path.read_bytes())
    at %= len(damaged)
    damaged[at] ^= 1 << bit
    path.write_bytes(damaged)

    hit = max(n for n, begin in enumerate(ends) if begin <= at)
    assert calls(kept.folder) == [f"call-{n}" for n in range(3) if n != hit]


_KILLED = """
import os, signal, sys
from pathlib import Path
from persona.generation.responses import Responses
from tests.generation.test_responses import saved
kept = Responses(Path(sys.argv[1]))
kept.keep([saved("call-1")])
os.fdatasync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
kept.keep([saved("call-2")])
"""


@pytest.mark.no_cover
def test_a_kill_between_writing_and_syncing_loses_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "calls")], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert calls(tmp_path / "calls") == ["call-1", "call-2"]


def test_who_keeps_at_the_same_time_shares_a_sync_that_covers_him(
    kept: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered, entered, go_on, sync = list[int](), threading.Event(), threading.Event(), os.fdatasync

    def slow(descriptor: int) -> None:
        covered.append(os.fstat(descriptor).st_size)
        entered.set()
        assert go_on.wait(30)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    safe: dict[str, int] = {}

    def keep(call: str) -> None:
        kept.keep([saved(call)])
        safe[call] = len(covered)

    first = threading.Thread(target=keep, args=["call-00"])
    first.start()
    assert entered.wait(30)
    others = [threading.Thread(target=keep, args=[f"call-{n:02d}"]) for n in range(1, 20)]
    for each in others:
        each.start()
    while len(calls(kept.folder)) < 20:
        assert first.is_alive()
    go_on.set()
    for each in (first, *others):
        each.join()

    assert len(covered) == 2, "one for the first, and one for all who came meanwhile"
    assert covered[1] == sum(path.stat().st_size for path in kept.folder.iterdir())
    assert {call: n for call, n in safe.items() if call != "call-00"} == dict.fromkeys(
        [f"call-{n:02d}" for n in range(1, 20)], 2
    )


def failing(times: int, real: Callable[..., Any], number: int) -> Callable[..., Any]:
    left = [times]

    def fails(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*args)

    return fails


def test_after_a_sync_that_failed_what_follows_gets_a_new_file(
    kept: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.keep([saved("call-1")])
    monkeypatch.setattr(os, "fdatasync", failing(1, os.fdatasync, errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        kept.keep([saved("call-2")])
    kept.keep([saved("call-3")])

    assert len(list(kept.folder.iterdir())) == 2
    assert set(calls(kept.folder)) >= {"call-1", "call-3"}


def test_a_full_disk_keeps_none_of_what_it_refused_and_all_that_came_before_and_after(
    kept: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.keep([saved("call-1")])
    write = os.write

    def half(descriptor: int, data: Any) -> int:
        monkeypatch.setattr(os, "write", failing(1, write, errno.ENOSPC))
        return write(descriptor, bytes(data)[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    kept.forget("call-1")
    with pytest.raises(OSError, match="No space left"):
        kept.keep([saved("call-2")])
    kept.keep([saved("call-3")])

    assert calls(kept.folder) == ["call-3"]
    assert len(list(kept.folder.iterdir())) == 1


def test_no_folder_means_no_responses(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == load(tmp_path)
    assert load(tmp_path).saved == ()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "calls").write_text("in the way")

    with pytest.raises(OSError, match=r"exists|Not a directory"):
        Responses(tmp_path / "calls").keep([saved()])


def test_a_record_that_a_later_version_wrote_is_passed_over(kept: Responses) -> None:
    class Later(msgspec.Struct, tag="later"):
        what: str

    later: Any = Later("new")
    records: list[Record] = [saved("call-1"), later, saved("call-2")]
    kept.keep(records)

    assert calls(kept.folder) == ["call-1", "call-2"]
