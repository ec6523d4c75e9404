"""Who may import whom, what a command may load, and that no list has a hole."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import persona
import pytest

import personad
from personad.changes import CHANGES
from personad.contract.admin import Backup, Hello, Rebuild, Retention, Status, Stop
from personad.contract.codec import reply_codec
from personad.contract.prices import PricesUpdate
from personad.contract.progress import Progress
from personad.contract.schema import EVENTS, FRAMES, REQUESTS, json_schema, replies, tag
from personad.questions import ANSWERS

DAEMON = Path(personad.__file__).parent
CLIENT = Path(persona.__file__).parent
CORE = (
    "log",
    "kinds",
    "copying",
    "migrations",
    "mark",
    "ballast",
    "projections",
    "store",
    "prepared",
    "transaction",
    "leases",
    "granting",
    "news",
    "alerting",
    "changes",
    "questions",
)
RIM = tuple(
    f"personad.{each}" for each in ("api", "live", "daemon", "writer", "contract.nng", "replier")
)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("file", files(DAEMON / "contract"), ids=lambda file: file.name)
def test_the_contract_stands_on_nothing_of_ours(file: Path) -> None:
    assert not [each for each in imports(file) if each.startswith(("personad", "persona."))]


@pytest.mark.parametrize(
    "file", files(CLIENT), ids=lambda file: str(file.relative_to(CLIENT)).replace("/", ".")
)
def test_the_client_imports_the_contract_and_nothing_else_of_the_daemon(file: Path) -> None:
    found = [each for each in imports(file) if each.split(".")[0] == "personad"]
    assert all(each.startswith("personad.contract") for each in found)


@pytest.mark.parametrize("name", CORE)
def test_the_core_awaits_nothing_and_knows_no_socket(name: str) -> None:
    path = DAEMON / name
    for file in files(path) if path.is_dir() else [path.with_suffix(".py")]:
        found = set(imports(file))
        assert not {each for each in found if each.split(".")[0] in ("anyio", "asyncio")}
        assert not {each for each in found if each.startswith(RIM)}
        assert "datetime.now(" not in file.read_text()


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(said.stdout.split())


COMMANDS = [f"persona.commands.{file.stem}" for file in files(CLIENT / "commands")]


@pytest.mark.parametrize("module", ["personad.contract.batch", "persona.client", *COMMANDS])
def test_a_command_loads_nothing_that_only_the_daemon_or_a_runner_needs(module: str) -> None:
    assert not loaded_by(module.removesuffix(".__init__")) & {"apsw", "numpy", "anyio", "asyncio"}


def test_a_daemon_starts_without_numpy() -> None:
    assert "numpy" not in loaded_by("personad.daemon")


def test_the_contract_package_itself_loads_nothing() -> None:
    assert "msgspec" not in loaded_by("personad.contract")


def test_every_request_is_answered_by_one_room() -> None:
    rooms = [
        set(CHANGES),
        set(ANSWERS),
        {Hello, Status, Stop, Backup, Rebuild, Retention, Progress, PricesUpdate},
    ]
    assert set().union(*rooms) == set(REQUESTS)
    assert sum(map(len, rooms)) == len(REQUESTS)


def test_every_request_names_an_answer_that_can_be_decoded() -> None:
    for request in REQUESTS:
        reply_codec(request)


def test_every_message_has_a_type_of_its_own() -> None:
    for group in (EVENTS, REQUESTS, FRAMES, replies()):
        tags = [tag(each) for each in group]
        assert len(set(tags)) == len(tags)


def test_the_schema_describes_every_message_and_leaves_no_reference_open() -> None:
    schema = json_schema()
    for name, group in {"events": EVENTS, "requests": REQUESTS, "frames": FRAMES}.items():
        assert set(schema[name]) == {tag(each) for each in group}
    references = set(_references(schema))
    assert {each.removeprefix("#/$defs/") for each in references} <= set(schema["$defs"])
    for kind in EVENTS:
        definition = schema["$defs"][kind.__name__]
        assert definition["properties"]["type"] == {"enum": [tag(kind)]}
        assert {"type", "id", "at"} <= set(definition["required"])


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


@pytest.mark.parametrize("file", [*files(DAEMON), *files(CLIENT)], ids=lambda file: file.stem)
def test_a_file_is_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 400
