"""Responses are kept whole until their persona is finished."""

from pathlib import Path

import pytest
from persona.generation.providers.base import Usage
from persona.generation.responses import Saved, forget, load, save


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


def test_what_was_saved_comes_back_in_the_order_of_the_calls(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "calls"
    for call in ("call-2", "call-1"):
        save(folder, saved(call, bytes(range(256))))

    assert list(load(folder)) == [saved(c, bytes(range(256))) for c in ("call-1", "call-2")]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    save(tmp_path / "calls", saved())

    (path,) = (tmp_path / "calls").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_forgotten_one_is_gone_and_forgetting_again_is_no_error(tmp_path: Path) -> None:
    save(tmp_path, saved())

    forget(tmp_path, "call-1")
    forget(tmp_path, "call-1")

    assert list(load(tmp_path)) == []


def test_a_damaged_one_is_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    for call in ("call-1", "call-2"):
        save(tmp_path, saved(call))
    (tmp_path / "call-1.response").write_bytes(b"\x81half")

    assert [each.call for each in load(tmp_path)] == ["call-2"]
    assert (tmp_path / "call-1.damaged").exists()


def test_what_was_half_written_is_removed(tmp_path: Path) -> None:
    unfinished = tmp_path / ".persona-0123.tmp"
    unfinished.write_bytes(b"half")

    assert list(load(tmp_path)) == []
    assert not unfinished.exists()


def test_no_folder_means_no_responses(tmp_path: Path) -> None:
    assert list(load(tmp_path / "none")) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "calls").write_text("in the way")

    with pytest.raises(OSError, match=r"exists|Not a directory"):
        save(tmp_path / "calls", saved())
