"""Long files, written whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from persona.streams import whole_file


def test_the_file_appears_when_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out"

    with whole_file(target) as file:
        file.write(b"one")
        appeared_early = target.exists()

    assert not appeared_early
    assert target.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")

    with pytest.raises(TypeError), whole_file(target) as file:
        file.write("no bytes")  # type: ignore[arg-type]

    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there")

    with whole_file(tmp_path / "link") as file:
        file.write(b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    with whole_file(fifo) as file:
        file.write(b"through")

    assert os.read(reader, 100) == b"through"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    os.close(reader)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "nowhere" / "out"):
        pass


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file.csv"
    with pytest.raises(FileNotFoundError) as failed, whole_file(missing):
        pass
    assert failed.value.filename == str(missing)
    with pytest.raises(IsADirectoryError) as failed_too, whole_file(tmp_path):
        pass
    assert failed_too.value.filename == str(tmp_path)


def test_what_can_not_be_written_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no room") as failed, whole_file(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "no room")
    assert failed.value.filename == str(tmp_path / "out")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_old_file_and_nothing_else(tmp_path: Path, number: int) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    program = (
        "import sys, time; from pathlib import Path; from persona.streams import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as file: file.write(b'new'); print(flush=True); "
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writing:
        assert writing.stdout is not None
        writing.stdout.readline()
        writing.send_signal(number)

    assert writing.returncode != 0
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]
