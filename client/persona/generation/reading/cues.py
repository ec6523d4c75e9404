"""Subtitles: WebVTT and SubRip, with speakers as voice tags or `Name:` before the words.

Formats: https://www.w3.org/TR/webvtt1/ and the de facto SubRip form (`,` before milliseconds).
"""

import re
from collections.abc import Callable, Iterator
from html import unescape

from msgspec import Struct

from persona.generation.reading.decoding import TextFile
from persona.generation.reading.dialogue import Turn, cast, converse
from persona.generation.reading.found import Broken, Found, Wishes, clean
from persona.generation.reading.prose import split_label

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMING = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)*[ \t]+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^}]*\}")
_NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION", "X-TIMESTAMP")
_SENTENCE_END = tuple('.?!…。？！"”»')
_MAX_JOINED_CHARACTERS = 600


class _Block(Struct, frozen=True):
    line: int
    lines: tuple[str, ...]


def read_cues(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.vtt` or `.srt` file. Streams: read twice, held one sentence at a time.

    A sentence that runs over several cues of one speaker becomes one record, at its first cue.
    """
    for block in _blocks(file.lines()):
        if problem := _problem(block):
            yield problem

    def turns() -> Iterator[Turn]:
        return _joined(_turns(file.lines))

    labelled = any(_VOICE.search(line) for block in _blocks(file.lines()) for line in block.lines)
    known = cast(turns(), trusted=labelled)
    if not known.speakers and not labelled:
        yield from converse(_joined(_turns(file.lines, split=False)), known)
        return
    yield from converse(turns(), known)


def _blocks(lines: Iterator[str]) -> Iterator[_Block]:
    start, block = 1, list[str]()
    for number, raw in enumerate(lines, 1):
        line = raw.strip().lstrip("\ufeff")
        if not line:
            if block:
                yield _Block(start, tuple(block))
            block = []
        else:
            start = start if block else number
            block.append(line)
    if block:
        yield _Block(start, tuple(block))


def _timing_at(block: _Block) -> int | None:
    """Which of the block's first two lines holds the times."""
    return next((at for at, line in enumerate(block.lines[:2]) if _TIMING.match(line)), None)


def _problem(block: _Block) -> Broken | None:
    if _timing_at(block) is not None or block.lines[0].startswith(_NOT_CUES):
        return None
    if any("-->" in line for line in block.lines[:2]):
        return Broken("the cue's times can't be understood", block.line)
    if block.lines[0].isdigit() and len(block.lines) == 1:
        return None
    return Broken("words without the times of a cue before them", block.line)


def _turns(lines: Callable[[], Iterator[str]], *, split: bool = True) -> Iterator[Turn]:
    for block in _blocks(lines()):
        at = _timing_at(block)
        if at is None or block.lines[0].startswith("NOTE"):
            continue
        locator = f"cue {_clock(block.lines[at])}"
        label: str | None = None
        text = ""
        for line in block.lines[at + 1 :]:
            for voice, words in _voices(line):
                prefix = split_label(words) if split and voice is None else None
                voice, words = prefix or (voice, words)
                if voice is not None and (voice != label or prefix):
                    if text:
                        yield Turn(locator, text, label)
                    label, text = voice, words
                else:
                    text = f"{text} {words}".strip()
        if text:
            yield Turn(locator, text, label)


def _voices(line: str) -> Iterator[tuple[str | None, str]]:
    """The line's parts with who says each; None goes on with the last."""
    parts = _VOICE.split(line)
    if before := _words(parts[0]):
        yield None, before
    for voice, words in zip(parts[1::2], parts[2::2], strict=True):
        yield clean(unescape(voice)), _words(words)


def _words(text: str) -> str:
    return clean(unescape(_TAG.sub("", text)))


def _joined(turns: Iterator[Turn]) -> Iterator[Turn]:
    held: Turn | None = None
    for turn in turns:
        same = held is not None and turn.label in (None, held.label)
        if (
            held is not None
            and same
            and not held.text.endswith(_SENTENCE_END)
            and len(held.text) + len(turn.text) < _MAX_JOINED_CHARACTERS
        ):
            held = Turn(held.locator, f"{held.text} {turn.text}", held.label)
            continue
        if held is not None:
            yield held
        held = turn
    if held is not None:
        yield held


def _clock(line: str) -> str:
    found = _TIMING.match(line)
    hours, minutes, seconds, fraction = (found.groups() if found else ("", "0", "0", "0"))[:4]
    return f"{int(hours or 0):02d}:{int(minutes):02d}:{int(seconds):02d}.{fraction.ljust(3, '0')}"
