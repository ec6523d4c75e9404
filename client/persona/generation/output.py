"""What lands in the output folder: each file whole or not at all, and one batch a folder.

personas/NN-name.json   the document of one persona
personas/NN-name.md     the same as a page
index.md                the table of them
batch.json              settings, versions, digests, costs
.batch                  whose folder it is
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.files import LEFTOVER, sync_folder, write_whole
from persona.generation.cleaning import clean_draft, clean_text, slug
from persona.generation.model import Persona
from persona.generation.pages import index_markdown, persona_markdown
from persona.generation.reading.files import MARKER

__all__ = [
    "BatchCosts",
    "BatchFile",
    "BatchSettings",
    "LeftOut",
    "OutputError",
    "Papers",
    "clean_draft",
    "clean_text",
    "give_back",
    "missing_folders",
    "papers_of",
    "persona_json",
    "persona_markdown",
    "prepare_folder",
    "slug",
    "usd",
    "write_batch",
    "write_index",
    "write_papers",
    "written_personas",
]

PERSONAS = "personas"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_JSON = msgspec.json.Encoder(decimal_format="number", order="deterministic")


class OutputError(Exception):
    """The output folder can't be used: `message` says why, `hint` what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BatchSettings(Struct, frozen=True, kw_only=True):
    """How the batch was asked for."""

    provider: str
    model: str
    total: int
    concurrency: int
    language: str
    redact: bool
    source: str
    """The file or folder that was read, as an absolute path."""
    base_url: str | None = None
    experiment: str | None = None
    seed: int | None = None
    text_columns: tuple[str, ...] = ()
    participant_column: str | None = None


class BatchCosts(Struct, frozen=True, kw_only=True):
    """What the batch used, over all calls, as far as it is known."""

    cost_usd: Decimal | None
    """None where a call has no known price; see `usd`."""
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class LeftOut(Struct, frozen=True, kw_only=True):
    """A metric that so many personas have no score of, for one reason."""

    metric: str
    reason: str
    personas: int


class BatchFile(Struct, frozen=True, kw_only=True):
    """The document `batch.json`."""

    batch: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    completed: int
    failed: int
    settings: BatchSettings
    versions: dict[str, str]
    """Of what the result depends on: `persona`, `scorer`, …"""
    digests: dict[str, str]
    """`sha256:…` of what went in and came out: `source`, `prompt`, …"""
    costs: BatchCosts
    left_out: list[LeftOut] = []
    """Of the personas that the last run made."""


def usd(cost_nanousd: int) -> Decimal:
    """Dollars, exactly and without trailing zeros: a JSON number of at most 9 decimals."""
    sign, whole = ("-" if cost_nanousd < 0 else ""), f"{abs(cost_nanousd):010d}"
    return Decimal(f"{sign}{whole[:-9]}.{whole[-9:]}".rstrip("0").rstrip("."))


def persona_json(persona: Persona) -> bytes:
    """The document of one persona: indented UTF-8 with a final newline; equal personas give equal
    bytes, whatever the order in which their metrics were measured."""
    return _document(persona)


class Papers(Struct, frozen=True, kw_only=True):
    """What lands in the folder for one persona."""

    document: Path
    data: bytes
    page: Path
    text: bytes


def papers_of(folder: Path, index: int, persona: Persona, *, total: int) -> Papers:
    """`personas/NN-name.json` and `.md`; NN has as many digits as `total`, at least 2."""
    stem = f"{folder}/{PERSONAS}/{_number(index, total)}-{slug(persona.name)}"
    return Papers(
        document=Path(f"{stem}.json"),
        data=persona_json(persona),
        page=Path(f"{stem}.md"),
        text=persona_markdown(persona).encode(),
    )


def write_papers(papers: Papers, *, is_first: bool = False, synced: bool = True) -> None:
    """Write the page, then the document, so that one that is there means that both are.

    Files of an earlier attempt with another name are removed, which none is looked for where this
    `is_first`. What is not `synced` is on the disk after `files.sync_all`. Raises OSError.
    """
    into = papers.document.parent
    try:
        write_whole(papers.page, papers.text, synced=synced)
    except FileNotFoundError:
        into.mkdir(parents=True, exist_ok=True)
        write_whole(papers.page, papers.text, synced=synced)
    write_whole(papers.document, papers.data, synced=synced)
    if is_first:
        return
    number = papers.document.name.partition("-")[0]
    # Not by `glob`, which takes ten times as long where a thousand others lie there.
    for name in os.listdir(into):
        is_ours = name.startswith(f"{number}-") and name.endswith((".json", ".md"))
        if is_ours and name not in (papers.document.name, papers.page.name):
            (into / name).unlink(missing_ok=True)


