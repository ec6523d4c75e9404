"""`persona config`: what it prints, what it writes and what it refuses."""

import json
import os
import shutil
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from persona.commands.config import command

from personad.contract import settings
from personad.contract.options import KEYS
from personad.contract.settings import ConfigurationError

USAGE = click.UsageError.exit_code


@pytest.fixture(autouse=True)
def system_file(house: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the machine's own file, which a test must not read."""
    path = house / "system.toml"
    monkeypatch.setattr(settings, "SYSTEM_FILE", str(path))
    return path


@pytest.fixture
def own_file(house: Path) -> Path:
    path = house / "home" / ".config" / "personad" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def refused(*arguments: str) -> ConfigurationError:
    error = run(*arguments).exception
    assert isinstance(error, ConfigurationError)
    return error


def test_list_prints_every_key_with_its_value() -> None:
    lines = run("list").stdout.splitlines()[1:]

    assert [line.split()[0] for line in lines] == list(KEYS)
    assert "generate.concurrency" in {line.split()[0] for line in lines if line.endswith(" 4")}


def test_list_says_where_values_come_from(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file.write_text("generate.model = 'x'")
    monkeypatch.setenv("PERSONA_GENERATE_CONCURRENCY", "7")

    rows = {
        line.split()[0]: line.split()[1:] for line in run("list", "--origin").stdout.splitlines()
    }

    assert rows["generate.model"] == ["x", str(own_file)]
    assert rows["generate.concurrency"] == ["7", "PERSONA_GENERATE_CONCURRENCY"]
    assert rows["generate.redact"] == ["true", "default"]


def test_list_as_json_has_typed_values_and_their_origin() -> None:
    values = json.loads(run("list", "--json").stdout)["values"]

    assert {"key": "generate.model", "value": None, "origin": "default"} in values
    assert {"key": "cost.alerts.thresholds", "value": [50, 80, 100], "origin": "default"} in values


def test_list_tells_of_a_file_that_is_not_read() -> None:
    Path("persona.yaml").touch()

    assert "persona.yaml is not read" in run("list").stderr


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("generate.provider", "local"),
        ("generate.redact", "true"),
        ("quality.weights.faithfulness", "0.3"),
        ("cost.alerts.thresholds", "50,80,100"),
    ],
)
def test_get_prints_the_bare_value(key: str, text: str) -> None:
    assert run("get", key).stdout == f"{text}\n"


def test_get_of_a_key_without_a_value_prints_nothing_and_answers_no() -> None:
    result = run("get", "generate.model")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "generate.model is not set" in result.stderr


def test_get_as_json_is_one_document() -> None:
    found = json.loads(run("get", "generate.concurrency", "--json").stdout)

    assert found == {"key": "generate.concurrency", "value": 4, "origin": "default"}


def test_get_writes_to_a_file() -> None:
    run("get", "generate.concurrency", "-o", "answer", "--format", "csv")

    assert Path("answer").read_text().splitlines()[1] == "generate.concurrency,4"


@pytest.mark.parametrize("verb", [["get"], ["unset"], ["set"]])
def test_an_unknown_key_on_the_command_line_is_wrong_usage(verb: list[str]) -> None:
    result = run(*verb, "generate.concurreny", *(["4"] if verb == ["set"] else []))

    assert result.exit_code == USAGE
    assert "did you mean generate.concurrency?" in result.stderr


def test_of_a_table_its_keys_are_said() -> None:
    result = run("get", "quality.weights")

    assert result.exit_code == USAGE
    assert "quality.weights is a table, not a value; it has quality.weights." in result.stderr


def test_an_unknown_key_like_no_other_points_to_the_list() -> None:
    assert "`persona config list` shows every key" in run("get", "zzzz").stderr


def test_get_refuses_to_answer_from_a_broken_configuration(own_file: Path) -> None:
    own_file.write_text("nonsense")

    assert refused("get", "generate.model").where == f"{own_file}:1"


@pytest.mark.parametrize("key", KEYS)
def test_what_get_prints_set_takes(key: str, own_file: Path) -> None:
    before = run("get", key).stdout.rstrip("\n")

    if before:
        run("set", key, before)
        assert own_file.exists()
        assert run("get", key).stdout.rstrip("\n") == before


