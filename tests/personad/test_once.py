"""The same event, however often and by whomever it is sent, is stored once and counts once."""

import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from persona.spool import Spool

from personad.contract.admin import Status
from personad.contract.cost import CostHistory
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Exported, Import
from personad.log import read
from tests.chaos.vitals import retried
from tests.ledgers import damage_of

from .conftest import Core, Running
from .facts import cost, planned

SENDER = """
import os, sys
import msgspec
from personad import launch
from personad.contract.events import AnyEvent, Append
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths
paths = resolve_paths(DEFAULTS, ledger=sys.argv[1], environ=os.environ)
events = msgspec.json.decode(open(sys.argv[2], "rb").read(), type=list[AnyEvent])
size = int(sys.argv[3])
sys.stdin.read()
parts = [events[n : n + size] for n in range(0, len(events), size)]
told = [launch.ask(paths, Append(events=part), 20) for part in parts]
print(sum(each.duplicates for each in told))
"""
CALLS = 300


def calls() -> list[Any]:
    return [cost(f"call-{number}", 7) for number in range(CALLS)]


def spent(daemon: Running) -> tuple[int, int]:
    total = daemon.ask(CostHistory()).total
    return total.calls, total.cost_nanousd


def test_within_a_batch_the_first_counts(core: Core) -> None:
    first = cost("call-1", 5)
    other = msgspec.structs.replace(first, call="call-2", cost_nanousd=9)
    answer = core.append(*planned(), first, other, first)
    assert (answer.last_seq, answer.duplicates) == (4, 2)
    assert [each.event for each in read(core.db, after=3)] == [first]
    assert core.show().cost.spent_nanousd == 5
    assert damage_of(core.path) is None


@pytest.mark.parametrize("how", ["append", "import"])
def test_across_batches_and_a_new_opening_it_is_known(core: Core, how: str) -> None:
    events: list[Any] = [*planned(), *calls()]
    core.append(*events)
    before = core.rows()
    again = Core(core.path)
    for start in range(0, len(events), 7):
        part = events[start : start + 11]
        request: Any = (
            Append(events=part)
            if how == "append"
            else Import(items=[Exported(event=event) for event in part])
        )
        told = again.do(request)
        assert (told.first_seq, told.duplicates) == (None, len(part))
    assert again.rows() == before
    again.db.close()


def test_from_two_producers_at_once_and_a_third_after_a_kill(daemon: Running, house: Path) -> None:
    made = [*planned(), *calls()]
    file = str(house / "events.json")
    Path(file).write_bytes(msgspec.json.encode(made))
    with ExitStack() as running:
        senders = [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SENDER, str(daemon.paths.data_dir), file, size],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for size in ("7", "11")
        ]
        for each in senders:
            assert each.stdin is not None
            each.stdin.close()
        told = [int(each.stdout.read()) for each in senders if each.stdout is not None]
    assert sum(told) == len(made)
    daemon.kill()
    daemon.start()
    assert daemon.append(*made).duplicates == len(made)
    assert spent(daemon) == (CALLS, 7 * CALLS)
    assert daemon.command("verify").returncode == 0


def test_sent_spooled_and_imported_it_counts_once(daemon: Running, house: Path) -> None:
    made = [*planned(), *calls()]
    daemon.append(*made[:200])
    with closing(Spool(daemon.paths.spool_dir)) as spool:
        spool.write(made[100:250])
        spool.write(made[150:])
    items = [Exported(event=event) for event in made]
    daemon.ask(Import(items=items[50:]))

    def taken() -> None:
        if daemon.ask(Status()).spool_backlog:
            raise LedgerError("unavailable", "some wait")

    retried(taken, pause_s=0.05)
    assert daemon.ask(Import(items=items)).duplicates == len(made)
    assert spent(daemon) == (CALLS, 7 * CALLS)
    verified = daemon.command("verify")
    assert (verified.returncode, str(len(made)) in verified.stdout) == (0, True), verified.stdout
