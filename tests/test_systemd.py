"""The units say what the daemon needs, and systemd itself agrees with them."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[1] / "systemd"
USER, SYSTEM = "personad.service", "personad@.service"
EXPOSURE_LIMIT = 1.5


def directives(unit: str) -> dict[str, list[str]]:
    """Every `Section.Key` of a unit with its values, in order: a key may stand more than once."""
    section = ""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / unit).read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("["):
            section = text.strip("[]")
            continue
        key, equals, value = text.partition("=")
        assert equals, f"{unit}: not a directive: {text}"
        found[f"{section}.{key}"].append(value)
    return found


def installed(unit: str, folder: Path) -> Path:
    """A copy that starts the program of this environment: systemd looks whether it exists."""
    program = Path(sys.executable).with_name("personad")
    assert program.exists(), f"{program} is missing: install the package with pip first"
    text = (UNITS / unit).read_text(encoding="utf-8")
    copy = folder / unit
    copy.write_text(
        re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", text),
        encoding="utf-8",
    )
    return copy


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def systemd() -> None:
    """`systemd-analyze`, without which a test is skipped by hand and fails in CI."""
    if shutil.which("systemd-analyze"):
        return
    reason = "systemd-analyze is not installed, so the units are NOT checked by systemd itself: "
    reason += "apt-get install systemd"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("unit", [USER, SYSTEM])
def test_a_unit_runs_the_daemon_in_the_foreground_and_watches_over_it(unit: str) -> None:
    said = directives(unit)
    assert said["Service.Type"] == ["notify"]
    assert said["Service.WatchdogSec"] == ["30"]
    assert said["Service.Restart"] == ["on-failure"]
    assert [start.split()[1:] for start in said["Service.ExecStart"]] == [["start", "--foreground"]]
    assert said["Service.ExecStart"][0].split()[0].endswith("/personad")


@pytest.mark.parametrize("unit", [USER, SYSTEM])
def test_what_the_daemon_makes_is_its_owners_alone(unit: str) -> None:
    said = directives(unit)
    assert said["Service.UMask"] == ["0077"]
    assert said["Service.RuntimeDirectoryMode"] == ["0700"]


@pytest.mark.parametrize("unit", [USER, SYSTEM])
def test_a_mistake_of_usage_or_configuration_is_not_tried_again(unit: str) -> None:
    assert directives(unit)["Service.RestartPreventExitStatus"] == ["64 78"]


def test_the_system_unit_gives_each_person_folders_of_their_own_and_tells_the_daemon() -> None:
    said = directives(SYSTEM)
    assert said["Service.User"] == ["%i"]
    assert said["Service.StateDirectory"] == ["personad/%i"]
    assert said["Service.StateDirectoryMode"] == ["0700"]
    assert said["Service.RuntimeDirectory"] == ["personad/%i"]
    assert said["Service.Environment"] == [
        "PERSONAD_DATA_DIR=%S/personad/%i",
        "PERSONAD_RUNTIME_DIR=%t/personad/%i",
    ]


def test_the_user_unit_leaves_the_folders_to_the_rules_that_the_client_follows_too() -> None:
    said = directives(USER)
    assert "Service.Environment" not in said
    assert said["Service.RuntimeDirectoryPreserve"] == ["yes"]


@pytest.mark.parametrize(("unit", "target"), [(USER, "default"), (SYSTEM, "multi-user")])
def test_a_unit_can_be_enabled(unit: str, target: str) -> None:
    assert directives(unit)["Install.WantedBy"] == [f"{target}.target"]


@pytest.mark.usefixtures("systemd")
@pytest.mark.parametrize(("unit", "scope"), [(USER, "--user"), (SYSTEM, "--system")])
def test_systemd_has_nothing_to_say_against_a_unit(unit: str, scope: str, house: Path) -> None:
    done = analyse(scope, "--man=no", "verify", str(installed(unit, house)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("systemd")
def test_systemd_would_name_an_unknown_key(house: Path) -> None:
    unit = installed(SYSTEM, house)
    unit.write_text(unit.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs="))
    done = analyse("--system", "--man=no", "verify", str(unit))
    assert "WatchdogSecs" in done.stdout + done.stderr


@pytest.mark.usefixtures("systemd")
def test_the_system_unit_is_hardly_exposed(house: Path) -> None:
    done = analyse("security", "--offline=true", "--no-pager", str(installed(SYSTEM, house)))
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE_LIMIT
