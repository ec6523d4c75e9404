import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personad.notify import notify, watchdog_interval_s


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        listening.bind(address)
        yield listening


def test_a_state_reaches_the_manager_in_one_datagram(house: Path) -> None:
    address = str(house / "notify")
    with manager(address) as listening:
        sent = notify("READY=1\nSTATUS=läuft", environ={"NOTIFY_SOCKET": address})
        assert sent is True
        assert listening.recv(4096) == "READY=1\nSTATUS=läuft".encode()


def test_an_abstract_address_is_written_with_an_at_sign(house: Path) -> None:
    with manager(f"\0{house.name}") as listening:
        assert notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": f"@{house.name}"})
        assert listening.recv(4096) == b"WATCHDOG=1"


def test_the_environment_of_the_process_is_the_default(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(house / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with manager(address) as listening:
        assert notify("STOPPING=1")
        assert listening.recv(4096) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_manager_nothing_is_sent(environ: dict[str, str]) -> None:
    assert notify("READY=1", environ=environ) is False


def test_a_manager_that_is_gone_is_an_error(house: Path) -> None:
    with pytest.raises(FileNotFoundError):
        notify("READY=1", environ={"NOTIFY_SOCKET": str(house / "nobody")})


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative/path"])
def test_an_address_of_an_unknown_kind_is_an_error_that_names_it(address: str) -> None:
    with pytest.raises(OSError, match="neither a path nor an abstract address") as raised:
        notify("READY=1", environ={"NOTIFY_SOCKET": address})
    assert raised.value.errno == errno.EAFNOSUPPORT
    assert raised.value.filename == address


def test_the_watchdog_is_fed_twice_in_the_time_the_manager_waits() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000"}) == 15.0


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}])
def test_without_a_watchdog_there_is_no_interval(environ: dict[str, str]) -> None:
    assert watchdog_interval_s(environ) is None


def test_a_watchdog_meant_for_this_process_counts() -> None:
    environ = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_interval_s(environ) == 0.5


def test_a_watchdog_meant_for_another_process_does_not_count() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"}, pid=8) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "²"},
        {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "me"},
    ],
)
def test_what_is_no_number_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"WATCHDOG_(USEC|PID) must be a whole number"):
        watchdog_interval_s(environ)
