"""The sockets' own corners, where no daemon is on the other side."""

from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from personad.contract import nng
from personad.contract.nng import Closed, NngError, Publisher, Subscriber


@pytest.fixture
def path(house: Path) -> str:
    return str(house / "s.sock")


def test_a_second_listener_is_refused(path: str) -> None:
    with Publisher(path), pytest.raises(NngError, match="in use"):
        Publisher(path)


def test_closed_twice_it_is_closed(path: str) -> None:
    subscriber = Subscriber(path, (b"",))
    assert subscriber.receive() is None
    subscriber.close()
    subscriber.close()
    with pytest.raises(Closed):
        subscriber.receive()


def test_without_pynng_or_with_one_of_another_shape_it_says_what_is_missing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house / "pynng").mkdir()
    (house / "pynng" / "__init__.py").touch()
    monkeypatch.setattr(nng, "find_spec", lambda name: PathFinder.find_spec(name, [str(house)]))
    with pytest.raises(ImportError, match="no extension module named _nng"):
        nng._load()
    monkeypatch.setattr(nng, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pynng is not installed"):
        nng._load()
