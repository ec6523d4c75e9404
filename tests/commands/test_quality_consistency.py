"""`persona quality consistency` over batches that `persona generate` made."""

import json
import shutil
from pathlib import Path

import pytest

from personad.contract.batch import BatchList

from ..studio import Studio  # noqa: TID252


@pytest.fixture
def two(studio: Studio) -> tuple[str, str]:
    """Batches of one source, by the same model with other seeds."""
    for seed in ("1", "2"):
        said = studio.persona(
            "generate", "--from", str(studio.survey()), "-n", "2", "--seed", seed, "--output", seed
        )
        assert said.returncode == 0, said.stderr
    second, first = (each.batch for each in studio.ledger.ask(BatchList()).batches)
    return first, second


def test_two_runs_of_a_model_tell_how_reproducible_it_is(
    studio: Studio, two: tuple[str, str]
) -> None:
    named = [option for batch in two for option in ("--batch", batch)]
    found = json.loads(studio.persona("quality", "consistency", *named, "--json").stdout)
    assert found["kind"] == "reproducibility"
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"], pair["matched"]) == (*two, 2)
    parts = [pair["structural"], pair["semantic"], pair["quality"]]
    assert pair["overall"] == found["overall"] == pytest.approx(sum(parts) / 3)
    assert set(found["style"]) == set(two)
    shown = studio.persona("quality", "consistency", *named).stdout
    assert "reproducibility" in shown
    assert "shared themes" in shown

    # What is gone from the folder is left out, and said; what is all gone can't be compared.
    documents = sorted(Path("2/personas").glob("*.json"))
    documents[0].unlink()
    said = studio.persona("quality", "consistency", *named, "--json")
    assert json.loads(said.stdout)["pairs"][0]["matched"] == 1
    assert "1 persona of" in said.stderr
    shutil.rmtree("2")
    said = studio.persona("quality", "consistency", *named)
    assert said.returncode == 65
    assert "stands in" in said.stderr


def test_what_can_not_be_compared_is_refused(studio: Studio, two: tuple[str, str]) -> None:
    first, second = two
    said = studio.persona("quality", "consistency", "--batch", first)
    assert (said.returncode, "at least two batches" in said.stderr) == (64, True)
    said = studio.persona("quality", "consistency", "--batch", first, "--batch", first)
    assert (said.returncode, "named twice" in said.stderr) == (64, True)
    other = Path("other.csv")
    other.write_text("participant,answer\n" + "".join(f"P{n},I like trams {n}\n" for n in range(9)))
    made = studio.persona("generate", "--from", str(other), "-n", "2", "--output", "3")
    assert made.returncode == 0, made.stderr
    said = studio.persona("quality", "consistency", "--batch", second, "--batch", "last")
    assert (said.returncode, "different sources" in said.stderr) == (64, True)
