"""From bytes to lines: size limits, binary files, encodings.

A file is first looked through once in chunks (digest, encoding, is it text), then read as lines;
neither holds more than a chunk or a line.
"""

import codecs
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from persona.generation.reading.found import ReadProblem

MAX_FILE_BYTES = 64 * 1024 * 1024
"""The largest file of a format that must be held in memory as a whole (JSON, YAML, HTML)."""
MAX_STREAMED_BYTES = 256 * 1024 * 1024
"""The largest file of a format that is read line by line."""
MAX_LINE_CHARACTERS = 1024 * 1024

_CHUNK_BYTES = 1024 * 1024
_BOMS = (
    # UTF-32's little-endian mark begins with UTF-16's: the longer one first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"%PDF", "a PDF document; export its text first"),
    (b"PK\x03\x04", "a zip archive, as Word and Excel files are; export it as text or CSV first"),
    (b"\xd0\xcf\x11\xe0", "an old Word or Excel document; export it as text or CSV first"),
    (b"{\\rtf", "an RTF document; save it as plain text first"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ID3", "an audio file; transcribe it first"),
    (b"RIFF", "an audio or video file; transcribe it first"),
)
_BINARY_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_BINARY_SHARE = 0.01
_NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_HIGH = re.compile(rb"[\x80-\xff]")


class TextFile(Struct, frozen=True):
    """A file that has been found to be text."""

    path: Path
    encoding: str
    size_bytes: int
    digest: bytes
    """SHA-256 of the bytes."""

    def lines(self) -> Iterator[str]:
        """The lines with their ends, `\\r\\n` and `\\r` included. Raises ReadProblem."""
        with _open(self.path) as raw, _decoded(raw, self.encoding, newline="") as text:
            number = 0
            while line := text.readline(MAX_LINE_CHARACTERS):
                number += 1
                if len(line) >= MAX_LINE_CHARACTERS and not line.endswith(("\n", "\r")):
                    raise ReadProblem(
                        f"the line is longer than {MAX_LINE_CHARACTERS:,} characters; "
                        "break it into lines",
                        number,
                    )
                yield line

    def text(self) -> str:
        """The whole text with `\\n` as the end of a line; at most MAX_FILE_BYTES of it."""
        with _open(self.path) as raw, _decoded(raw, self.encoding, newline=None) as text:
            return text.read()


def _decoded(raw: io.BufferedReader, encoding: str, newline: str | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline=newline)


def inspect(path: Path, *, streams: bool) -> TextFile:
    """Make sure that a file is text of a bearable size. Raises ReadProblem, and never blocks."""
    limit = MAX_STREAMED_BYTES if streams else MAX_FILE_BYTES
    with _open(path) as raw:
        size = os.fstat(raw.fileno()).st_size
        if size > limit:
            raise ReadProblem(
                f"the file is larger than {limit // 1024 // 1024} MiB "
                f"({size / 1024 / 1024:.0f} MiB); split it into smaller files"
            )
        if size == 0:
            raise ReadProblem("the file is empty")
        head = raw.read(16)
        raw.seek(0)
        encoding = next((name for mark, name in _BOMS if head.startswith(mark)), None)
        _refuse_known_binary(head)
        digest, bad_line = _look_through(raw, encoding)
        if encoding is None:
            encoding = "utf-8" if bad_line is None else _other_encoding(raw, bad_line)
        elif bad_line is not None:
            raise ReadProblem(f"begins like {encoding.upper()} but isn't", bad_line)
    return TextFile(path, encoding, size, digest)


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedReader]:
    try:
        # A FIFO without a writer would otherwise block at opening.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ReadProblem(f"it can't be opened: {error.strerror}") from error
    with open(descriptor, "rb") as raw:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ReadProblem(f"{_kind(mode)}, not a file")
        try:
            yield raw
        except OSError as error:
            raise ReadProblem(f"it can't be read: {error.strerror}") from error


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def _refuse_known_binary(head: bytes) -> None:
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise ReadProblem(f"a binary file: {what}")


def _look_through(raw: io.BufferedReader, encoding: str | None) -> tuple[bytes, int | None]:
    """The digest, and the line of the first byte that is not of the encoding (UTF-8 if None)."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")("strict")
    wide = encoding is not None and not encoding.startswith("utf-8")
    lines_before, bad_line = 1, None
    while chunk := raw.read(_CHUNK_BYTES):
        digest.update(chunk)
        if not wide:
            _refuse_binary(chunk)
        if bad_line is None:
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                bad_line = lines_before + error.object[: error.start].count(b"\n")
            else:
                if wide and "\0" in text:
                    raise ReadProblem("a binary file: it holds zero characters")
                lines_before += text.count("\n")
    if bad_line is None:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            bad_line = lines_before
    return digest.digest(), bad_line


def _refuse_binary(chunk: bytes) -> None:
    if b"\0" in chunk:
        raise ReadProblem(
            "a binary file: it holds zero bytes (if it is UTF-16 text, save it as UTF-8)"
        )
    if len(_BINARY_CONTROLS.findall(chunk)) > max(4, _BINARY_SHARE * len(chunk)):
        raise ReadProblem("a binary file: it holds many control characters")


def _other_encoding(raw: io.BufferedReader, bad_line: int) -> str:
    """Windows-1252 where it can be; a damaged UTF-8 file isn't turned into garbage by it."""
    raw.seek(0)
    sequences = strays = impossible = 0
    while chunk := raw.read(_CHUNK_BYTES):
        rest, found = _UTF8_SEQUENCE.subn(b"", chunk)
        sequences += found
        strays += len(_HIGH.findall(rest))
        impossible += len(_NOT_CP1252.findall(chunk))
    if sequences > strays:
        raise ReadProblem("damaged UTF-8; save the file as UTF-8 again", bad_line)
    if impossible:
        raise ReadProblem(
            "the text is in neither UTF-8 nor UTF-16 nor Windows-1252; save it as UTF-8", bad_line
        )
    return "cp1252"
