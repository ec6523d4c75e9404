"""What is said of each mistake in the configuration: where it is, and what would be right."""

import pytest

from personad.contract.settings import MAX_FILE_BYTES, ConfigurationError

from .layers import Layers


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
