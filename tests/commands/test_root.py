"""The program's frame: finding commands, global options, and how each kind of end is told."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from persona import failures, program
from persona.app import App, Flags, app_of
from persona.cli import COMMANDS
from persona.generation.sources import SourceError

from personad.contract.base import VERSION
from personad.contract.errors import LedgerError
from personad.contract.settings import ConfigurationError

pytestmark = pytest.mark.cold

Run = Callable[..., subprocess.CompletedProcess[str]]
Raising = Callable[[BaseException], int]


def persona(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "persona", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", ["persona", "personad"])
@pytest.mark.parametrize(
    ("closed", "shown"),
    [("<&-", True), ("2>&-", True), (">&-", False), ("<&- >&- 2>&-", False)],
)
def test_closed_streams_are_no_trouble(program: str, closed: str, shown: bool) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m {program} --help {closed}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage:") == shown


def leaves(command: click.Command, path: str = "persona") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, f"{path} {name}")


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Raising:
    """Runs a command that ends with a certain exception; its exit status."""
    module = tmp_path / "a_command_that_raises.py"
    module.write_text(
        "import click\n"
        "from persona.app import pass_app\n"
        "raised = []\n"
        "@click.command()\n"
        "@pass_app\n"
        "def command(app): raise raised.pop()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "raise", ("a_command_that_raises", "Raise."))
    monkeypatch.delitem(sys.modules, "a_command_that_raises", raising=False)

    def run(error: BaseException) -> int:
        import a_command_that_raises  # type: ignore[import-not-found]

        a_command_that_raises.raised.append(error)
        return program.run(["raise"])

    return run


@pytest.mark.parametrize("arguments", [("--version",), ("--no-color", "--version")])
def test_the_version_is_one_line(arguments: tuple[str, ...]) -> None:
    ended = persona(*arguments)

    assert (ended.returncode, ended.stdout) == (0, f"persona {VERSION}\n")


def test_the_version_needs_no_click() -> None:
    script = (
        "import sys; sys.argv = ['persona', '--version']; from persona.cli import main; main();"
        "sys.exit('click' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_help_names_every_command_and_imports_none() -> None:
    script = (
        "import sys; sys.argv = ['persona', '--help']; from persona.cli import main; main();"
        "heavy = {'rich', 'asyncio', 'numpy', 'apsw', 'anyio', 'yaml', 'personad.contract.nng'};"
        "loaded = [m for m in sys.modules if m in heavy or m.startswith('persona.commands.')];"
        "sys.exit(str(loaded) if loaded else 0)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"  {name} " in ended.stdout for name in COMMANDS)


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: persona")


def test_every_command_and_every_option_has_help() -> None:
    for name in COMMANDS:
        for path, command in leaves(program.load(name), f"persona {name}"):
            assert command.help, path
            silent = [
                param.name
                for param in command.params
                if isinstance(param, click.Option) and not param.help
            ]
            assert not silent, path


def test_the_purpose_in_the_overview_is_a_sentence() -> None:
    assert all(purpose.endswith(".") for _, purpose in COMMANDS.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_global_options_may_stand_behind_any_command(name: str) -> None:
    for path, command in leaves(program.load(name), name):
        options = {option for param in command.params for option in param.opts}
        wanted = {"--ledger", "--no-autostart", "--no-color", "--no-pager", "--quiet", "--verbose"}
        assert wanted <= options, path


def test_global_options_before_and_behind_a_command_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Flags] = []

    @click.command()
    @click.pass_context
    def command(ctx: click.Context) -> None:
        seen.append(app_of(ctx).flags)

    module = type(sys)("a_command_that_looks")
    vars(module)["command"] = command
    monkeypatch.setitem(sys.modules, "a_command_that_looks", module)
    monkeypatch.setitem(COMMANDS, "look", ("a_command_that_looks", "Look."))

    program.run(["--ledger", "x", "-q", "look"])
    program.run(["look", "--ledger", "x", "-q"])
    program.run(["look", "-vv", "--no-color", "--no-autostart"])

    assert seen == [
        Flags(ledger="x", quiet=True),
        Flags(ledger="x", quiet=True),
        Flags(verbose=2, no_color=True, no_autostart=True),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["btch"], "there is no command `btch`; did you mean `batch`?"),
        (["batch", "lst"], "there is no command `lst`; did you mean"),
        (["qqqq"], "there is no command `qqqq`"),
        (["batch", "show"], "missing argument 'ID'"),
        (["batch", "list", "--jsn"], "--jsn"),
        (["batch", "list", "--json", "--format", "csv"], "exclude each other"),
        (["batch", "list", "-L", "0"], "0 is not in the range"),
        (["--ledger", "", "batch", "list"], "empty"),
        (["events", "tail", "--type", "persona.complete"], "persona.completed"),
    ],
)
def test_wrong_usage_is_64_and_says_where_help_is(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = program.run(arguments)

    told = capsys.readouterr().err
    assert status == 64
    assert told.startswith("persona: ")
    assert said.lower() in told.lower()
    assert "--help` says what it takes" in told


class Unreachable(Exception):
    EXIT_CODE = 69
    where = Path("/run/api.sock")
    hint = "personad start"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (LedgerError("not-found", "no batch x", hint="y?"), 64, "persona: no batch x\n  y?\n"),
        (LedgerError("conflict", "it runs"), 1, "persona: it runs\n"),
        (LedgerError("unavailable", "busy"), 75, "persona: busy\n"),
        (
            ConfigurationError("no such key", where="f.toml:3", hint="see"),
            78,
            "persona: no such key (f.toml:3)\n  see\n",
        ),
        (
            SourceError("broken JSON", source="a.jsonl", line=3, hint="mend it"),
            65,
            "persona: broken JSON (a.jsonl:3)\n  mend it\n",
        ),
        (SourceError("nothing readable", source="data"), 65, "persona: nothing readable (data)\n"),
        (Unreachable("no daemon"), 69, "persona: no daemon (/run/api.sock)\n  personad start\n"),
        (
            OSError(28, "No space left on device", "out.json"),
            75,
            "persona: no space left on device (out.json)\n"
            "  make room and try again; nothing was half-written\n",
        ),
        (
            PermissionError(13, "Permission denied", "out.json"),
            64,
            "persona: permission denied (out.json)\n",
        ),
        (KeyboardInterrupt(), 130, "persona: interrupted\n"),
        (click.Abort(), 130, "persona: interrupted\n"),
        (click.ClickException("Broken."), 64, "persona: broken\n"),
    ],
)
def test_every_kind_of_error_has_its_status(
    raising: Raising,
    error: BaseException,
    status: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert raising(error) == status
    assert capsys.readouterr().err == told


def test_a_message_from_elsewhere_is_made_harmless(
    raising: Raising, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(LedgerError("conflict", "\x1b[2Jone\ntwo\x07"))

    assert capsys.readouterr().err == "persona: one\n    two\n"


def test_a_place_from_elsewhere_is_made_harmless(
    raising: Raising, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(PermissionError(13, "Permission denied", "out\x1b[2J.json"))

    assert capsys.readouterr().err == "persona: permission denied (out.json)\n"


def test_a_bug_leaves_a_private_log_without_keys(
    raising: Raising,
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")

    status = raising(ZeroDivisionError("with sk-very-secret inside"))

    told = capsys.readouterr().err
    (log,) = (house / "home/.local/share/personad").glob("crash-*.log")
    assert status == 70
    assert str(log) in told
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "ZeroDivisionError: with [SOME_API_KEY] inside" in log.read_text()
    assert "sk-very-secret" not in told + log.read_text()


def test_a_bug_is_kept_elsewhere_where_the_ledger_has_no_folder(
    raising: Raising,
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (house / "a file").touch()
    monkeypatch.setenv("PERSONA_LEDGER", str(house / "a file"))
    monkeypatch.setenv("TMPDIR", str(house / "work"))
    monkeypatch.setattr("tempfile.tempdir", None)

    assert raising(RuntimeError("x")) == 70
    assert len(list((house / "work").glob("crash-*.log"))) == 1


def test_a_bug_that_can_be_kept_nowhere_is_shown(
    raising: Raising,
    house: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (house / "a file").touch()
    monkeypatch.setenv("PERSONA_LEDGER", str(house / "a file"))
    monkeypatch.setattr("tempfile.tempdir", str(house / "nowhere"))

    assert raising(RuntimeError("x")) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_error_of_the_system_without_a_file_is_a_bug(raising: Raising) -> None:
    assert raising(OSError(9, "Bad file descriptor")) == 70


def test_secrets_are_replaced_the_longest_first_and_short_ones_are_none() -> None:
    environ = {
        "A_TOKEN": "abcd",
        "B_SECRET": "abcdef",
        "C_KEY": "ab",
        "PATH": "/bin",
        "KEY": "wxyz",
    }

    text = failures.without_secrets("abcdef abcd ab /bin wxyz", environ)

    assert text == "[B_SECRET] [A_TOKEN] ab /bin [KEY]"


def test_a_reader_that_has_enough_ends_the_program_quietly(house: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "persona", "completion", "fish"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()

    assert (process.returncode, told) == (0, b"")


def test_a_full_disk_behind_stdout_is_try_later() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "persona", "completion", "fish"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ended.returncode == 75
    assert "no space left" in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    ended = persona("completion", shell)

    assert ended.returncode == 0
    assert "_PERSONA_COMPLETE" in ended.stdout


def test_completion_knows_commands_and_options() -> None:
    ended = persona(_PERSONA_COMPLETE="bash_complete", COMP_WORDS="persona ba", COMP_CWORD="1")

    assert ended.stdout == "plain,batch\n"


@pytest.mark.parametrize(
    ("variable", "no_autostart", "expected"),
    [("", False, True), ("0", False, False), ("off", False, False), ("1", True, False)],
)
def test_a_daemon_is_started_unless_somebody_says_no(
    variable: str, no_autostart: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONA_AUTOSTART", variable)

    assert App(Flags(no_autostart=no_autostart)).autostart is expected


def test_the_configuration_of_the_working_folder_is_read_and_its_mistakes_are_78(
    house: Path,
) -> None:
    (house / "work" / "persona.toml").write_text('[daemon]\ndata_dir = "/elsewhere"\n')

    ended = persona("batch", "list")

    assert ended.returncode == 78
    assert "persona.toml:2" in ended.stderr


def test_no_daemon_and_no_autostart_is_69_with_the_command_that_starts_it() -> None:
    ended = persona("--no-autostart", "batch", "list")

    assert ended.returncode == 69
    assert "personad start" in ended.stderr