def test_set_begins_a_file_that_only_its_owner_can_read(house: Path) -> None:
    result = run("set", "generate.concurrency", "8", "generate.model", "a b")

    path = house / "home" / ".config" / "personad" / "config.toml"
    assert (result.exit_code, result.output) == (0, "")
    assert path.read_text() == '[generate]\nconcurrency = 8\nmodel = "a b"\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_set_keeps_comments_order_and_mode(own_file: Path) -> None:
    own_file.write_text("# mine\n[generate]\nmodel = 'x' # dear\nconcurrency = 2\n")
    own_file.chmod(0o640)

    run("set", "generate.model", "y")

    assert own_file.read_text() == '# mine\n[generate]\nmodel = "y" # dear\nconcurrency = 2\n'
    assert stat.S_IMODE(own_file.stat().st_mode) == 0o640


def test_set_writes_through_a_link(own_file: Path, house: Path) -> None:
    (house / "dotfiles.toml").touch()
    own_file.symlink_to(house / "dotfiles.toml")

    run("set", "generate.model", "y")

    assert own_file.is_symlink()
    assert "model" in (house / "dotfiles.toml").read_text()


def test_set_honours_xdg_config_home(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(house / "conf"))

    run("set", "cost.alerts.thresholds", "10,90")

    text = (house / "conf" / "personad" / "config.toml").read_text()
    assert text == "[cost.alerts]\nthresholds = [10, 90]\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["generate.concurrency", "0"], "must be a whole number from 1 to 256"),
        (["generate.progress.mode", "detail"], 'did you mean "detailed"?'),
        (["generate.model", "x", "generate.output"], "generate.output has no value"),
        (["generate.model", "\udc80"], "is not UTF-8"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_value_is_wrong_usage_and_changes_nothing(
    own_file: Path, arguments: list[str], reason: str
) -> None:
    result = run("set", *arguments)

    assert result.exit_code == USAGE
    assert reason in result.stderr
    assert not own_file.exists()


def test_a_change_that_breaks_a_rule_is_refused(own_file: Path) -> None:
    error = refused("set", "quality.weights.coherence", "0.3")

    assert "add up to 1.05" in error.message
    assert error.where == str(own_file)
    assert not own_file.exists()


def test_values_that_depend_on_each_other_are_set_together() -> None:
    run("set", "quality.weights.coherence", "0.3", "quality.weights.faithfulness", "0.25")

    assert run("get", "quality.weights.coherence").stdout == "0.3\n"


def test_a_rule_takes_the_systems_file_into_account(system_file: Path) -> None:
    system_file.write_text("quality.weights.faithfulness = 0.25\nquality.weights.coherence = 0.3")

    assert run("set", "quality.weights.coherence", "0.3").exit_code == 0


def test_a_broken_systems_file_does_not_stop_a_change(system_file: Path, own_file: Path) -> None:
    system_file.write_text("broken")

    run("set", "generate.model", "x")

    assert own_file.exists()


def test_an_old_mistake_does_not_stop_a_change(own_file: Path) -> None:
    own_file.write_text("[generate]\nmodell = 'x'\n")

    run("set", "generate.model", "x")

    assert "model = " in own_file.read_text()


def test_broken_toml_is_not_edited(own_file: Path) -> None:
    own_file.write_text("a = 1\nbroken")

    assert refused("set", "generate.model", "x").where == f"{own_file}:2"


def test_what_cannot_be_edited_safely_is_left_to_the_user(own_file: Path) -> None:
    own_file.write_text("generate = 3\n")

    error = refused("set", "generate.model", "x")

    assert 'write generate.model = "x" with an editor' in str(error.hint)
    assert own_file.read_text() == "generate = 3\n"


def test_set_tells_when_another_layer_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONA_GENERATE_MODEL", "x")

    assert "PERSONA_GENERATE_MODEL has the last word" in run("set", "generate.model", "y").stderr


def test_unset_takes_out_one_key(own_file: Path) -> None:
    own_file.write_text("[generate]\nmodel = 'x'\nconcurrency = 2\n")

    run("unset", "generate.model")

    assert own_file.read_text() == "[generate]\nconcurrency = 2\n"


def test_unset_takes_out_a_table(own_file: Path) -> None:
    own_file.write_text("quality.weights.coherence = 0.3\nquality.weights.faithfulness = 0.25\n")

    run("unset", "quality.weights")

    assert own_file.read_text() == ""


def test_unset_takes_out_a_mistake(own_file: Path) -> None:
    own_file.write_text("[generat]\nmodel = 'x'\n")

    run("unset", "generat")

    assert run("check").exit_code == 0


def test_unset_of_what_is_not_set_says_so_and_writes_nothing(own_file: Path) -> None:
    result = run("unset", "generate.model")

    assert result.exit_code == 0
    assert "generate.model is not set in" in result.stderr
    assert not own_file.exists()


def test_unset_that_would_break_a_rule_is_refused(own_file: Path) -> None:
    run("set", "quality.weights.coherence", "0.3", "quality.weights.faithfulness", "0.25")
    before = own_file.read_text()

    assert "add up to" in refused("unset", "quality.weights.coherence").message
    assert own_file.read_text() == before


def test_unset_that_cannot_be_done_safely_is_left_to_the_user(own_file: Path) -> None:
    own_file.write_text("[[generate]]\nmodel = 'x'\n")

    assert "remove it with an editor" in str(refused("unset", "generate.model").hint)


def test_path_lists_the_files_in_order_and_says_which_exist(
    own_file: Path, system_file: Path
) -> None:
    own_file.touch()

    files = json.loads(run("path", "--json").stdout)["files"]

    assert files == [
        {"layer": "system", "path": str(system_file), "exists": False},
        {"layer": "yours", "path": str(own_file), "exists": True},
        {"layer": "folder", "path": f"{Path.cwd()}/persona.toml", "exists": False},
    ]


def test_path_as_a_table() -> None:
    assert run("path").stdout.splitlines()[0].split() == ["Layer", "File", "Exists"]


def test_path_in_a_folder_that_was_removed_leaves_out_the_folders_file(house: Path) -> None:
    os.chdir(house / "work")
    shutil.rmtree(house / "work")
    try:
        files = json.loads(run("path", "--json").stdout)["files"]
    finally:
        os.chdir(house)

    assert [file["layer"] for file in files] == ["system", "yours"]


def test_check_of_a_sound_configuration_says_so() -> None:
    result = run("check")

    assert (result.exit_code, result.stdout) == (0, "The configuration has no mistakes.\n")


def test_check_names_every_mistake_with_its_place_and_what_to_do(
    own_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_file.write_text("[generate]\nconcurreny = 1\nredact = 1\n")
    Path("persona.yml").touch()
    monkeypatch.setenv("PERSONA_GENRATE_MODEL", "x")

    result = run("check")

    assert result.exit_code == 78
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "persona.yml is not read: what a folder sets stands in persona.toml",
        f"{own_file}:2: unknown key generate.concurreny",
        "  did you mean generate.concurrency?",
        f"{own_file}:3: generate.redact must be true or false, not 1",
        "PERSONA_GENRATE_MODEL: the environment variable PERSONA_GENRATE_MODEL sets nothing",
        "  did you mean PERSONA_GENERATE_MODEL?",
    ]


def test_check_as_json_is_one_document(own_file: Path) -> None:
    own_file.write_text("[generate]\nredact = 1\n")

    result = run("check", "--json")

    assert result.exit_code == 78
    assert json.loads(result.stdout) == {
        "mistakes": [
            {
                "message": "generate.redact must be true or false, not 1",
                "where": f"{own_file}:2",
                "key": "generate.redact",
                "hint": None,
            }
        ]
    }


def test_check_as_csv_has_a_row_for_each_mistake(own_file: Path) -> None:
    own_file.write_text("x = 1\ny = 2\n")

    assert len(run("check", "--format", "csv").stdout.splitlines()) == 3


def test_keys_are_completed() -> None:
    [key] = [param for param in command.commands["get"].params if param.name == "key"]
    context = click.Context(command.commands["get"])

    found = [item.value for item in key.shell_complete(context, "generate.budget")]

    assert found == ["generate.budget.enforcement"]


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_command_has_help(name: str) -> None:
    assert command.commands[name].help


@pytest.mark.usefixtures("own_file")
@pytest.mark.parametrize(
    ("key", "value", "is_its"),
    [
        ("daemon.week_start", "sunday", True),
        ("cost.alerts.cooldown_h", "2", True),
        ("cost.optimise.batch", "false", False),
        ("generate.concurrency", "2", False),
    ],
)
def test_what_a_daemon_reads_when_it_starts_is_said_to_need_a_restart(
    key: str, value: str, is_its: bool
) -> None:
    for arguments in (("set", key, value), ("unset", key)):
        assert ("personad restart" in run(*arguments).stderr) == is_its
