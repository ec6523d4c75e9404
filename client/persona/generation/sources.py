"""Read a file or folder of research data: into records, redacted, with everything named that
could not be read.

First every file is read as it is, then it is clear whose names there are, and only then do
records come to be: a name that is said before its bearer is introduced is redacted too.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from persona.generation.language import detect
from persona.generation.model import FileRead, Reading, Record, Unreadable
from persona.generation.pseudonymity import Cast, cast_of
from persona.generation.reading.columns import match_column
from persona.generation.reading.decoding import inspect
from persona.generation.reading.files import Candidate, LeftOut, walk
from persona.generation.reading.findings import Findings
from persona.generation.reading.formats import FORMATS, Format
from persona.generation.reading.found import ReadProblem, Wishes

MAX_RECORDS = 200_000
"""Spoken or written records of one reading; facts have a limit of their own."""
MAX_FACTS = 200_000
_MAX_NAMED = 3
_MAX_COLUMNS = 30


class SourceError(Exception):
    """The research data can't be used: nothing is readable, or a column isn't there."""

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.line = line
        self.hint = hint


def read_sources(
    path: Path,
    *,
    text_columns: tuple[str, ...] = (),
    participant_column: str | None = None,
    redact: bool = True,
    language: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Reading:
    """Read everything below `path`; the same bytes give the same reading, wherever they lie.

    `progress(done_bytes, all_bytes)` is called before the first and after each file. Pseudonyms
    are used with and without redaction; `redact` decides whether texts, questions and file names
    are changed. Raises SourceError when nothing can be read, a wished column is in no file, or
    there are more than MAX_RECORDS records.
    """
    wishes = Wishes(text_columns, participant_column)
    read: list[Findings] = []
    unread: list[Unreadable] = []
    spoken = 0
    for candidate, form in _readable(_listing(path), unread, progress):
        findings = _read_file(candidate, form, wishes, spoken)
        if findings.said:
            read.append(findings)
            spoken += findings.spoken
            unread += [Unreadable(candidate.name, b.reason, b.line) for b in findings.broken]
        else:
            unread.append(_nothing_in(findings))
    _require_columns(read, wishes)
    _require_records(path, read, unread)
    return _reading(path, read, unread, language, redact=redact)


def _listing(path: Path) -> list[Candidate | LeftOut]:
    if not path.exists():
        raise SourceError(f"{path} doesn't exist", hint="check the path after --from")
    found = list(walk(path))
    if not found:
        raise SourceError(
            f"{path} is an empty folder",
            hint=f"put research data into it: {' '.join(FORMATS)} (hidden files aren't read)",
        )
    return found


def _readable(
    listing: list[Candidate | LeftOut],
    unread: list[Unreadable],
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[Candidate, Format]]:
    """What has an ending that is read; progress is told when the next is asked for."""
    total = sum(_size(each) for each in listing)
    done = 0
    if progress is not None:
        progress(done, total)
    for each in listing:
        match each:
            case LeftOut():
                unread.append(Unreadable(each.name, each.reason))
            case Candidate() if (form := FORMATS.get(each.path.suffix.lower())) is not None:
                yield each, form
            case Candidate():
                unread.append(Unreadable(each.name, _unknown_ending(each.path.suffix)))
        done += _size(each)
        if progress is not None:
            progress(min(done, total), total)


def _size(each: Candidate | LeftOut) -> int:
    if isinstance(each, LeftOut):
        return 0
    try:
        return each.path.stat().st_size
    except OSError:
        # Gone since the folder was listed: opening it will say so.
        return 0


def _unknown_ending(suffix: str) -> str:
    what = f"files ending in {suffix} aren't" if suffix else "files without an ending aren't"
    return f"{what} read; these are: {' '.join(FORMATS)}"


def _read_file(candidate: Candidate, form: Format, wishes: Wishes, spoken: int) -> Findings:
    findings = Findings(candidate.name, form.name)
    try:
        findings.file = inspect(candidate.path, streams=form.streams)
        for found in form.read(findings.file, wishes):
            findings.add(found, MAX_FACTS)
            if spoken + findings.spoken > MAX_RECORDS:
                raise SourceError(
                    f"more than {MAX_RECORDS:,} records",
                    source=candidate.name,
                    hint="generate from a part of the data: fewer files, or a sample of the rows",
                )
    except ReadProblem as problem:
        findings.break_off(problem.reason, problem.line)
    except UnicodeDecodeError:
        findings.break_off("the file was changed while it was read", None)
    return findings


def _nothing_in(findings: Findings) -> Unreadable:
    if findings.broken:
        first = findings.broken[0]
        return Unreadable(findings.name, first.reason, first.line)
    return Unreadable(findings.name, "there is no text in it")


def _require_columns(read: list[Findings], wishes: Wishes) -> None:
    columns = tuple(
        dict.fromkeys(
            column for each in read if each.layout is not None for column in each.layout.columns
        )
    )
    wished = (*wishes.text_columns, *filter(None, (wishes.participant_column,)))
    for wish in wished:
        if match_column(wish, columns) is None:
            listed = _listed(columns) if columns else "none: no table was found"
            raise SourceError(f"no column is called “{wish}”", hint=f"columns: {listed}")


def _listed(columns: tuple[str, ...]) -> str:
    more = len(columns) - _MAX_COLUMNS
    return ", ".join(columns[:_MAX_COLUMNS]) + (f" and {more:,} more" if more > 0 else "")


def _require_records(path: Path, read: list[Findings], unread: list[Unreadable]) -> None:
    if any(each.spoken for each in read):
        return
    if read:
        columns = tuple(
            dict.fromkeys(c for each in read if each.layout for c in each.layout.columns)
        )
        raise SourceError(
            f"no free text was found in {path}{_left_out(unread)}",
            source=read[0].name,
            hint="name the columns that hold answers in people's own words with --text-columns"
            + (f"; columns: {_listed(columns)}" if columns else ""),
        )
    first = unread[0]
    raise SourceError(
        f"nothing in {path} could be read: {_named(unread)}",
        source=first.source,
        line=first.line,
        hint=f"formats that are read: {' '.join(FORMATS)}",
    )


def _left_out(unread: list[Unreadable]) -> str:
    """What may be why: a broken line can hide all the text there is."""
    return f"; not read: {_named(unread)}" if unread else ""


def _named(unread: list[Unreadable]) -> str:
    named = "; ".join(f"{_place(each)}: {each.reason}" for each in unread[:_MAX_NAMED])
    more = f"; and {len(unread) - _MAX_NAMED} more" if len(unread) > _MAX_NAMED else ""
    return named + more


def _place(each: Unreadable) -> str:
    return each.source if each.line is None else f"{each.source}:{each.line}"


def _reading(
    path: Path,
    read: list[Findings],
    unread: list[Unreadable],
    language: str,
    *,
    redact: bool,
) -> Reading:
    cast = cast_of(read)
    counts: Counter[str] = Counter()
    shown = _shown_names([*(e.name for e in read), *(u.source for u in unread)], cast, redact)
    records: list[Record] = []
    files: list[FileRead] = []
    digest = _digest(read)
    for each in read:
        before = len(records)
        records += _records(each, shown[each.name], cast, counts if redact else None)
        files.append(_file_read(each, shown[each.name], records[before:]))
        # What was found is not needed beside the records made of it.
        each.said.clear()
    spoken = (record.text for record in records if record.kind == "speech")
    return Reading(
        path=str(path),
        digest=digest,
        size_bytes=sum(each.size_bytes for each in files),
        files=tuple(files),
        unreadable=tuple(Unreadable(shown[u.source], u.reason, u.line) for u in unread),
        records=tuple(records),
        language=detect(spoken) if language == "auto" else language,
        redactions={kind: counts[kind] for kind in ("email", "phone", "name")},
    )


def _records(
    findings: Findings, shown: str, cast: Cast, counts: Counter[str] | None
) -> Iterator[Record]:
    used: Counter[str] = Counter()
    questions: dict[str, str] = {}
    for said in findings.said:
        who = cast.pseudonym(findings.name, said)
        text, question, locator = said.text, said.question, said.locator
        if counts is not None:
            text = cast.redacted(text, findings.name, who, counts)
            if question is not None:
                if question not in questions:
                    questions[question] = cast.redacted(question, findings.name, "", counts)
                if questions[question] != question:
                    locator = locator.replace(question, questions[question])
                question = questions[question]
        used[locator] += 1
        if used[locator] > 1:
            locator = f"{locator} ({used[locator]})"
        if text and not (said.kind == "fact" and text in ("[email]", "[phone]", "[name]")):
            yield Record(f"{shown}#{locator}", who, shown, locator, text, question, said.kind)


def _file_read(findings: Findings, shown: str, records: list[Record]) -> FileRead:
    layout, file = findings.layout, findings.text_file()
    return FileRead(
        source=shown,
        format=findings.format,
        size_bytes=file.size_bytes,
        records=sum(record.kind == "speech" for record in records),
        participants=len({record.participant for record in records}),
        encoding=file.encoding,
        delimiter=layout.delimiter if layout else None,
        text_columns=layout.text_columns if layout else (),
        participant_column=layout.participant_column if layout else None,
        notes=tuple(findings.notes),
    )


def _digest(read: list[Findings]) -> str:
    digest = hashlib.sha256()
    for each in sorted(read, key=lambda findings: findings.name):
        name = each.name.encode()
        digest.update(len(name).to_bytes(8, "big") + name + each.text_file().digest)
    return f"sha256:{digest.hexdigest()}"


def _shown_names(names: list[str], cast: Cast, redact: bool) -> dict[str, str]:
    """What each file is called in records: names of people in it replaced, none twice.

    `anna-schmidt.vtt` becomes `P03.vtt`; where that is another file's name, `P03-2.vtt`.
    """
    shown: dict[str, str] = {}
    taken = set(names)
    for name in dict.fromkeys(names):
        wanted = unicodedata.normalize("NFC", cast.without_names(name) if redact else name)
        path, number = PurePosixPath(wanted), 1
        while wanted != name and wanted in taken:
            number += 1
            wanted = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        shown[name] = wanted
        taken.add(wanted)
    return shown
