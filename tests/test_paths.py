"""Where a ledger's files and sockets are."""

import fcntl
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.contract.options import Daemon, Settings
from personad.contract.paths import (
    MAX_SOCKET_PATH_BYTES,
    Paths,
    check_socket_path,
    in_use,
    private_directory,
    resolve_paths,
)
from personad.contract.settings import ConfigurationError


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose home is `/h`."""
    known = list(pwd.getpwuid(os.getuid()))
    known[5] = "/h"
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(known))


def resolve(
    *,
    ledger: str | None = None,
    data_dir: str | None = None,
    runtime_dir: str | None = None,
    **environ: str,
) -> Paths:
    settings = Settings(daemon=Daemon(data_dir=data_dir, runtime_dir=runtime_dir))
    surroundings: Mapping[str, str] = {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7", **environ}
    return resolve_paths(settings, ledger=ledger, environ=surroundings)


def test_a_ledger_lives_in_the_home_folder_and_its_sockets_in_the_runtime_folder() -> None:
    paths = resolve()

    assert paths.database == Path("/h/.local/share/personad/ledger.db")
    assert paths.api_socket == Path("/run/user/7/personad/api.sock")
    assert paths.live_socket == Path("/run/user/7/personad/live.sock")


def test_both_locks_stand_beside_the_database() -> None:
    paths = resolve()

    assert paths.life_lock.parent == paths.start_lock.parent == paths.database.parent
    assert paths.life_lock != paths.start_lock


def test_every_file_but_the_sockets_is_inside_the_data_folder() -> None:
    paths = resolve()

    outside = {
        name
        for name in paths.__struct_fields__
        if not getattr(paths, name).is_relative_to(paths.data_dir)
    }

    assert outside == {"runtime_dir", "api_socket", "live_socket"}


@pytest.mark.parametrize("environ", [{"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "relative"}])
def test_without_a_runtime_folder_sockets_live_in_a_folder_named_after_the_user(
    environ: dict[str, str],
) -> None:
    assert resolve(**environ).runtime_dir == Path(f"/tmp/personad-{os.getuid()}")


def test_another_home_has_another_ledger_and_other_sockets() -> None:
    other = resolve(HOME="/other")

    assert other.database == Path("/other/.local/share/personad/ledger.db")
    assert other.runtime_dir != resolve().runtime_dir
    assert resolve(HOME="/other", ledger="/h/.local/share/personad") == resolve()


def test_a_user_whom_nobody_knows_is_at_home_where_home_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert resolve(HOME="/other").runtime_dir == resolve().runtime_dir


def test_a_relative_xdg_data_home_is_ignored() -> None:
    assert resolve(XDG_DATA_HOME="data") == resolve()


def test_xdg_data_home_moves_the_ledger_and_its_sockets() -> None:
    paths = resolve(XDG_DATA_HOME="/x")

    assert paths.data_dir == Path("/x/personad")
    assert paths.runtime_dir != resolve().runtime_dir


def test_the_ledger_option_wins_over_the_variable_and_the_settings() -> None:
    paths = resolve(ledger="/a", data_dir="/c", PERSONA_LEDGER="/b")

    assert paths.data_dir == Path("/a")


def test_the_ledger_variable_wins_over_the_settings() -> None:
    assert resolve(data_dir="/c", PERSONA_LEDGER="/b").data_dir == Path("/b")


def test_a_relative_ledger_is_looked_for_in_the_working_folder(house: Path) -> None:
    assert resolve(ledger="mine").data_dir == Path(os.path.realpath(house / "work" / "mine"))


def test_a_tilde_is_the_home_folder() -> None:
    assert resolve(data_dir="~/ledger").data_dir == Path("/h/ledger")
    assert resolve(ledger="~").data_dir == Path("/h")


def test_naming_the_usual_ledger_explicitly_leads_to_the_same_sockets() -> None:
    assert resolve(ledger="/h/.local/share/personad") == resolve()
    assert resolve(data_dir="/h/.local/share/personad") == resolve()


def test_option_and_settings_that_name_one_folder_lead_to_the_same_sockets() -> None:
    assert resolve(ledger="/data") == resolve(data_dir="/data")


def test_a_link_to_a_ledger_leads_to_the_same_sockets(house: Path) -> None:
    (house / "real").mkdir()
    (house / "link").symlink_to(house / "real")

    assert resolve(ledger=str(house / "link")) == resolve(ledger=str(house / "real"))


def test_another_ledger_has_a_short_runtime_folder_of_its_own_also_without_xdg() -> None:
    paths = resolve(ledger=f"/{'very-long/' * 20}", XDG_RUNTIME_DIR="")

    assert paths.runtime_dir.parent == Path("/tmp")
    check_socket_path(paths.api_socket)


def test_a_configured_runtime_folder_is_used_as_it_is() -> None:
    assert resolve(data_dir="/data", runtime_dir="/r").runtime_dir == Path("/r")


def test_another_ledger_never_uses_the_configured_ledgers_runtime_folder() -> None:
    runtime_dir = resolve(ledger="/other", data_dir="/data", runtime_dir="/r").runtime_dir

    assert runtime_dir.parent == Path("/r")


folders = st.text("abc/", min_size=1, max_size=12).map(lambda text: f"/none/{text}")


@given(first=folders, second=folders, runtime_dir=st.sampled_from([None, "/r"]))
def test_two_ledgers_share_sockets_only_when_they_are_one(
    first: str, second: str, runtime_dir: str | None
) -> None:
    one, other = (resolve(ledger=ledger, runtime_dir=runtime_dir) for ledger in (first, second))

    assert (one.runtime_dir == other.runtime_dir) == (one.data_dir == other.data_dir)


def test_without_home_the_user_database_says_where_home_is() -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir

    assert resolve(HOME="") == resolve(HOME=home)


def test_a_user_without_any_home_is_told_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ConfigurationError) as caught:
        resolve(HOME="")

    assert caught.value.hint == "set HOME"


def test_a_socket_path_may_be_as_long_as_the_limit() -> None:
    check_socket_path(Path("/" + "a" * (MAX_SOCKET_PATH_BYTES - 1)))


def test_a_longer_socket_path_is_refused_with_what_to_set() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_socket_path(Path("/" + "ä" * (MAX_SOCKET_PATH_BYTES // 2)))

    assert "101 bytes" in caught.value.message
    assert "PERSONAD_RUNTIME_DIR" in str(caught.value.hint)


def test_a_private_folder_is_made_with_its_parents(house: Path) -> None:
    private_directory(house / "new" / "personad")

    assert mode(house / "new" / "personad") == 0o700


def test_a_private_folder_is_private_under_any_umask(house: Path) -> None:
    before = os.umask(0)
    try:
        private_directory(house / "personad")
    finally:
        os.umask(before)

    assert mode(house / "personad") == 0o700


def test_a_private_folder_that_exists_is_left_as_it_is(house: Path) -> None:
    private_directory(house / "personad")
    (house / "personad" / "file").touch()

    private_directory(house / "personad")

    assert (house / "personad" / "file").exists()


def test_a_folder_that_others_can_enter_is_refused_with_the_command_that_mends_it(
    house: Path,
) -> None:
    (house / "open").mkdir()
    (house / "open").chmod(0o750)

    with pytest.raises(ConfigurationError, match="0750") as caught:
        private_directory(house / "open")

    assert "chmod 700" in str(caught.value.hint)


def test_a_link_is_refused_though_it_leads_to_a_private_folder(house: Path) -> None:
    private_directory(house / "real")
    (house / "link").symlink_to(house / "real")

    with pytest.raises(ConfigurationError, match="is a link"):
        private_directory(house / "link")


def test_a_file_in_the_place_of_a_folder_is_refused(house: Path) -> None:
    (house / "file").touch()

    with pytest.raises(ConfigurationError, match="no folder"):
        private_directory(house / "file")


def test_somebody_elses_folder_is_refused(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_directory(house / "personad")
    monkeypatch.setattr(os, "getuid", lambda: 4_242)

    with pytest.raises(ConfigurationError, match="you are user 4242"):
        private_directory(house / "personad")


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(house: Path) -> None:
    (house / "file").touch()

    with pytest.raises(ConfigurationError, match=r"file/below can't be made: .+"):
        private_directory(house / "file" / "below")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_living_daemon_is_found_where_it_listens_whatever_this_environment_says(
    tmp_path: Path,
) -> None:
    paths = resolve(ledger=str(tmp_path), HOME="/home/anna")
    elsewhere = tmp_path / "elsewhere"
    with paths.life_lock.open("w+b") as held:
        held.write(bytes(elsewhere))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)

        found = in_use(paths)

    assert found.api_socket == elsewhere / "api.sock"
    assert found.live_socket == elsewhere / "live.sock"
    assert found.database == paths.database


@pytest.mark.parametrize("says", [b"", b"not absolute", b"/elsewhere"])
def test_what_a_dead_daemon_wrote_counts_for_nothing(tmp_path: Path, says: bytes) -> None:
    paths = resolve(ledger=str(tmp_path), HOME="/home/anna")
    paths.life_lock.write_bytes(says)

    assert in_use(paths) == paths


def test_a_ledger_without_a_daemon_is_where_the_settings_say(tmp_path: Path) -> None:
    paths = resolve(ledger=str(tmp_path / "new"), HOME="/home/anna")

    assert in_use(paths) == paths
