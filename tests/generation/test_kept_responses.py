"""What the ledger calls made is there after a loss of power, and costs nothing again."""

import hashlib
import os
from pathlib import Path

import anyio
import msgspec
from persona.generation import kept_responses
from persona.generation.books import Books
from persona.generation.responses import Saved, load

from personad.contract.batch import BatchStarted, Pause

from ..studio import WITHIN_S, Studio  # noqa: TID252


def digests(studio: Studio, batch: str) -> dict[Path, str]:
    """What each document has to be, by the ledger."""
    made = studio.events(batch, "persona.completed")
    return {Path(each.path): each.digest for each in made}


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def died(studio: Studio, made: int) -> BatchStarted:
    """A batch of four whose runner ended after so many were recorded."""
    started = studio.record(count=4, concurrency=1)
    assert studio.staged(started.batch, "completed", made).wait(WITHIN_S) == 9
    studio.resumed(started.batch)
    return started


def test_documents_that_the_power_went_from_under_are_written_again(studio: Studio) -> None:
    started = died(studio, 3)
    wanted = digests(studio, started.batch)
    empty, gone, zeros = wanted
    empty.write_bytes(b"")
    gone.unlink()
    gone.with_suffix(".md").unlink()
    zeros.write_bytes(bytes(zeros.stat().st_size))

    assert studio.staged(started.batch).wait(WITHIN_S) == 0

    assert studio.state(started.batch).status == "completed"
    assert {path: digest(path) for path in wanted} == wanted
    assert gone.with_suffix(".md").stat().st_size > 0
    assert len(studio.calls()) == 4
    assert len(studio.personas(started)) == 4
    assert not list((studio.paths.runs_dir / started.batch / "calls").iterdir())


def test_a_document_that_somebody_has_edited_stays_as_it_is(studio: Studio) -> None:
    started = died(studio, 2)
    edited = next(iter(digests(studio, started.batch)))
    edited.write_bytes(edited.read_bytes().replace(b'"name": "', b'"name": "Dr '))
    before = edited.read_bytes()

    assert studio.staged(started.batch).wait(WITHIN_S) == 0

    assert edited.read_bytes() == before


def test_a_pause_leaves_nothing_kept_once_all_is_on_the_disk(studio: Studio) -> None:
    started = studio.record(count=6, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="300")
    studio.until(started.batch, lambda state: state.counts.generating == 2)
    studio.ledger.ask(Pause(batch=started.batch))
    runner.wait(WITHIN_S)

    assert studio.state(started.batch).counts.completed == 2
    assert not list((studio.paths.runs_dir / started.batch / "calls").iterdir())


def test_an_earlier_versions_response_is_gone_on_with_and_not_asked_for_again(
    studio: Studio,
) -> None:
    started = studio.record(count=2, concurrency=1)
    assert studio.staged(started.batch, "saved", 1).wait(WITHIN_S) == 9
    folder = studio.paths.runs_dir / started.batch / "calls"
    (kept,) = load(folder).saved
    for path in folder.iterdir():
        path.unlink()
    alone = {name: getattr(kept, name) for name in Saved.__struct_fields__}
    (folder / f"{kept.call}.response").write_bytes(msgspec.msgpack.encode(alone))
    studio.resumed(started.batch)

    assert studio.staged(started.batch).wait(WITHIN_S) == 0

    assert studio.state(started.batch).status == "completed"
    assert studio.calls() == ["1/1", "2/1"]
    assert not os.listdir(folder)


def test_what_could_not_be_synced_is_kept_on(studio: Studio) -> None:
    started = died(studio, 2)
    state = studio.state(started.batch)
    folder = studio.paths.runs_dir / started.batch / "calls"

    async def work() -> None:
        books = Books(studio.paths, started.batch, "test")
        try:
            await kept_responses.let_go(books, started, state, is_synced=False)
        finally:
            books.close()

    before = load(folder)
    anyio.run(work)
    assert load(folder) == before
    assert before.documents
