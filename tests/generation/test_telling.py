"""What watchers are told of answers that are still arriving."""

import select
import time

from persona.generation.telling import TOLD_MAX, Arriving
from persona.identity import persona_id
from persona.watch import Watch

from personad.contract.batch import BatchList

from ..provider_server import ProviderServer, Turn  # noqa: TID252
from ..studio import WITHIN_S, Studio  # noqa: TID252

BATCH = "batch-a"


def test_only_what_changed_is_news() -> None:
    arriving = Arriving(BATCH)
    assert arriving.news() is None
    arriving.hear(1, 10)
    arriving.hear(2, 5)
    arriving.hear(1, 30)
    assert arriving.news() == {persona_id(BATCH, 1): 30, persona_id(BATCH, 2): 5}
    assert arriving.news() is None


def test_what_has_ended_is_no_longer_told() -> None:
    arriving = Arriving(BATCH)
    arriving.hear(1, 10)
    arriving.hear(2, 5)
    arriving.hear(1, 0)
    assert arriving.news() == {persona_id(BATCH, 2): 5}
    arriving.hear(1, 0)
    assert arriving.news() is None


def test_no_more_is_told_than_a_message_takes() -> None:
    arriving = Arriving(BATCH)
    for index in range(1, TOLD_MAX + 10):
        arriving.hear(index, 1)
    assert len(arriving.news() or {}) == TOLD_MAX


def test_tokens_are_seen_while_a_server_answers(studio: Studio) -> None:
    """A real runner, a server that answers slowly, and two watchers."""
    source = str(studio.survey())
    with ProviderServer([Turn(pieces=40, gap_s=0.1)]) as server:
        said = studio.persona(
            *("generate", "--from", source, "--provider", "ollama", "-n", "1", "--detach"),
            *("--base-url", server.url("ollama"), "--model", "some-model"),
        )
        assert said.returncode == 0, said.stderr
        (summary,) = studio.ledger.ask(BatchList()).batches
        with (
            Watch(studio.ledger, studio.paths, summary.batch) as one,
            Watch(studio.ledger, studio.paths, summary.batch) as other,
        ):
            seen: dict[Watch, list[int]] = {one: [], other: []}
            until = time.monotonic() + WITHIN_S
            while not all(found.state.status == "completed" for found in seen):
                assert time.monotonic() < until, (seen, one.state.status)
                for found in select.select(list(seen), [], [], 1)[0]:
                    found.poll()
                    seen[found] += found.tokens.values()

    assert set(seen[one]) == set(seen[other])
    assert len(set(seen[one])) >= 3
    assert seen[one] == sorted(seen[one])
