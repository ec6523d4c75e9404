"""Which ending is read how. A new format is a reader in its own file and a line here."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from persona.generation.reading.cues import read_cues
from persona.generation.reading.decoding import TextFile
from persona.generation.reading.delimited import read_csv, read_tsv
from persona.generation.reading.found import Found, Wishes
from persona.generation.reading.markup import read_html
from persona.generation.reading.prose import read_markdown, read_text
from persona.generation.reading.structured import read_json, read_jsonl, read_yaml


class Format(Struct, frozen=True):
    name: str
    read: Callable[[TextFile, Wishes], Iterator[Found]]
    streams: bool
    """Read line by line, so that the larger limit holds."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".csv": Format("csv", read_csv, streams=True),
        ".tsv": Format("tsv", read_tsv, streams=True),
        ".json": Format("json", read_json, streams=False),
        ".jsonl": Format("jsonl", read_jsonl, streams=True),
        ".md": Format("md", read_markdown, streams=True),
        ".txt": Format("txt", read_text, streams=True),
        ".yaml": Format("yaml", read_yaml, streams=False),
        ".yml": Format("yaml", read_yaml, streams=False),
        ".html": Format("html", read_html, streams=False),
        ".htm": Format("html", read_html, streams=False),
        ".vtt": Format("vtt", read_cues, streams=True),
        ".srt": Format("srt", read_cues, streams=True),
    }
)
