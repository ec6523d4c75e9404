"""`persona generate` with real providers, as somebody types it: real program, runner and server."""

import json
from pathlib import Path

import pytest

from personad.contract.admin import Hello
from personad.contract.batch import BatchList, Pause

from ..provider_server import KEY, Paid, ProviderServer, Turn  # noqa: TID252
from ..provider_server.scripts import FORMATS, Format  # noqa: TID252
from ..studio import Studio  # noqa: TID252

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}


@pytest.fixture
def source(studio: Studio) -> str:
    return str(studio.survey())


def command(source: str, name: Format, server: ProviderServer, *more: str) -> list[str]:
    given = ["generate", "--from", source, "--provider", name, "--base-url", server.url(name)]
    return [*given, "--model", "some-model", *more]


def batches(studio: Studio) -> list[str]:
    return [each.batch for each in studio.ledger.ask(BatchList()).batches]


def told(studio: Studio) -> dict[str, Paid]:
    (batch,) = batches(studio)
    return {
        cost.request_id: Paid(
            cost.input_tokens,
            cost.output_tokens,
            cost.cache_read_tokens,
            cost.cache_write_tokens,
            cost.model,
        )
        for cost in studio.events(batch, "cost.recorded")
        if cost.outcome == "ok"
    }


@pytest.mark.parametrize("name", FORMATS)
def test_personas_are_made_by_each_provider_and_the_ledger_has_its_bill(
    studio: Studio, source: str, name: Format
) -> None:
    with ProviderServer(key=KEY) as server:
        key = {KEYS[name]: KEY} if name in KEYS else {}
        said = studio.persona(
            *command(source, name, server, "-n", "3", "--concurrency", "1", "--output", "out"),
            **key,
        )

    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("3 of 3 personas completed")
    assert "some-model is no model of" in said.stderr
    if name != "ollama":
        assert told(studio) == server.paid
    document = json.loads(Path("out/batch.json").read_bytes())
    assert document["settings"]["base_url"] == server.url(name)
    costs = document["costs"]
    assert costs["input_tokens"] == sum(paid.input for paid in server.paid.values())
    assert costs["cache_read_tokens"] == sum(paid.cache_read for paid in server.paid.values())
    assert len(list(Path("out/personas").glob("*.json"))) == 3


