"""Takes the pictures of screens in README and docs: real commands on the demo ledger, as SVG.

    python docs/capture_screens.py [FOLDER]

`persona demo seed` fills a ledger in a temporary folder; each command then runs on a terminal of
its own, and what it draws there becomes a picture.
"""

import io
import os
import pty
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
ROWS = 60
SCREENS = {
    "cost": (80, "cost"),
    "forecast": (80, "cost forecast --days 14 --budget 12"),
    "optimise": (108, "cost optimise"),
    "trends": (96, "quality trends --days 60 --metric composite"),
    "providers": (144, "quality providers --by model --days 90"),
}
"""Each picture's name, the columns of its terminal, and the command that it shows."""


def main(arguments: list[str]) -> int:
    target = Path(arguments[0]) if arguments else ROOT / "docs"
    with tempfile.TemporaryDirectory(prefix="capture-", dir="/tmp") as folder:
        environ = dict(os.environ) | {
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PERSONA_LEDGER": f"{folder}/ledger",
            "COLORTERM": "truecolor",
            "TERM": "xterm-256color",
            "PAGER": "cat",
        }
        environ.pop("NO_COLOR", None)
        subprocess.run(
            [*_program("persona"), "demo", "seed", "--into", f"{folder}/ledger"],
            env={name: value for name, value in environ.items() if name != "PERSONA_LEDGER"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            for name, (columns, command) in SCREENS.items():
                said = screen([*_program("persona"), *command.split()], environ, columns)
                (target / f"{name}.svg").write_text(
                    drawn(said, f"persona {command}", columns), "utf-8"
                )
                sys.stdout.write(f"{target / name}.svg\n")
        finally:
            subprocess.run([*_program("personad"), "stop"], env=environ, stdout=subprocess.DEVNULL)
    return 0


def _program(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def screen(command: list[str], environ: dict[str, str], columns: int) -> str:
    """All that a command writes to a terminal, with its colours.

    Raises subprocess.CalledProcessError where it fails.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, columns))
    process = subprocess.Popen(
        command, env=environ, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    said = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while some := terminal.read(65_536):
                said += some
        except OSError:
            pass  # Linux says so where its last writer has closed it
    if status := process.wait():
        raise subprocess.CalledProcessError(status, command)
    return said.decode().replace("\r\n", "\n")


def drawn(said: str, title: str, columns: int) -> str:
    """It as SVG."""
    console = Console(
        width=columns,
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(Text.from_ansi(said.rstrip()))
    # Some renderers leave out spaces at the beginning of a text unless told not to.
    return console.export_svg(title=title).replace("<svg ", '<svg xml:space="preserve" ', 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
