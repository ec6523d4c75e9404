"""The `persona` program: what its commands are, and how it begins and ends.

Nothing here may import more than it needs: every command pays for it on every start.
"""

import gc
import sys

from personad.contract.farewell import take_up_output

COMMANDS = {
    "generate": ("persona.commands.generate", "Make personas from a file or folder of research."),
    "batch": ("persona.commands.batch", "Look at batches of personas, and steer them."),
    "cost": ("persona.commands.cost", "What it costs, and what it may cost."),
    "quality": ("persona.commands.quality", "What personas are worth, and whether that changes."),
    "benchmark": ("persona.commands.benchmark", "Measure this program, and find regressions."),
    "events": ("persona.commands.events", "See, export and import what the ledger holds."),
    "demo": ("persona.commands.demo", "A ledger with half a year in it, to look around in."),
    "config": ("persona.commands.config", "See and change the configuration."),
    "completion": ("persona.commands.completion", "Print a shell's completion script."),
}
"""Each command's module, imported when it is used, with `command` in it; and its purpose."""

_GARBAGE = 50_000
"""So many new objects before they are looked through: most commands have ended by then."""


def main() -> int:
    """Run what the command line says; the exit status.

    0 done, 1 the answer is no, 64 wrong usage, 65 bad data, 69 no daemon, 70 a bug, 75 try later,
    78 bad configuration, 130 interrupted; 2 and 3 only where a command's help says so.
    """
    take_up_output()
    if sys.argv[1:] == ["--version"]:
        from personad.contract.base import VERSION

        sys.stdout.write(f"persona {VERSION}\n")
        return 0
    gc.set_threshold(_GARBAGE)
    from .program import run

    return run(sys.argv[1:])