def test_a_key_is_found_nowhere_afterwards(studio: Studio, source: str, house: Path) -> None:
    """The server repeats it in its error, which goes to the ledger, the log and the screen."""
    with ProviderServer(key="another") as server:
        said = studio.persona(
            *command(source, "openai", server, "-n", "2", "-v"), OPENAI_API_KEY=KEY
        )
        show = studio.persona("batch", "show", "last", "--json")

    assert said.returncode == 75
    assert server.asked[0].key == KEY
    assert "check the key in OPENAI_API_KEY" in said.stderr
    assert "check the key in OPENAI_API_KEY" in show.stderr
    assert KEY not in said.stdout + said.stderr + show.stdout
    held = [p for p in house.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert held == []


def test_a_key_of_a_file_is_used_and_found_nowhere_else(
    studio: Studio, source: str, house: Path
) -> None:
    path = house / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    with ProviderServer([Turn(status=401)] * 2, key=KEY) as server:
        studio.persona(
            *command(source, "anthropic", server, "-n", "2"), ANTHROPIC_API_KEY_FILE=str(path)
        )

    assert [asked.key for asked in server.asked] == [KEY, KEY]
    held = [p for p in house.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert held == [path]


@pytest.mark.cold
def test_no_process_shows_the_key_and_the_daemon_never_sees_it(studio: Studio, source: str) -> None:
    with ProviderServer([Turn(hangs="before")], key=KEY) as server:
        more = ("-n", "1", "--detach")
        studio.persona(*command(source, "openai", server, *more), OPENAI_API_KEY=KEY)
        (batch,) = batches(studio)
        studio.until(batch, lambda state: state.counts.generating == 1)
        (runner,) = studio.runners()
        lines = [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
        daemon = Path(f"/proc/{studio.ledger.ask(Hello()).pid}/environ").read_bytes()
        environ = Path(f"/proc/{runner}/environ").read_bytes()
        studio.persona("batch", "cancel", batch, "--yes")

    assert not [line for line in lines if KEY.encode() in line]
    assert KEY.encode() not in daemon
    assert KEY.encode() in environ


def _read(path: Path) -> bytes:
    """Of a process that may be gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("name", list(KEYS))
def test_without_a_key_nothing_begins(studio: Studio, source: str, name: str) -> None:
    said = studio.persona("generate", "--from", source, "--provider", name)

    assert said.returncode == 78
    variable = KEYS[name]
    assert f"{name} needs a key: set {variable}, or {variable}_FILE" in said.stderr
    assert batches(studio) == []


def test_a_key_file_that_others_read_is_no_key(studio: Studio, source: str, house: Path) -> None:
    path = house / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    said = studio.persona(
        "generate", "--from", source, "--provider", "openai", OPENAI_API_KEY_FILE=str(path)
    )

    assert said.returncode == 78
    assert f"chmod 600 {path}" in said.stderr
    assert KEY not in said.stderr


def test_a_dry_run_needs_no_key_and_names_the_model(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "--provider", "anthropic", "--dry-run")

    assert said.returncode == 0
    assert "Provider    anthropic, model claude-haiku-4-5" in said.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--provider", "openai", "--base-url", "localhost:8000"), "must be a whole address"),
        (("--provider", "openai", "--base-url", "http://a:b@c/"), "user name or password"),
        (("--provider", "openai", "--base-url", "http://localhost:8000"), "needs --model"),
        (("--base-url", "http://localhost:8000"), "goes with a provider that has a server"),
        (
            ("--provider", "openai", "--model", "mine", "--base-url", ""),
            "--base-url is given, and says nothing",
        ),
        (("--provider", "openai", "--model", " "), "--model is given, and says nothing"),
        (("--provider", ""), "--provider is given, and says nothing"),
    ],
)
def test_an_address_that_can_not_be_is_wrong_usage(
    studio: Studio, source: str, more: tuple[str, ...], said: str
) -> None:
    ended = studio.persona("generate", "--from", source, *more, OPENAI_API_KEY=KEY)

    assert ended.returncode == 64
    assert said in ended.stderr


def test_a_key_that_lies_unused_costs_nothing_and_is_hinted_at(studio: Studio, source: str) -> None:
    said = studio.persona("generate", "--from", source, "-n", "1", OPENAI_API_KEY=KEY)

    assert said.returncode == 0
    assert "OPENAI_API_KEY is set, and costs nothing so: `--provider openai` uses it" in said.stderr


def test_a_batch_goes_on_only_with_the_key_it_needs(studio: Studio) -> None:
    started = studio.record(provider="openai", model="gpt-5-mini")
    studio.ledger.ask(Pause(batch=started.batch))
    said = studio.persona("generate", "--resume", started.batch)

    assert said.returncode == 78
    assert "openai needs a key" in said.stderr


def test_a_server_that_is_down_is_said_with_what_to_do(studio: Studio, source: str) -> None:
    with ProviderServer() as server:
        given = command(source, "ollama", server, "-n", "1", "--retry-count", "0")
    said = studio.persona(*given)

    assert said.returncode == 1
    reason = f"127.0.0.1:{server.port} can't be reached: connection refused; is the server running?"
    assert reason in said.stderr


def test_only_a_runner_that_calls_a_server_loads_the_http_library(
    studio: Studio, source: str
) -> None:
    script = (
        "import sys; from persona import program;"
        "sys.argv = ['persona', *sys.argv[1:]]\n"
        "try: program.run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('loaded' if 'httpx2' in sys.modules else 'not loaded', file=sys.stderr)"
    )
    with ProviderServer() as server:
        for arguments in (
            ["--help"],
            ["generate", "--help"],
            ["generate", "--from", source, "--provider", "openai", "--dry-run"],
            command(source, "openai", server, "-n", "1"),
        ):
            said = studio.python("-c", script, *arguments)
            assert said.stderr.splitlines()[-1] == "not loaded", arguments
    assert len(server.asked) == 1


PLUGIN = """
from persona.generation.providers.base import Response, Usage, draft_from_json


class Shouting:
    name = "shouting"
    models = ("loud-1",)
    parse = staticmethod(draft_from_json)

    async def generate(self, request, on_progress=None):
        on_progress and on_progress(1)
        return Response(b'{"name": "ADA MOOR", "goals": ["BE HEARD"]}', Usage(7, 3), "shout-1")

    async def aclose(self):
        pass


def create(settings):
    return Shouting()
"""


def test_another_packages_provider_joins_by_its_entry_point(
    studio: Studio, source: str, house: Path
) -> None:
    site = house / "site"
    about = site / "shouting-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "shouting.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[persona.providers]\nshouting = shouting:create\n")
    arguments = ("generate", "--from", source, "-n", "1", "--provider", "shouting")

    said = studio.persona(*arguments, "--output", "out", PYTHONPATH=str(site))

    assert said.returncode == 0, said.stderr
    (made,) = [json.loads(path.read_bytes()) for path in Path("out/personas").glob("*.json")]
    assert (made["name"], made["provenance"]["model"]) == ("ADA MOOR", "loud-1")
    assert told(studio) == {"shout-1": Paid(7, 3, model="loud-1")}
    without = studio.persona(*arguments)
    assert without.returncode == 64
    assert "there is no provider `shouting`" in without.stderr
