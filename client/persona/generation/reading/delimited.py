"""CSV and TSV: delimiter, heading, rows; what is broken is named and the rest goes on."""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from persona.generation.reading.columns import Row, read_rows
from persona.generation.reading.decoding import MAX_LINE_CHARACTERS, TextFile
from persona.generation.reading.found import Broken, Found, ReadProblem, Wishes, clean

DELIMITERS = ("\t", ";", "|", ",")
"""The rarer in running text first: it wins where two would do."""

_NO_DELIMITER = "\x1f"
"""Splits nothing: a table of one column may hold commas."""
_SAMPLE_LINES = 400
_MAX_ROW_LINES = 1_000
_CONSISTENT = 0.7
_SEP_LINE = re.compile(r"^sep=(.)\s*$", re.IGNORECASE)


class _Parsed(Struct, frozen=True):
    line: int
    """Where the row begins, from 1."""
    fields: list[str]


def read_csv(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.csv` file. Streams: the first 400 lines and 500 rows are looked at beforehand."""
    return _read(file, wishes, None)


def read_tsv(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.tsv` file: tabs, where there are any."""
    return _read(file, wishes, "\t")


def _read(file: TextFile, wishes: Wishes, preferred: str | None) -> Iterator[Found]:
    sample = list(islice(file.lines(), _SAMPLE_LINES))
    told = _SEP_LINE.match(sample[0]) if sample else None
    if told:
        preferred = told[1]
    delimiter, width = sniff(sample[1:] if told else sample, preferred)
    parsed = parse(file.lines(), delimiter)
    if told:
        next(parsed, None)
    yield from _table(parsed, delimiter, width, wishes)


def sniff(lines: list[str], preferred: str | None = None) -> tuple[str, int]:
    """The delimiter and the number of columns: what splits most rows into equally many fields.

    Quotation marks are heeded, so a comma inside of them doesn't count; nor does a decimal
    comma, for the heading has none.
    """
    best, best_score, width = _NO_DELIMITER, 0.0, 1
    for delimiter in dict.fromkeys((preferred or DELIMITERS[0], *DELIMITERS)):
        counts = [
            len(row.fields)
            for row in parse(iter(lines), delimiter)
            if isinstance(row, _Parsed) and not _is_blank(row.fields)
        ]
        usual = Counter(counts).most_common()
        columns = max((n for n, times in usual if times == usual[0][1]), default=1)
        if columns < 2:
            continue
        share = counts.count(columns) / len(counts)
        # The first row is the heading, as a rule: that it fits tells more than any other row.
        score = share + (0.5 if counts[0] == columns else 0) + (1 if delimiter == preferred else 0)
        enough = share >= _CONSISTENT or counts[0] == columns or delimiter == preferred
        if enough and score > best_score:
            best, best_score, width = delimiter, score, columns
    return best, width


def parse(lines: Iterator[str], delimiter: str) -> Iterator[_Parsed | Broken]:
    """Rows with the line that each begins at; an unclosed quotation mark costs its line only."""
    csv.field_size_limit(MAX_LINE_CHARACTERS)
    waiting: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while len(taken) < _MAX_ROW_LINES:
            line = waiting.popleft() if waiting else next(lines, None)
            if line is None:
                return
            taken.append(line)
            yield line

    at = 1
    while True:
        taken.clear()
        problem: str | None = None
        fields: list[str] | None = None
        try:
            fields = next(csv.reader(feed(), delimiter=delimiter), None)
        except csv.Error:
            problem = "the row can't be taken apart: a field is too long or holds a bare line end"
        if not taken:
            return
        if len(taken) > 1 and "".join(taken).count('"') % 2:
            problem = "a quotation mark is opened and never closed"
        if problem:
            # Only the first line is given up: the others may be rows of their own.
            waiting.extendleft(reversed(taken[1:]))
            del taken[1:]
            yield Broken(problem, at)
        elif fields:
            yield _Parsed(at, fields)
        at += len(taken)


def _table(
    parsed: Iterator[_Parsed | Broken], delimiter: str, width: int, wishes: Wishes
) -> Iterator[Found]:
    header: _Parsed | None = None
    ignored: list[Broken] = []
    for each in parsed:
        if isinstance(each, Broken):
            ignored.append(each)
        elif len(_trimmed(each.fields, width)) == width and not _is_blank(each.fields):
            header = each
            break
        elif not _is_blank(each.fields):
            ignored.append(_ragged(each, width))
    yield from ignored
    if header is None:
        raise ReadProblem("no row of a table was found")
    columns, first = _columns(_trimmed(header.fields, width))
    broken: list[Broken] = []
    rows = _rows(parsed, columns, broken, header if first else None)
    shown = None if delimiter == _NO_DELIMITER else delimiter
    for found in read_rows(rows, columns, wishes, place="column", delimiter=shown):
        # Broken rows turn up while rows are drawn, between the records of the others.
        yield from broken
        broken.clear()
        yield found
    yield from broken


def _rows(
    parsed: Iterator[_Parsed | Broken],
    columns: tuple[str, ...],
    broken: list[Broken],
    first: _Parsed | None,
) -> Iterator[Row]:
    """Rows, counted as a spreadsheet does: the heading is row 1."""
    number = 1
    if first is not None:
        yield Row("row 1", dict(zip(columns, first.fields, strict=False)))
    for each in parsed:
        number += 1
        if isinstance(each, Broken):
            broken.append(each)
            continue
        fields = _trimmed(each.fields, len(columns))
        if _is_blank(fields):
            continue
        if len(fields) != len(columns):
            broken.append(_ragged(each, len(columns)))
        else:
            yield Row(f"row {number}", dict(zip(columns, fields, strict=True)))


def _ragged(row: _Parsed, width: int) -> Broken:
    fields = "1 field" if len(row.fields) == 1 else f"{len(row.fields)} fields"
    return Broken(f"the row has {fields} where the table has {width}; it was left out", row.line)


def _is_blank(fields: list[str]) -> bool:
    return not any(character.isalnum() for field in fields for character in field)


def _trimmed(fields: list[str], width: int) -> list[str]:
    """Without the empty fields that a row has beyond the table's width."""
    if len(fields) > width and not any(map(str.strip, fields[width:])):
        return fields[:width]
    return fields


def _columns(heading: list[str]) -> tuple[tuple[str, ...], bool]:
    """Unique column names, and whether the first row is data already, the heading missing."""
    cells = [clean(cell) for cell in heading]
    if _is_data(cells):
        return tuple(f"column {place}" for place in range(1, len(cells) + 1)), True
    seen: Counter[str] = Counter()
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = cell or f"column {place}"
        seen[name] += 1
        while seen[name] > 1 and f"{name} ({seen[name]})" in (*names, *cells):
            seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(names), False


def _is_data(cells: list[str]) -> bool:
    """A heading holds no bare numbers or addresses, and isn't all empty."""
    filled = [cell for cell in cells if cell]
    telling = sum(bool(re.fullmatch(r"[\d.,:/ +-]*\d[\d.,:/ +%-]*|\S+@\S+", c)) for c in filled)
    return not filled or telling * 4 >= len(filled) or any(len(cell) > 300 for cell in filled)
