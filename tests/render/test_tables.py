"""One table in every format that it can be written in."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from msgspec import Struct
from persona.render import boxed, csv_text, markdown, plain
from persona.render.alerts import quality_table
from persona.render.tables import (
    COUNT,
    MONEY,
    SHARE,
    YES_NO,
    Chart,
    Column,
    Fact,
    Facts,
    Table,
    View,
)
from rich.console import Console

from personad.contract.alerts import QualityAlert


class Row(Struct, frozen=True):
    name: str | None
    cost_nanousd: int
    calls: int
    accepted: bool = True


COLUMNS: tuple[Column[Row], ...] = (
    Column("Name", lambda row: row.name, style=lambda row: "red" if row.calls else "green"),
    Column("Cost", lambda row: row.cost_nanousd, MONEY),
    Column("Calls", lambda row: row.calls, COUNT),
    Column("Accepted", lambda row: row.accepted, YES_NO),
)
ROWS = (Row("Anna", 4_200_000, 1_200), Row(None, 12_000_000_000, 0, accepted=False))
VIEW: View = (Facts((Fact("Status", "running", "cyan"),)), Table(COLUMNS, ROWS, "none"))


def named(name: str) -> View:
    return (Table(COLUMNS, (Row(name, 1, 1),)),)


def on_terminal(view: View, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        boxed.render(view, console)
    return captured.get()


def test_plain_text_is_aligned_without_boxes() -> None:
    assert plain.render(VIEW, None) == (
        "Status  running\n"
        "\n"
        "Name     Cost  Calls  Accepted\n"
        "Anna  $0.0042  1,200  yes\n"
        "–      $12.00      0  no\n"
    )


def test_plain_text_that_is_too_wide_becomes_a_line_a_value() -> None:
    lines = plain.render(VIEW[1:], 20).splitlines()

    assert lines[0] == "Name      Anna"
    assert lines[4] == ""
    assert lines[8] == "Accepted  no"


def test_few_rows_of_many_values_that_have_no_room_beside_each_other_are_turned() -> None:
    assert plain.render(VIEW[1:], 28) == (
        "Name      Anna     –\n"
        "Cost      $0.0042  $12.00\n"
        "Calls     1,200    0\n"
        "Accepted  yes      no\n"
    )
    # Rows too many for that, too, are told a line a value.
    many: View = (Table(COLUMNS, ROWS * 3),)
    assert plain.render(many, 28).splitlines()[0] == "Name      Anna"


NARROW = (COLUMNS[0], Column("Cost of calls", lambda row: f"{row.calls:,} for {row.cost_nanousd}"))


@pytest.mark.parametrize("draw", [on_terminal, plain.render])
def test_what_a_table_tells_in_fewer_columns_is_shown_where_the_others_have_no_room(
    draw: Callable[[View, int], str],
) -> None:
    view: View = (Table(COLUMNS, ROWS * 9, narrow=NARROW),)

    assert "Accepted" in draw(view, 60)
    narrow = draw(view, 26)
    assert "Accepted" not in narrow
    assert narrow.count("1,200 for") == 9
    assert all(len(line.rstrip()) <= 26 for line in narrow.splitlines())


def test_programs_are_told_every_column() -> None:
    view: View = (Table(COLUMNS, ROWS, narrow=NARROW),)

    for text in (plain.render(view, None), csv_text.render(view), markdown.render(view)):
        assert "Accepted" in text
        assert "Cost of calls" not in text


def test_a_title_stays_whole_where_a_turned_table_has_room_for_it() -> None:
    metrics = ("Coherence", "Faithfulness", "Distinctiveness", "Authenticity", "Composite")
    scored: View = (Table([Column(each, lambda _row: "0.82 ★") for each in metrics], ROWS),)

    for width in (40, 50, 60, 70):
        assert all(each in on_terminal(scored, width) for each in metrics)


def test_wide_characters_are_aligned_by_cells() -> None:
    first, second = plain.render((Table(COLUMNS[:2], (Row("日本", 0, 0),)),), None).splitlines()

    assert first == "Name   Cost"
    assert second == "日本  $0.00"


def test_a_figure_is_never_folded_in_a_turned_table_either() -> None:
    dear: View = (Table(COLUMNS, (Row("Anna", 18 * 10**15, 1), Row("Bo", 9 * 10**15, 1))),)

    for width in (26, 32, 40):
        text = on_terminal(dear, width)
        assert "$18,000,000.00" in text
        assert "$9,000,000.00" in text


def test_a_long_label_leaves_room_for_what_it_labels() -> None:
    view: View = (
        Facts(
            (Fact("Prices of anthropic/claude-sonnet-4-5", "genai-prices"), Fact("Sum", "$0.04"))
        ),
    )

    lines = on_terminal(view, 40).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].endswith("  genai-prices")
    assert lines[-1].split() == ["Sum", "$0.04"]


@pytest.mark.parametrize("width", [30, 60, 200])
def test_a_terminal_table_fits_and_drops_no_column(width: int) -> None:
    text = on_terminal(VIEW, width)

    assert all(len(line) <= width for line in text.splitlines())
    for title in ("Name", "Cost", "Calls", "Accepted"):
        assert title in text


def test_a_long_text_is_folded_not_cut() -> None:
    text = on_terminal(named("word " * 30), 60)

    assert text.count("word") == 30


def test_an_empty_table_keeps_its_titles() -> None:
    view: View = (Table(COLUMNS, (), "nothing yet"),)

    assert plain.render(view, None) == "Name  Cost  Calls  Accepted\n"
    assert "Accepted" in on_terminal(view, 80)
    assert csv_text.render(view) == "Name,Cost,Calls,Accepted\r\n"


@pytest.mark.parametrize("hostile", ["[red]Anna[/red]", "[link=http://x]Anna[/link]", ":boom:"])
def test_markup_in_a_name_stays_text(hostile: str) -> None:
    assert hostile in on_terminal(named(hostile), 120)


def test_escape_codes_in_a_name_never_reach_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2JAnna"

    for text in (plain.render(named(hostile), None), markdown.render(named(hostile))):
        assert "\x1b" not in text
        assert "owned" not in text
        assert "Anna" in text


def test_nor_do_those_in_the_name_of_a_metric_which_is_a_title_or_a_label() -> None:
    hostile = "=\x1b]0;owned\x07\x1b[2JTone\n|x"
    title: Column[Row] = Column(hostile, lambda row: row.calls, COUNT)
    view: View = (
        Chart(title=hostile, values=[1, 2], first="a", last="b", amount=str),
        Table((COLUMNS[0], title), ROWS),
        Facts([Fact(hostile, "said")]),
    )
    for text in (
        plain.render(view, None),
        on_terminal(view, 80),
        markdown.render(view),
        csv_text.render(view),
    ):
        assert "\x1b" not in text
        assert "owned" not in text
        assert "=Tone" in text
    assert csv_text.render(view).startswith("Name,'=Tone |x\r\n")


def test_csv_has_figures_as_programs_read_them() -> None:
    rows = list(csv.reader(io.StringIO(csv_text.render(VIEW))))

    assert rows == [
        ["Name", "Cost", "Calls", "Accepted"],
        ["Anna", "0.0042", "1200", "true"],
        ["", "12", "0", "false"],
    ]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_spreadsheet_takes_no_name_for_a_formula(formula: str) -> None:
    assert f"'{formula}" in csv_text.render(named(formula))


def test_a_negative_figure_is_no_formula() -> None:
    assert "\r\nx,-0.5," in csv_text.render((Table(COLUMNS, (Row("x", -500_000_000, 1),)),))


def test_several_tables_in_csv_are_set_apart() -> None:
    assert csv_text.render((VIEW[1], VIEW[1])).count("\r\n\r\n") == 1


def test_markdown() -> None:
    assert markdown.render(VIEW) == (
        "- **Status:** running\n"
        "\n"
        "| Name | Cost | Calls | Accepted |\n"
        "| --- | ---: | ---: | --- |\n"
        "| Anna | $0.0042 | 1,200 | yes |\n"
        "| – | $12.00 | 0 | no |\n"
    )


def test_markdown_in_a_name_stays_text() -> None:
    text = markdown.render(named("a|b <script> **x** [y](z)"))

    assert "a\\|b \\<script\\> \\*\\*x\\*\\* \\[y\\](z)" in text


def test_a_share_is_a_number_for_programs() -> None:
    columns: tuple[Column[float], ...] = (Column("Share", lambda share: share, SHARE),)

    assert csv_text.render((Table(columns, (0.25,)),)) == "Share\r\n0.25\r\n"
    assert "25%" in plain.render((Table(columns, (0.25,)),), None)


def test_a_narrow_list_of_alerts_tells_what_fell_below_what() -> None:
    alert = QualityAlert(
        id="alert-1",
        at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        metric="faithfulness",
        value=0.6959,
        threshold=0.7,
        where="acme/one",
        cause="threshold",
        level="warn",
        message="…",
        acknowledged=False,
        n=20,
        baseline=None,
    )
    view: View = (quality_table([alert] * 3),)

    assert "0.696      0.700" in on_terminal(view, 100)
    narrow = on_terminal(view, 70)
    assert narrow.splitlines()[0].split() == ["When", "Metric", "Where", "Cause", "ID"]
    assert "faithfulness 0.696" in narrow
    assert "below 0.700" in narrow
