"""What is configured, and by which layer."""

import subprocess
import sys
from pathlib import Path

import pytest

from personad.contract import options, options_page
from personad.contract.options import DEFAULTS, KEYS, Settings, leaves, type_of, variable_of
from personad.contract.settings import converted, files, load, nearest

from .layers import Layers

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


def test_with_nothing_configured_the_defaults_hold(layers: Layers) -> None:
    loaded = layers.load()

    assert loaded.settings == Settings()
    assert loaded.origin == dict.fromkeys(KEYS, "default")
    assert loaded.notices == ()


def test_each_layer_wins_over_the_one_before(layers: Layers) -> None:
    layers.system.write_text("[generate]\nconcurrency = 5\nprovider = 's'\nmodel = 's'\noutput='s'")
    layers.user.write_text("[generate]\nconcurrency = 6\nmodel = 'u'\noutput = 'u'")
    layers.project.write_text("[generate]\nconcurrency = 7\noutput = 'p'")

    loaded = layers.load(PERSONA_GENERATE_CONCURRENCY="8")

    generate = loaded.settings.generate
    assert (generate.provider, generate.model, generate.output, generate.concurrency) == (
        ("s", "u", "p", 8)
    )


def test_the_origin_says_which_file_or_variable_had_the_last_word(layers: Layers) -> None:
    layers.system.write_text("[generate]\nconcurrency = 5\nprovider = 's'")
    layers.project.write_text("[generate]\nconcurrency = 7")

    origin = layers.load(PERSONAD_TIMEZONE="UTC").origin

    assert origin["generate.provider"] == str(layers.system)
    assert origin["generate.concurrency"] == str(layers.project)
    assert origin["daemon.timezone"] == "PERSONAD_TIMEZONE"
    assert origin["generate.output"] == "default"


def test_a_table_may_be_set_in_part(layers: Layers) -> None:
    layers.user.write_text("[generate.retry]\nretries = 9")

    retry = layers.load().settings.generate.retry

    assert (retry.retries, retry.delay_s) == (9, 5)


def test_an_absolute_xdg_config_home_is_where_the_users_file_is(house: Path) -> None:
    found = files(environ={"XDG_CONFIG_HOME": "/x"}, cwd=None, home=house)

    assert found[1:] == ["/x/personad/config.toml"]


def test_a_relative_xdg_config_home_is_ignored(house: Path) -> None:
    found = files(environ={"XDG_CONFIG_HOME": "x"}, cwd="/w", home="/h", system_file="/s")

    assert found == ["/s", "/h/.config/personad/config.toml", "/w/persona.toml"]


def test_the_systems_file_is_in_etc() -> None:
    assert files(environ={}, cwd=None, home="/h")[0] == "/etc/personad/config.toml"


def test_without_a_working_folder_its_file_is_not_read(layers: Layers) -> None:
    layers.project.write_text("nonsense")

    loaded = load(**{**layers.arguments({}), "cwd": None})

    assert loaded.settings == DEFAULTS


@pytest.mark.parametrize("name", ["persona.yaml", "persona.yml"])
def test_a_yaml_file_in_the_working_folder_is_named_as_not_read(layers: Layers, name: str) -> None:
    layers.project.with_name(name).touch()

    [notice] = layers.load().notices

    assert notice.startswith(f"{name} is not read")


def test_a_file_below_a_file_does_not_exist(layers: Layers) -> None:
    layers.user.parent.rmdir()
    layers.user.parent.touch()

    assert layers.load().settings == DEFAULTS


@pytest.mark.parametrize(
    "text",
    [
        "[generate]\nmodel = 'm'\nconcurrency = 2\noutput = 'o'",
        "[generate.progress]\nmode = 'quiet'\nrefresh_hz = 2",
        "[quality]\nrequired_fields = ['name']\nweights = {coherence = 0.3, faithfulness = 0.25}",
        "[benchmark]\nwarn = 5\n[benchmark.thresholds.cli_startup]\nwarn = 5",
    ],
)
def test_a_working_folder_may_set_what_harms_nobody(layers: Layers, text: str) -> None:
    layers.project.write_text(text)

    assert layers.load().settings != DEFAULTS


@pytest.mark.parametrize(
    "key",
    [
        key
        for key in KEYS
        if not key.startswith(("generate.progress.", "quality.weights.", "benchmark."))
        and key not in ("generate.model", "generate.concurrency", "generate.output")
        and key != "quality.required_fields"
    ],
)
def test_a_working_folder_may_set_nothing_else(layers: Layers, key: str) -> None:
    layers.project.write_text(f"{key} = 1")

    mistake = layers.mistake()

    assert f"persona.toml may not set {key}" in mistake.message
    assert mistake.where == f"{layers.project}:1"


