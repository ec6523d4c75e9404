import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from persona.generation.model import Evidence, Persona, Provenance, SegmentOfPersona
from persona.generation.output import (
    BatchCosts,
    BatchFile,
    BatchSettings,
    OutputError,
    papers_of,
    persona_json,
    persona_markdown,
    prepare_folder,
    usd,
    write_batch,
    write_index,
    write_papers,
    written_personas,
)


def write_persona(folder: Path, index: int, persona: Persona, *, total: int) -> tuple[Path, bytes]:
    papers = papers_of(folder, index, persona, total=total)
    write_papers(papers)
    return papers.document, papers.data


ANNA = Persona(
    id="persona-d4e5f6",
    name="Zoë Größe",
    age=None,
    occupation="nurse",
    location=None,
    summary="Works nights.",
    goals=["Rest"],
    pain_points=[],
    behaviours=[],
    motivations=[],
    quotes=["I never sleep."],
    segment=SegmentOfPersona(share=0.25, size=4, terms=["night"]),
    evidence=[Evidence("quotes[0]", "p03.md", "line 12", "I never sleep.")],
    quality={"faithfulness": 1.0, "completeness": 0.5, "composite": 0.8},
    provenance=Provenance(
        provider="local",
        model="extractive-1",
        batch="batch-1",
        seed=7,
        prompt_digest="sha256:0",
        source_digest="sha256:1",
        created_at=datetime(2026, 11, 23, 9, 45, tzinfo=UTC),
    ),
)
BATCH = BatchFile(
    batch="batch-1",
    status="completed",
    started_at=datetime(2026, 11, 23, 9, 45, tzinfo=UTC),
    finished_at=None,
    completed=3,
    failed=0,
    settings=BatchSettings(
        provider="local",
        model="extractive-1",
        total=3,
        concurrency=4,
        language="en",
        redact=True,
        source="/data/interviews",
    ),
    versions={"persona": "1.12.0"},
    digests={"source": "sha256:1"},
    costs=BatchCosts(cost_usd=usd(1_230_000), calls=3, input_tokens=10, output_tokens=20),
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_the_document_has_the_fields_of_the_contract_in_their_order() -> None:
    document = json.loads(persona_json(ANNA))
    assert list(document) == [
        "id",
        "name",
        "age",
        "occupation",
        "location",
        "summary",
        "goals",
        "pain_points",
        "behaviours",
        "motivations",
        "quotes",
        "segment",
        "evidence",
        "quality",
        "provenance",
    ]
    assert list(document["segment"]) == ["share", "size", "terms"]
    assert list(document["evidence"][0]) == ["field", "source", "locator", "quote"]


def test_the_document_is_for_people_too() -> None:
    text = persona_json(ANNA).decode()
    assert text.startswith('{\n  "id": "persona-d4e5f6",\n  "name": "Zoë Größe",\n')
    assert text.endswith("}\n")


def test_the_order_of_measuring_changes_no_byte() -> None:
    turned = replace(ANNA, quality=dict(reversed(ANNA.quality.items())))
    assert persona_json(turned) == persona_json(ANNA)
    assert persona_markdown(turned) == persona_markdown(ANNA)


def test_a_document_reads_back_as_the_persona() -> None:
    assert msgspec.json.decode(persona_json(ANNA), type=Persona) == ANNA


@pytest.mark.parametrize(
    ("index", "total", "name"),
    [(1, 5, "01-zoe-grosse"), (42, 99, "42-zoe-grosse"), (7, 1000, "0007-zoe-grosse")],
)
def test_a_persona_is_a_document_and_a_page_numbered_to_the_width_of_the_batch(
    index: int, total: int, name: str, house: Path
) -> None:
    path = write_persona(house / "out", index, ANNA, total=total)[0]
    assert path == house / "out" / "personas" / f"{name}.json"
    assert path.read_bytes() == persona_json(ANNA)
    assert path.with_suffix(".md").read_text() == persona_markdown(ANNA)


def test_the_same_persona_gives_the_same_bytes(house: Path) -> None:
    first, data = write_persona(house / "a", 1, ANNA, total=1)
    assert first.read_bytes() == data
    assert write_persona(house / "b", 1, ANNA, total=1)[0].read_bytes() == data


def test_a_hostile_name_stays_in_the_folder(house: Path) -> None:
    hostile = replace(ANNA, name="../../../tmp/\x1b[31m/evil\x00")
    path = write_persona(house / "out", 1, hostile, total=1)[0]
    assert path == house / "out" / "personas" / "01-tmp-evil.json"


def test_a_later_attempt_takes_the_place_of_an_earlier_one(house: Path) -> None:
    write_persona(house, 1, ANNA, total=20)
    write_persona(house, 11, ANNA, total=20)
    write_persona(house, 1, replace(ANNA, name="Ben"), total=20)
    assert names(house / "personas") == [
        "01-ben.json",
        "01-ben.md",
        "11-zoe-grosse.json",
        "11-zoe-grosse.md",
    ]


def test_what_was_written_is_found_again_by_index(house: Path) -> None:
    ben = replace(ANNA, name="Ben")
    write_persona(house, 2, ben, total=3)
    write_persona(house, 1, ANNA, total=3)
    assert written_personas(house, total=3) == [(1, ANNA), (2, ben)]


def test_an_empty_folder_has_no_personas(house: Path) -> None:
    assert written_personas(house, total=3) == []


def test_of_two_attempts_that_a_crash_left_the_later_counts(house: Path) -> None:
    (house / "personas").mkdir()
    for seconds, name in ((200, "Anna"), (100, "Zoe")):
        path = house / "personas" / f"01-{name.lower()}.json"
        path.write_bytes(persona_json(replace(ANNA, name=name)))
        os.utime(path, (seconds, seconds))
    assert [persona.name for _, persona in written_personas(house, total=1)] == ["Anna"]


@pytest.mark.parametrize("damage", [b"{", b'{"id": 3}', b'{"id": "\xff"}'])
def test_a_damaged_document_is_named(damage: bytes, house: Path) -> None:
    path = write_persona(house, 1, ANNA, total=1)[0]
    path.write_bytes(damage)
    with pytest.raises(OutputError, match=r"personas/01-zoe-grosse\.json is no persona") as raised:
        written_personas(house, total=1)
    assert "move it out" in raised.value.hint


def test_the_index_lists_the_personas_in_their_order_and_links_what_is_there(house: Path) -> None:
    ben = replace(ANNA, name="Ben")
    for index, persona in ((2, ben), (1, ANNA)):
        write_persona(house, index, persona, total=3)
    path = write_index(house, [(2, ben), (1, ANNA)], batch="batch-1", total=3)
    text = path.read_text()
    assert path == house / "index.md"
    assert "2 of 3 personas" in text
    assert text.index("personas/01-zoe-grosse.md") < text.index("personas/02-ben.md")
    assert all((house / "personas" / f"{n}.json").exists() for n in ("01-zoe-grosse", "02-ben"))


def test_the_batch_file_says_how_it_came_about(house: Path) -> None:
    path = write_batch(house, BATCH)
    assert path == house / "batch.json"
    assert msgspec.json.decode(path.read_bytes(), type=BatchFile) == BATCH
    assert b'"cost_usd": 0.00123,' in path.read_bytes()


@pytest.mark.parametrize(
    ("cost_nanousd", "expected"),
    [
        (0, "0"),
        (2_000, "0.000002"),
        (-2_000, "-0.000002"),
        (1_500_000_000, "1.5"),
        (20_000_000_000, "20"),
        (2**62, "4611686018.427387904"),
    ],
)
def test_dollars_are_exact(cost_nanousd: int, expected: str) -> None:
    assert str(usd(cost_nanousd)) == expected


@given(st.integers(-(2**63), 2**63))
def test_dollars_lose_nothing(cost_nanousd: int) -> None:
    assert usd(cost_nanousd) * Decimal(10**9) == cost_nanousd


def test_a_folder_is_made_and_taken_for_its_batch(house: Path) -> None:
    prepare_folder(house / "deep" / "out", "batch-1")
    assert (house / "deep" / "out" / ".batch").read_text() == "batch-1\n"
    assert (house / "deep" / "out" / "personas").is_dir()


def test_the_same_batch_enters_again_and_finds_its_files(house: Path) -> None:
    prepare_folder(house / "out", "batch-1")
    write_persona(house / "out", 1, ANNA, total=1)
    prepare_folder(house / "out", "batch-1")
    assert written_personas(house / "out", total=1) == [(1, ANNA)]


def test_what_a_killed_run_left_unfinished_is_cleared_away(house: Path) -> None:
    prepare_folder(house / "out", "batch-1")
    leftovers = [house / "out" / ".persona-1.tmp", house / "out" / "personas" / ".persona-2.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    prepare_folder(house / "out", "batch-1")
    assert not any(leftover.exists() for leftover in leftovers)


def test_another_batchs_folder_is_refused_with_the_way_out(house: Path) -> None:
    prepare_folder(house / "out", "batch-1")
    with pytest.raises(OutputError, match="belongs to another batch, batch-1") as raised:
        prepare_folder(house / "out", "batch-2")
    assert "--resume batch-1" in raised.value.hint
    assert raised.value.message == str(raised.value)


def test_of_many_batches_that_want_one_folder_one_gets_it(house: Path) -> None:
    def attempt(batch: str) -> str | None:
        try:
            prepare_folder(house / "out", batch)
        except OutputError:
            return None
        return batch

    with ThreadPoolExecutor(16) as pool:
        got = [batch for batch in pool.map(attempt, [f"batch-{n}" for n in range(16)]) if batch]
    assert len(got) == 1
    assert (house / "out" / ".batch").read_text() == f"{got[0]}\n"


def test_a_folder_with_somebodys_files_is_refused_and_left_as_it_was(house: Path) -> None:
    (house / "out").mkdir()
    for name in ("a.txt", "b.txt", "c\x1b[31m.txt", "d.txt"):
        (house / "out" / name).touch()
    with pytest.raises(OutputError, match=r"is not empty: a\.txt, b\.txt, c\.txt, …") as raised:
        prepare_folder(house / "out", "batch-1")
    assert "--output" in raised.value.hint
    assert len(list((house / "out").iterdir())) == 4


def test_hidden_files_do_not_matter(house: Path) -> None:
    (house / "out").mkdir()
    (house / "out" / ".gitkeep").touch()
    prepare_folder(house / "out", "batch-1")
    assert (house / "out" / ".gitkeep").exists()


def test_a_marker_that_a_crash_left_empty_belongs_to_nobody(house: Path) -> None:
    (house / "out").mkdir()
    (house / "out" / ".batch").touch()
    prepare_folder(house / "out", "batch-1")
    assert (house / "out" / ".batch").read_text() == "batch-1\n"


def test_an_empty_marker_does_not_give_away_somebodys_files(house: Path) -> None:
    (house / "out").mkdir()
    (house / "out" / ".batch").touch()
    (house / "out" / "thesis.md").touch()
    with pytest.raises(OutputError, match="is not empty"):
        prepare_folder(house / "out", "batch-1")


def test_a_marker_that_is_a_link_is_not_followed(house: Path) -> None:
    (house / "out").mkdir()
    (house / "precious").touch()
    (house / "out" / ".batch").symlink_to(house / "precious")
    with pytest.raises(OutputError, match="can't be written to"):
        prepare_folder(house / "out", "batch-1")
    assert (house / "precious").read_bytes() == b""


def test_a_file_in_the_place_of_the_folder_is_named(house: Path) -> None:
    (house / "out").touch()
    with pytest.raises(OutputError, match="out is a file"):
        prepare_folder(house / "out", "batch-1")
    with pytest.raises(OutputError, match="can't be written to: Not a directory"):
        prepare_folder(house / "out" / "deeper", "batch-1")


def test_a_place_where_nothing_can_be_written_is_named() -> None:
    with pytest.raises(OutputError, match="/proc/out can't be written to") as raised:
        prepare_folder(Path("/proc/out"), "batch-1")
    assert "writable" in raised.value.hint
