"""What is configured, by which layer, and what is said of each mistake."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from personad.contract import options, options_page
from personad.contract.options import DEFAULTS, KEYS, Settings, leaves, type_of, variable_of
from personad.contract.settings import (
    MAX_FILE_BYTES,
    ConfigurationError,
    Loaded,
    converted,
    examine,
    files,
    load,
    nearest,
)

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


class Layers:
    """The files of one test."""

    def __init__(self, house: Path) -> None:
        self.system = house / "etc" / "config.toml"
        self.user = house / "home" / ".config" / "personad" / "config.toml"
        self.project = house / "work" / "persona.toml"
        self._house = house
        for path in (self.system, self.user):
            path.parent.mkdir(parents=True, exist_ok=True)

    def arguments(self, environ: dict[str, str]) -> dict[str, Any]:
        return {
            "environ": environ,
            "cwd": self.project.parent,
            "home": self._house / "home",
            "system_file": self.system,
        }

    def load(self, **environ: str) -> Loaded:
        return load(**self.arguments(environ))

    def mistakes(self, **environ: str) -> list[ConfigurationError]:
        return examine(**self.arguments(environ))[1]

    def mistake(self, **environ: str) -> ConfigurationError:
        [found] = self.mistakes(**environ)
        return found


@pytest.fixture
def layers(house: Path) -> Layers:
    return Layers(house)


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


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("[generate]\nconcurreny = 1", "generate.concurrency"),
        ("[generate]\nretries = 1", "generate.retry.retries"),
        ("[cost]\nwebhook_url = 'x'", "cost.alerts.webhook_url"),
        ("[cost.optimize]\nmodels = true", "cost.optimise"),
        ("[generat]\nmodel = 'x'", "generate"),
        ("[generate.retry]\n'retries.x' = 1", "generate.retry.retries"),
    ],
)
def test_an_unknown_key_is_a_mistake_that_names_the_nearest(
    layers: Layers, written: str, near: str
) -> None:
    layers.user.write_text(written)

    mistake = layers.mistake()

    assert "unknown key" in mistake.message
    assert mistake.hint == f"did you mean {near}?"


def test_an_unknown_key_like_no_other_points_to_the_list(layers: Layers) -> None:
    layers.user.write_text("zzzz = 1")

    assert layers.mistake().hint == "`persona config list` shows every key"


def test_a_quoted_name_with_a_dot_is_not_the_key_it_looks_like(layers: Layers) -> None:
    layers.user.write_text("[generate]\n'retry.retries' = 9")

    assert "unknown key" in layers.mistake().message


def test_a_hostile_key_does_not_reach_the_terminal_as_it_is(layers: Layers) -> None:
    layers.project.write_text('"\\u001b[2J" = 1')

    assert "\x1b" not in layers.mistake().message


def test_a_value_where_a_table_should_be_is_a_mistake(layers: Layers) -> None:
    layers.user.write_text("generate = 3")

    assert layers.mistake().message == "generate is a table, not a value"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("generate.concurrency", '"4"', "a whole number from 1 to 256"),
        ("generate.concurrency", "0", "a whole number from 1 to 256"),
        ("generate.concurrency", "true", "a whole number from 1 to 256"),
        ("generate.redact", "1", "true or false"),
        ("generate.model", "2026-01-01", "text without control characters"),
        ("generate.model", '""', "text without control characters"),
        ("generate.output", '"\\u001b[1m"', "text without control characters"),
        ("generate.call_timeout_s", "0", "a number above 0, up to 604,800"),
        ("generate.progress.refresh_hz", "inf", "a number above 0, up to 60"),
        ("generate.confirm_above_usd", "9" * 400, "a number from 0 to 1,000,000"),
        ("generate.language", '"../x"', '"auto" or a language code such as "en" or "pt-BR"'),
        ("quality.accept", "nan", "a number from 0 to 1"),
        ("quality.accept", "{ a = 1 }", "a number from 0 to 1"),
        ("cost.alerts.thresholds", "80", "a list, each a whole number from 1 to 1,000"),
        ("cost.alerts.thresholds", "[]", "a list, each a whole number from 1 to 1,000"),
        ("cost.alerts.thresholds", '"50,80"', "a list, each a whole number from 1 to 1,000"),
        ("cost.alerts.webhook_url", '"ftp://x"', "an http:// or https:// address"),
        ("daemon.data_dir", '"relative"', "an absolute path, or one that begins with ~/"),
        ("daemon.log_level", '"loud"', 'one of "debug", "info", "warning", "error"'),
    ],
)
def test_a_wrong_value_is_a_mistake_that_says_what_the_key_takes(
    layers: Layers, key: str, value: str, expected: str
) -> None:
    layers.user.write_text(f"# a comment\n{key} = {value}\n")

    mistake = layers.mistake()

    assert mistake.message.startswith(f"{key} must be {expected}, not ")
    assert (mistake.where, mistake.key) == (f"{layers.user}:2", key)
    assert mistake.message.isprintable()


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("generate.progress.mode = 'detail'", "detailed"),
        ("quality.required_fields = ['name', 'quots']", "quotes"),
    ],
)
def test_a_misspelt_word_is_a_mistake_that_names_the_nearest(
    layers: Layers, line: str, near: str
) -> None:
    layers.user.write_text(line)

    assert layers.mistake().hint == f'did you mean "{near}"?'


def test_a_mistake_does_not_show_what_may_be_a_secret(layers: Layers) -> None:
    mistake = layers.mistake(PERSONA_COST_ALERTS_WEBHOOK_SECRET_ENV="hunter 2")

    assert "hunter" not in f"{mistake.message} {mistake.hint}"


def test_a_long_value_is_shown_in_part(layers: Layers) -> None:
    mistake = layers.mistake(PERSONA_GENERATE_REDACT="x" * 1_000)

    assert len(mistake.message) < 120


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[generate]\nmodel = 'x\n", 2),
        ("a = 1\nb = [1,\n2\n\n# c", 2),
        ("a = 1\nb = [1\nc = 2", 3),
        ("a = 1\na = 2\n", 2),
    ],
)
def test_broken_toml_is_a_mistake_at_its_line(layers: Layers, text: str, line: int) -> None:
    layers.user.write_text(text)

    mistake = layers.mistake()

    assert mistake.where == f"{layers.user}:{line}"
    assert "no valid TOML" in mistake.message


def test_toml_that_is_nested_without_end_is_a_mistake(layers: Layers) -> None:
    layers.project.write_text("a = " + "[" * 5_000 + "]" * 5_000)

    assert "nested too deeply" in layers.mistake().message


def test_a_file_that_is_not_utf_8_is_a_mistake_at_its_line(layers: Layers) -> None:
    layers.user.write_bytes(b"[generate]\nmodel = '\xe4'\n")

    assert layers.mistake().where == f"{layers.user}:2"


def test_a_folder_in_the_place_of_a_file_is_a_mistake(layers: Layers) -> None:
    layers.project.mkdir()

    assert "not a regular file" in layers.mistake().message


def test_a_huge_file_is_refused_unread(layers: Layers) -> None:
    layers.project.write_bytes(b"#" * (MAX_FILE_BYTES + 1))

    assert "bytes" in layers.mistake().message


def test_a_file_that_cannot_be_read_is_a_mistake(layers: Layers) -> None:
    layers.user.symlink_to(layers.user)

    mistake = layers.mistake()

    assert mistake.message.startswith("the configuration can't be read: ")
    assert mistake.where == str(layers.user)


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


def test_weights_that_do_not_add_up_to_one_are_refused(layers: Layers) -> None:
    layers.project.write_text("[quality.weights]\n# more of it\ncoherence = 0.3\n")

    mistake = layers.mistake()

    assert mistake.message == "the weights of quality add up to 1.05 instead of 1"
    assert mistake.where == f"{layers.project}:3"
    assert "coherence 0.3" in str(mistake.hint)


def test_weights_may_be_spread_over_layers(layers: Layers) -> None:
    layers.user.write_text("[quality.weights]\ncoherence = 0.3")
    layers.project.write_text("[quality]\nweights = { faithfulness = 0.25 }")

    assert layers.load().settings.quality.weights.coherence == 0.3


def test_alert_thresholds_must_rise(layers: Layers) -> None:
    mistake = layers.mistake(PERSONA_COST_ALERTS_THRESHOLDS="80,50,80")

    assert mistake.hint == "write [50, 80]"


def test_a_metric_may_not_fail_before_it_warns(layers: Layers) -> None:
    layers.user.write_text("[benchmark.thresholds.cli_startup]\nwarn = 60")

    assert layers.mistake().message == (
        "benchmark.thresholds.cli_startup would warn from 60 on and fail from 50 on"
    )


def test_thresholds_that_a_metric_takes_over_are_checked_once(layers: Layers) -> None:
    layers.user.write_text("[benchmark]\nwarn = 30")

    assert layers.mistake().key == "benchmark.warn"


def test_a_metrics_threshold_is_checked_against_the_one_it_takes_over(layers: Layers) -> None:
    layers.user.write_text("[benchmark.thresholds]\ntime_to_first_token.fail = 5")

    assert layers.mistake().key == "benchmark.thresholds.time_to_first_token.fail"


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("../etc", 'write one such as "Europe/Berlin"'),
        ("x" * 300, 'write one such as "Europe/Berlin"'),
    ],
)
def test_an_unknown_time_zone_is_a_mistake(layers: Layers, zone: str, hint: str) -> None:
    assert layers.mistake(PERSONAD_TIMEZONE=zone).hint == hint


def test_a_known_time_zone_is_taken(layers: Layers) -> None:
    loaded = layers.load(PERSONAD_TIMEZONE="Europe/Berlin")

    assert loaded.settings.daemon.timezone == "Europe/Berlin"


def test_every_mistake_is_found_in_one_go(layers: Layers) -> None:
    layers.user.write_text("[generate]\nconcurrency = 0\nmodell = 'x'\n")
    layers.project.write_text("broken")

    found = layers.mistakes(PERSONA_GENERATE_REDACT="perhaps")

    assert len(found) == 4


def test_loading_stops_at_the_first_mistake_and_says_how_many_there_are(layers: Layers) -> None:
    layers.user.write_text("[generate]\nmodell = 'x'\n[x]")

    with pytest.raises(ConfigurationError, match="unknown key") as caught:
        layers.load()

    assert caught.value.EXIT_CODE == 78
    assert str(caught.value.hint).endswith("`persona config check` shows all 2 mistakes")


def test_a_single_mistake_is_raised_as_it_is(layers: Layers) -> None:
    layers.user.write_text("[generate]\nredact = 1\n\n[generate.retry]\n")

    with pytest.raises(ConfigurationError) as caught:
        layers.load()

    assert caught.value.hint is None


def test_two_mistakes_without_a_hint_still_point_to_the_check(layers: Layers) -> None:
    layers.user.write_text("[generate]\nredact = 1\nconcurrency = 0")

    with pytest.raises(ConfigurationError) as caught:
        layers.load()

    assert caught.value.hint == "`persona config check` shows all 2 mistakes"


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
