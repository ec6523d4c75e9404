import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persona.files import sync_folder, write_whole


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to write further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_new_file_holds_what_was_given_and_nothing_lies_beside_it(house: Path) -> None:
    path = house / "work" / "a.json"
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_file_can_be_written(house: Path) -> None:
    write_whole(house / "empty", b"")
    assert (house / "empty").read_bytes() == b""


def test_a_file_that_is_there_is_replaced(house: Path) -> None:
    path = house / "work" / "a.json"
    path.write_bytes(b"a longer text than the new one")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_reader_who_has_the_old_file_open_keeps_it(house: Path) -> None:
    path = house / "a"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"old"


def test_a_failure_leaves_the_old_file_and_nothing_else(house: Path) -> None:
    path = house / "work" / "a"
    path.write_bytes(b"old")
    with files_no_larger_than(1000), pytest.raises(OSError, match="File too large") as raised:
        write_whole(path, b"x" * 5000)
    assert raised.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(house: Path) -> None:
    (house / "work" / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(house / "work" / "taken", b"x")
    assert [entry.name for entry in (house / "work").iterdir()] == ["taken"]


def test_the_folder_one_is_in_is_no_file(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house)
    with pytest.raises(IsADirectoryError):
        write_whole(Path("."), b"new")


def test_a_missing_folder_is_an_error(house: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(house / "nowhere" / "a", b"x")


def test_an_error_names_the_file_that_was_asked_for(house: Path) -> None:
    (house / "taken").mkdir()
    for path in (house / "none" / "x.json", house / "taken"):
        with pytest.raises((FileNotFoundError, IsADirectoryError)) as raised:
            write_whole(path, b"x")
        assert (raised.value.filename, raised.value.filename2) == (str(path), None)
        assert str(raised.value).endswith(f": {str(path)!r}")


def test_the_mode_is_subject_to_the_umask(house: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(house / "a", b"x")
        write_whole(house / "b", b"x", mode=0o600)
    finally:
        os.umask(before)
    assert [(house / name).stat().st_mode & 0o777 for name in "ab"] == [0o640, 0o600]


def test_a_link_stays_and_what_it_points_to_is_replaced(house: Path) -> None:
    (house / "real").write_bytes(b"old")
    (house / "link").symlink_to(house / "real")
    write_whole(house / "link", b"new")
    assert (house / "link").is_symlink()
    assert (house / "real").read_bytes() == b"new"


def test_a_pipe_is_written_into_and_stays_a_pipe(house: Path) -> None:
    pipe = house / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(timeout=10)
    assert got == [b"through"]
    assert pipe.is_fifo()


def test_a_full_device_says_that_there_is_no_room() -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(Path("/dev/full"), b"x")
    assert raised.value.errno == errno.ENOSPC


def test_a_name_of_the_greatest_length_can_be_written(house: Path) -> None:
    path = house / ("n" * 255)
    write_whole(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_folder_that_cannot_be_synced_does_not_matter_but_a_missing_one_does(house: Path) -> None:
    sync_folder(Path("/proc"))
    with pytest.raises(FileNotFoundError):
        sync_folder(house / "nowhere")