def written_personas(folder: Path, *, total: int) -> list[tuple[int, Persona]]:
    """The personas that stand in the folder, by index: what a resumed batch need not make again.
    Of two with one index (a crash between writing one and removing the other), the later.

    Raises OutputError for a damaged document, OSError where one can't be read.
    """
    found: dict[int, Persona] = {}
    digits = "[0-9]" * _width(total)
    documents = (folder / PERSONAS).glob(f"{digits}-*.json")
    for path in sorted(documents, key=lambda path: path.stat().st_mtime_ns):
        try:
            persona = msgspec.json.decode(path.read_bytes(), type=Persona)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OutputError(
                f"{path} is no persona document: {error}",
                "move it out of the folder and run again; the persona is made anew",
            ) from error
        found[int(path.name[: _width(total)])] = persona
    return sorted(found.items())


def write_index(
    folder: Path,
    personas: Sequence[tuple[int, Persona]],
    *,
    batch: str,
    total: int,
    notes: Sequence[str] = (),
) -> Path:
    """Write `index.md` over (index, persona) pairs, with `notes` below. Raises OSError."""
    rows = [
        (index, persona, f"{_number(index, total)}-{slug(persona.name)}")
        for index, persona in sorted(personas, key=lambda pair: pair[0])
    ]
    path = folder / "index.md"
    write_whole(path, index_markdown(rows, batch=batch, total=total, notes=notes).encode())
    return path


def write_batch(folder: Path, batch: BatchFile) -> Path:
    """Write `batch.json`. Raises OSError."""
    path = folder / "batch.json"
    write_whole(path, _document(batch))
    return path


def prepare_folder(folder: Path, batch: str) -> None:
    """Make `folder` if need be, and take it for `batch`; the same batch may enter again.

    Of two batches that want the same folder at the same time, one gets it. Hidden files that lie
    there don't matter. Raises OutputError where the folder can't be made or written to, is another
    batch's, or holds other files; OSError only for a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).exists():
            _refuse_others_files(folder)
        _take(folder, batch)
        (folder / PERSONAS).mkdir(exist_ok=True)
        for leftover in (*folder.glob(LEFTOVER), *(folder / PERSONAS).glob(LEFTOVER)):
            leftover.unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        if error.errno in _FULL:
            raise
        taken = isinstance(error, FileExistsError)
        reason = "is a file" if taken else f"can't be written to: {error.strerror}"
        raise OutputError(
            f"the output folder {folder} {reason}",
            "give another folder with --output, or make this one writable",
        ) from error


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and those above it that are not there, the lowest first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def give_back(folder: Path, batch: str, made: Sequence[Path]) -> None:
    """Undo `prepare_folder` for a batch that came to nothing; `made`: the folders it had to make,
    the lowest first. What somebody else has put into one stays. Raises OSError.
    """
    marker = folder / MARKER
    if not marker.exists() or marker.read_text().strip() != batch:
        return
    try:
        (folder / PERSONAS).rmdir()
        marker.unlink()
        for each in made:
            each.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _take(folder: Path, batch: str) -> None:
    """Write the batch's id into the marker, or see that it stands there.

    A lock is held from looking to writing; an empty marker is what a crash in between leaves, and
    belongs to nobody.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(folder / MARKER, flags, 0o644), "r+b") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        owner = clean_text(marker.read(200).decode(errors="replace")).strip()
        if owner == batch:
            return
        if owner:
            raise OutputError(
                f"the output folder {folder} belongs to another batch, {owner}",
                f"give another folder with --output, or go on with that batch: --resume {owner}",
            )
        _refuse_others_files(folder)
        marker.write(f"{batch}\n".encode())
        marker.flush()
        os.fsync(marker.fileno())


def _refuse_others_files(folder: Path) -> None:
    """A folder without an owner has to be empty: nothing of anybody's is ever written over."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if names:
        shown = ", ".join(map(clean_text, names[:3])) + (", …" if len(names) > 3 else "")
        raise OutputError(
            f"the output folder {folder} is not empty: {shown}",
            "give a new or an empty folder with --output",
        )


def _document(content: Persona | BatchFile) -> bytes:
    return msgspec.json.format(_JSON.encode(content), indent=2) + b"\n"


def _number(index: int, total: int) -> str:
    return f"{index:0{_width(total)}d}"


def _width(total: int) -> int:
    return max(2, len(str(total)))
