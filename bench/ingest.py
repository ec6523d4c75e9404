"""How many events a second are taken in and acknowledged, and what room one takes on disk."""

import time
from contextlib import ExitStack
from itertools import islice

import msgspec

from personad.contract.codec import encode

from .events import costs
from .figure import Figure
from .house import House, daemon, house
from .rows import INSERT, bare_database, rows_of

PRODUCERS = 2
LOADS = ((1_000, 200_000), (1, 4_000))
"""Events a request, and events of all producers together."""


def measure() -> list[Figure]:
    figures, sizes = [], []
    for at_once, events in LOADS:
        with house() as here:
            with daemon(here):
                empty = _database_bytes(here)
                rate = _acknowledged(here, at_once, events)
            # A daemon that has drained has taken its write-ahead log in.
            sizes.append((_database_bytes(here) - empty) / events)
        with house() as here:
            bare = _bare(here, at_once, events)
        figures.append(
            Figure(
                name=f"events acknowledged, {at_once:,} a request",
                value=rate,
                limit=None,
                unit="/s",
                peer=f"a bare insert loop, {at_once:,} a commit: {bare:,.0f} /s, "
                f"{rate / bare:.2f} ×",
                detail=f"{PRODUCERS} producers, {events:,} cost.recorded, same durability",
            )
        )
    return [*figures, _on_disk(sizes[0])]


def _acknowledged(here: House, at_once: int, events: int) -> float:
    """Events a second from the first producer's first request to the last one's last answer."""
    each = str(events // PRODUCERS)
    with ExitStack() as stack:
        producers = [
            stack.enter_context(here.worker("bench.producer", each, str(at_once), str(seed)))
            for seed in range(1, PRODUCERS + 1)
        ]
        for producer in producers:
            assert producer.stdout is not None
            if producer.stdout.readline() != b"ready\n":
                raise RuntimeError("a producer did not start")
        for producer in producers:
            assert producer.stdin is not None
            producer.stdin.write(b"go\n")
            producer.stdin.flush()
        spans = [
            msgspec.json.decode(producer.communicate()[0], type=tuple[int, int])
            for producer in producers
        ]
    return events / ((max(end for _, end in spans) - min(begin for begin, _ in spans)) / 1e9)


def _bare(here: House, at_once: int, events: int) -> float:
    """The same rows into the same table, with the same journal, and nothing else."""
    db = bare_database(here.folder / "bare.db")
    rows = list(rows_of(costs(events, seed=1)))
    parts = iter(rows)
    began = time.perf_counter()
    while part := list(islice(parts, at_once)):
        with db:
            db.executemany(INSERT, part)
    took_s = time.perf_counter() - began
    db.close()
    return events / took_s


def _database_bytes(here: House) -> int:
    database = here.paths.database
    files = [database, database.with_name(database.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def _on_disk(an_event: float) -> Figure:
    sample = list(costs(10_000, seed=1))
    as_json = sum(len(encode(event, "json")) + 1 for event in sample) / len(sample)
    return Figure(
        name="disk for an event, its folds included",
        value=an_event,
        limit=None,
        unit="B",
        peer=f"as a JSON line: {as_json:.0f} B, {an_event / as_json:.2f} ×",
        detail=f"cost.recorded, {LOADS[0][1]:,} of them; after the daemon has drained",
    )
