"""What a model returns is hostile until it has passed through here.

It may try to drive the terminal (ANSI sequences), to look like something else (bidirectional
overrides, invisible characters), to reach another file (a name with `/` or `..`) or to be too long.
"""

import re
import unicodedata
from collections.abc import Sequence

from msgspec import structs

from persona.generation.model import Draft, Evidence

SLUG_LENGTH = 48
LINE_LENGTH = 200
"""The longest name, age, occupation or place, in characters."""

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles
    r"|\x1b[ -/]*[0-~]"
)
_LINE_END = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f"
    "\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides, isolates
    "\u00ad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb"  # no width, nothing to see
    "\ud800-\udfff\U000e0000-\U000e007f]"  # half characters; invisible copies of ASCII
)
_SUSPECT = re.compile(f"{_UNSEEN.pattern[:-1]}\r\v\f\u2028\u2029]")
"""What any of the three above begins with: nearly every text has none, and is spared them."""
_LATIN = re.compile(r"LATIN (?:SMALL|CAPITAL) (?:LETTER|LIGATURE) ([A-Z]{1,2})(?: WITH .*)?")
_OTHER_LATIN = {"þ": "th", "ð": "d", "ı": "i", "ŋ": "n", "ə": "e"}
_NO_SLUG = re.compile(r"[^a-z0-9]+")
_CLAIM = re.compile(r"(?P<field>[a-z_]+)\[(?P<index>[0-9]{1,9})\]")
_LISTS = ("goals", "pain_points", "behaviours", "motivations", "quotes")


def slug(name: str) -> str:
    """`name` as a part of a file's name: 1 to 48 characters of `[a-z0-9-]`.

    Latin letters lose their accents (`Zoë Łukasz-Größe` → `zoe-lukasz-grosse`); where no letter or
    digit is left (another script), it is `persona`.
    """
    letters = unicodedata.normalize("NFKD", clean_text(name[:LINE_LENGTH]).casefold())
    plain = "".join(_plain(letter) for letter in letters)
    whole = _NO_SLUG.sub("-", plain).strip("-")
    if len(whole) > SLUG_LENGTH:
        cut, _, _ = whole[: SLUG_LENGTH + 1].rpartition("-")
        whole = cut or whole[:SLUG_LENGTH]
    return whole or "persona"


def clean_text(text: str) -> str:
    """`text` without terminal sequences, control characters (but newline and tab), invisible and
    direction-overriding characters; every kind of line end is a newline."""
    if not _SUSPECT.search(text):
        return text
    without_sequences = _SEQUENCE.sub("", text)
    return _UNSEEN.sub("", _LINE_END.sub("\n", without_sequences))


def clean_line(text: str, limit: int | None = None) -> str:
    """`text` cleaned, on one line, single-spaced, cut at `limit` characters with an ellipsis."""
    line = " ".join(clean_text(text).split())
    if limit is None or len(line) <= limit:
        return line
    return line[: limit - 1].rstrip() + "…"


def clean_draft(draft: Draft) -> Draft:
    """`draft` with every text cleaned, empty facts as None and empty items left out.

    Evidence for an item moves with it, and goes where the item went. Quotes keep their words as
    they are, so that they still stand in the source.
    """
    lists = {field: _items(getattr(draft, field)) for field in _LISTS}
    return Draft(
        name=clean_line(draft.name, LINE_LENGTH),
        age=_fact(draft.age),
        occupation=_fact(draft.occupation),
        location=_fact(draft.location),
        summary=clean_text(draft.summary).strip(),
        goals=[text for _, text in lists["goals"]],
        pain_points=[text for _, text in lists["pain_points"]],
        behaviours=[text for _, text in lists["behaviours"]],
        motivations=[text for _, text in lists["motivations"]],
        quotes=[text for _, text in lists["quotes"]],
        evidence=[
            kept
            for item in draft.evidence
            if (kept := _evidence(item, {field: [i for i, _ in lists[field]] for field in _LISTS}))
        ],
    )


def _items(items: Sequence[str]) -> list[tuple[int, str]]:
    """The items that say something, each with its old index."""
    return [(i, text) for i, item in enumerate(items) if (text := clean_line(item))]


def _evidence(item: Evidence, kept: dict[str, list[int]]) -> Evidence | None:
    """`item` cleaned and pointing to where its claim now is; None without claim or quote."""
    field = clean_line(item.field, LINE_LENGTH)
    quote = clean_line(item.quote)
    claim = _CLAIM.fullmatch(field)
    if claim and claim["field"] in kept:
        old = int(claim["index"])
        if old not in kept[claim["field"]]:
            return None
        field = f"{claim['field']}[{kept[claim['field']].index(old)}]"
    if not quote:
        return None
    return structs.replace(
        item,
        field=field,
        source=clean_line(item.source),
        locator=clean_line(item.locator),
        quote=quote,
    )


def _fact(text: str | None) -> str | None:
    return clean_line(text, LINE_LENGTH) or None if text else None


def _plain(letter: str) -> str:
    """A letter without its stroke, hook or ligature, as far as its Unicode name tells."""
    if letter.isascii() or letter in _OTHER_LATIN:
        return _OTHER_LATIN.get(letter, letter)
    if unicodedata.combining(letter):
        return ""
    latin = _LATIN.fullmatch(unicodedata.name(letter, ""))
    return latin[1].lower() if latin else "-"