def test_every_key_has_a_variable_of_its_own() -> None:
    assert len({variable_of(key) for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("PERSONAD_DATA_DIR", "/d", "daemon.data_dir", "/d"),
        ("PERSONAD_RUNTIME_DIR", "~/r", "daemon.runtime_dir", "~/r"),
        ("PERSONAD_LOG_LEVEL", "debug", "daemon.log_level", "debug"),
        ("PERSONAD_WEEK_START", "sunday", "daemon.week_start", "sunday"),
        ("PERSONA_GENERATE_RETRY_RETRIES", "0", "generate.retry.retries", 0),
        ("PERSONA_GENERATE_TIMEOUT_S", "1.5", "generate.timeout_s", 1.5),
        ("PERSONA_GENERATE_REDACT", "false", "generate.redact", False),
        ("PERSONA_COST_ALERTS_THRESHOLDS", "50, 90", "cost.alerts.thresholds", (50, 90)),
        ("PERSONA_QUALITY_REQUIRED_FIELDS", "name", "quality.required_fields", ("name",)),
    ],
)
def test_a_variable_is_read_as_its_key_needs_it(
    layers: Layers, variable: str, text: str, key: str, value: object
) -> None:
    settings = layers.load(**{variable: text}).settings

    assert options.value_of(settings, key) == value


@pytest.mark.parametrize("text", ["many", "null", "1.5"])
def test_a_variable_with_a_wrong_value_is_a_mistake_that_names_it(
    layers: Layers, text: str
) -> None:
    mistake = layers.mistake(PERSONA_GENERATE_CONCURRENCY=text)

    assert mistake.where == "PERSONA_GENERATE_CONCURRENCY"
    assert f'not "{text}"' in mistake.message


def test_an_unset_value_cannot_be_asked_for_by_a_word(layers: Layers) -> None:
    assert layers.mistake(PERSONA_GENERATE_TIMEOUT_S="null").key == "generate.timeout_s"


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("PERSONA_GENERATE_CONCURENCY", "PERSONA_GENERATE_CONCURRENCY"),
        ("PERSONA_GENRATE_CONCURRENCY", "PERSONA_GENERATE_CONCURRENCY"),
        ("PERSONA_DATA_DIR", "PERSONAD_DATA_DIR"),
        ("PERSONAD_RETENTION_RAW_DAYS", "PERSONA_RETENTION_RAW_DAYS"),
        ("PERSONA_LEDGERS", "PERSONA_LEDGER"),
    ],
)
def test_a_misspelt_variable_is_a_mistake_that_names_the_nearest(
    layers: Layers, variable: str, near: str
) -> None:
    mistake = layers.mistake(**{variable: "1"})

    assert (mistake.where, mistake.hint) == (variable, f"did you mean {near}?")


def test_a_variable_of_ours_like_no_other_is_a_mistake(layers: Layers) -> None:
    assert layers.mistake(PERSONA_COST_QQQQQQQQQQQQQQQQQQQ="1").hint == "unset it"


@pytest.mark.parametrize(
    "variable",
    [
        "PERSONA_LEDGER",
        "PERSONA_AUTOSTART",
        "PERSONA_SIMULATED_LATENCY_MS",
        "PERSONAD_SERVICE_HOST",
        "PERSONAD_PORT_8080_TCP",
        "PERSONA_HOME",
    ],
)
def test_variables_that_are_no_settings_are_left_alone(layers: Layers, variable: str) -> None:
    assert layers.load(**{variable: "1"}).settings == DEFAULTS


def test_an_empty_variable_counts_as_not_set(layers: Layers) -> None:
    loaded = layers.load(PERSONA_GENERATE_CONCURRENCY="", PERSONA_GENERATE_NONSENSE="")

    assert loaded.settings == DEFAULTS


def test_the_nearest_key_of_a_name_that_exists_twice_is_in_the_nearer_table() -> None:
    assert nearest("cost.optimize.retries") == "cost.optimise.retries"


@pytest.mark.parametrize("key", KEYS)
def test_every_default_is_a_value_that_its_key_takes(key: str) -> None:
    default = KEYS[key]

    if default is not None:
        assert converted(key, list(default) if isinstance(default, tuple) else default) == default


@pytest.mark.parametrize("key", KEYS)
def test_every_key_says_what_it_means_and_takes(key: str) -> None:
    assert options.description(type_of(key))
    assert options.expectation(type_of(key))


def test_the_defaults_keep_the_rules(layers: Layers) -> None:
    layers.user.write_text("[daemon]\nlog_level = 'info'")

    assert layers.mistakes() == []


def test_tables_and_keys_are_those_of_the_settings() -> None:
    assert dict(leaves(Settings())) == KEYS
    assert options.tables()[:4] == ("daemon", "retention", "generate", "generate.progress")


def test_the_page_about_configuration_is_up_to_date() -> None:
    assert DOCS.read_text() == options_page.render()


def test_the_page_can_be_made_from_the_command_line() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "personad.contract.options_page"], capture_output=True, check=True
    )

    assert made.stdout.decode() == DOCS.read_text()


@pytest.mark.parametrize("module", ["tomllib", "difflib", "zoneinfo", "hashlib"])
def test_loading_defaults_imports_nothing_that_only_files_or_mistakes_need(module: str) -> None:
    code = (
        "import sys; before = set(sys.modules); from personad.contract.settings import load; "
        "load(environ={}, cwd='/nowhere', home='/nowhere', system_file='/nowhere/c'); "
        f"sys.exit({module!r} in set(sys.modules) - before)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
