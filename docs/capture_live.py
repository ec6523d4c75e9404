"""Takes the picture in README: a real run's live view, as SVG.

    python docs/capture_live.py [FILE]

In a ledger of its own, `persona generate` makes five personas from examples/interviews with the
`simulated` provider, which waits and fails like a real one and costs nothing. The batch is watched
through the daemon, as the live view does it, and when three are made its frame is exported.
"""

import io
import os
import select
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from persona.client import Ledger
from persona.render.live_frame import detailed
from persona.render.live_look import Look
from persona.watch import Watch
from rich.console import Console

from personad.contract.batch import BatchState
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths

ROOT = Path(__file__).resolve().parent.parent
TITLE = "persona generate --from examples/interviews -n 5 --provider simulated"
COLUMNS, ROWS = 96, 16
WAIT_S = 60.0
PROVIDER = {
    "PERSONA_SIMULATED_LATENCY_MS": "2500",
    "PERSONA_SIMULATED_SPREAD": "0.35",
    "PERSONA_SIMULATED_ERRORS": "4/1=server_error",
}


def main(arguments: list[str]) -> int:
    target = Path(arguments[0]) if arguments else ROOT / "docs" / "live.svg"
    with tempfile.TemporaryDirectory(prefix="capture-", dir="/tmp") as folder:
        os.environ |= PROVIDER | {"PERSONA_LEDGER": f"{folder}/ledger", "XDG_RUNTIME_DIR": folder}
        try:
            state = caught(Path(folder))
        finally:
            subprocess.run([sys.executable, "-m", "personad", "stop"], stdout=subprocess.DEVNULL)
    target.write_text(drawn(state), encoding="utf-8")
    sys.stdout.write(f"{target}: {state.counts.completed} of {state.total} personas made\n")
    return 0


def caught(folder: Path) -> BatchState:
    """The batch when three of its five personas are made, and another has to be tried again.

    Raises TimeoutError where it doesn't come to that.
    """
    command = (
        *(sys.executable, "-m", "persona", "generate", "--from", str(ROOT / "examples/interviews")),
        *("-n", "5", "--provider", "simulated", "--seed", "7", "--concurrency", "2"),
        *("--retry-delay", "20", "--detach"),
    )
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    paths = resolve_paths(DEFAULTS, ledger=None, environ=os.environ)
    until = time.monotonic() + WAIT_S
    with Ledger(paths) as ledger, Watch(ledger, paths, "last") as watched:
        while time.monotonic() < until:
            counts = watched.state.counts
            if counts.completed == 3 and counts.retrying and counts.generating:
                return watched.state
            select.select([watched], [], [], 1.0)
            watched.poll()
    raise TimeoutError(f"no such moment within {WAIT_S:g} s")


def drawn(state: BatchState) -> str:
    """The frame that a terminal shows of `state` at this moment, as SVG."""
    look = Look(width=COLUMNS, height=ROWS, now=datetime.now(UTC), keys="owning")
    console = Console(
        width=COLUMNS,
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(detailed(state, look))
    # Some renderers leave out spaces at the beginning of a text unless told not to.
    return console.export_svg(title=TITLE).replace("<svg ", '<svg xml:space="preserve" ', 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
