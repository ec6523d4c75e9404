"""The plan that a batch's runner takes over from the command that made it."""

from pathlib import Path

import pytest
from persona.generation.kept_plan import NAME, fingerprint, forget, keep, kept
from persona.generation.plan import Plan, Wanted, make_plan

ANSWERS = "id,why\n1,The night bus never comes and I walk home in the rain\n2,The ramp is broken\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "survey.csv").write_text(ANSWERS)
    return folder


@pytest.fixture
def plan(source: Path) -> Plan:
    return make_plan(Wanted(path=source, count=2))


def test_a_kept_plan_is_the_plan(tmp_path: Path, source: Path, plan: Plan) -> None:
    keep(tmp_path / "runs" / "batch", plan)

    assert kept(tmp_path / "runs" / "batch", source) == plan


def test_only_its_owner_reads_it(tmp_path: Path, plan: Plan) -> None:
    keep(tmp_path / "runs" / "batch", plan)

    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "runs" / "batch" / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "survey.csv").write_text(ANSWERS.replace("rain", "snow")),
        lambda folder: (folder / "more.txt").write_text("Anna: I would rather cycle to work.\n"),
        lambda folder: (folder / "survey.csv").rename(folder / "poll.csv"),
        lambda folder: (folder / "survey.csv").unlink(),
    ],
    ids=["other bytes", "one file more", "another name", "one file fewer"],
)
def test_a_changed_source_has_no_kept_plan(tmp_path: Path, plan: Plan, change, source: Path):  # type: ignore[no-untyped-def]
    keep(tmp_path / "batch", plan)

    change(source)

    assert kept(tmp_path / "batch", source) is None


def test_what_no_reader_looks_into_changes_nothing(source: Path) -> None:
    before = fingerprint(source)

    (source / "photo.png").write_bytes(b"\x89PNG")
    (source / ".hidden.csv").write_text(ANSWERS)

    assert fingerprint(source) == before


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x93"])
def test_a_damaged_one_is_none(tmp_path: Path, source: Path, plan: Plan, damage: bytes) -> None:
    keep(tmp_path / "batch", plan)

    (tmp_path / "batch" / NAME).write_bytes(damage)

    assert kept(tmp_path / "batch", source) is None


def test_a_forgotten_one_is_gone(tmp_path: Path, source: Path, plan: Plan) -> None:
    keep(tmp_path / "batch", plan)

    forget(tmp_path / "batch")
    forget(tmp_path / "batch")

    assert kept(tmp_path / "batch", source) is None


def test_a_file_that_cannot_be_opened_has_a_fingerprint(source: Path) -> None:
    (source / "folder.csv").mkdir()
    (source / "gone.csv").symlink_to(source / "nowhere.csv")

    assert fingerprint(source).startswith("sha256:")
