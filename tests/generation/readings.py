"""Reading one file that a test writes, and what of a reading a test looks at."""

from pathlib import Path

from persona.generation.model import Reading
from persona.generation.sources import read_sources


def read(tmp_path: Path, name: str, content: str | bytes, **wishes: object) -> Reading:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_sources(path, redact=False, **wishes)  # type: ignore[arg-type]


def said(reading: Reading) -> list[tuple[str, str, str | None, str]]:
    return [
        (r.participant, r.locator, r.question, r.text)
        for r in reading.records
        if r.kind == "speech"
    ]


def facts(reading: Reading) -> list[tuple[str, str | None, str]]:
    return [(r.participant, r.question, r.text) for r in reading.records if r.kind == "fact"]


def broken(reading: Reading) -> list[tuple[int | None, str]]:
    return [(each.line, each.reason) for each in reading.unreadable]
