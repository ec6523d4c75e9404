"""How much of a persona the source bears out: its quotes, its evidence and its claims.

Quotes are held against the source as it was after redaction, verbatim: a quote may stand anywhere
in its segment's records; evidence has to stand in the record at its locator. White space,
typographic quotation marks and dashes make no difference, nor do quotation marks around a quote;
capital letters and punctuation do. A claim (goal, pain point or behaviour) is borne out as far as
the nearest passage is like it, by half where it has a number or a name that the source has not.
"""

import math
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import structs

from persona.generation.cleaning import clean_line, clean_text
from persona.generation.model import Draft, Evidence, Record, Segment
from persona.generation.quality.claims import borne_out
from persona.generation.quality.metric import NotMeasurable, Score, Scored, Settings

name = "faithfulness"

NO_QUOTES = "no quotes: nothing of it can be found in the source"
SHOWN_LENGTH = 80
INDEXES_KEPT = 8

Places = dict[tuple[str, str], str]
"""(source, locator) → the text there, as `normalised`; texts of one place with `_BETWEEN`."""

_BETWEEN = "\x00"
_MARKS = '"' + "'"
_FOLDED = (
    dict.fromkeys("“”„‟«»″〝〞", '"')
    | dict.fromkeys("‘’‚‛‹›′`´", "'")
    | dict.fromkeys("‐‑‒–—―−", "-")
    | {"…": "..."}
)
_FOLDABLE = re.compile(f"[{''.join(_FOLDED)}]")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x9FFF),  # ideographs, kana
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_indexes: OrderedDict[str, tuple[tuple[Record, ...], Places]] = OrderedDict()
_indexes_lock = threading.Lock()


def score(persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings) -> Score:
    """The share of verbatim quotes × the mean of how far evidence and claims are borne out.

    They are multiplied because who makes up quotes is not to be believed in the rest. What there is
    none of is left out; 0 where there is nothing at all. `parts` has all three.
    """
    if not segment.records:
        raise NotMeasurable("there is no source to hold it against")
    places = _places(segment)
    first: dict[str, int] = {}
    for at, quote in enumerate(persona.quotes):
        first.setdefault(quote, at)
    quotes = [
        (f"quotes[{at}]", quote, "in the source", _stands(quote, places))
        for quote, at in first.items()
    ]
    evidence = [
        (
            f"evidence for {item.field}",
            item.quote,
            f"at {item.source}, {item.locator}",
            _stands_at(item, places),
        )
        for item in dict.fromkeys(persona.evidence)
    ]
    claims, note = borne_out(persona, segment)
    parts = {
        name: math.fsum(shares) / len(shares)
        for name, shares in (
            ("quotes", [float(stands) for *_, stands in quotes]),
            ("evidence", [float(stands) for *_, stands in evidence]),
            ("claims", [each.support for each in claims]),
        )
        if shares
    }
    if not parts:
        return Score(value=0.0, unsupported=[NO_QUOTES])
    rest = [share for name, share in parts.items() if name != "quotes"]
    return Score(
        value=parts.get("quotes", 1.0) * (math.fsum(rest) / len(rest) if rest else 1.0),
        parts=parts,
        unsupported=[
            f"{claim}: “{clean_line(quote, SHOWN_LENGTH)}” is not {where}"
            for claim, quote, where, stands in quotes + evidence
            if not stands
        ]
        + [
            f"{each.field}: “{clean_line(each.text, SHOWN_LENGTH)}” {each.lacks}"
            for each in claims
            if each.lacks
        ],
        notes=[note] if note else [],
    )


def without_invented(draft: Draft, segment: Segment) -> Draft:
    """`draft` without quotes that nobody said and evidence that is not where it should be.

    Evidence for a quote moves with it, and goes where the quote went.
    """
    places = _places(segment)
    kept = [at for at, quote in enumerate(draft.quotes) if _stands(quote, places)]
    moved = {f"quotes[{old}]": f"quotes[{new}]" for new, old in enumerate(kept)}
    return structs.replace(
        draft,
        quotes=[draft.quotes[at] for at in kept],
        evidence=[
            structs.replace(item, field=moved.get(item.field, item.field))
            for item in draft.evidence
            if _stands_at(item, places)
            and (item.field in moved or not item.field.startswith("quotes["))
        ],
    )


def normalised(text: str) -> str:
    """`text` composed (NFC), with plain quotation marks and dashes and single spaces."""
    if text.isascii() and text.isprintable() and "`" not in text:
        # As most records are: nothing in it could be cleaned, composed or folded.
        return " ".join(text.split())
    composed = unicodedata.normalize("NFC", clean_text(text))
    folded = _FOLDABLE.sub(lambda mark: _FOLDED[mark[0]], composed)
    return " ".join(folded.split())


def _stands_at(item: Evidence, places: Places) -> bool:
    place = (item.source, item.locator)
    return place in places and _stands(item.quote, {place: places[place]})


def _stands(quote: str, places: Places) -> bool:
    """Whether `quote`, with or without marks around it, stands in a text as whole words."""
    plain = normalised(quote)
    bare = plain.strip(_MARKS + " ")
    return any(map(str.isalnum, bare)) and any(
        _contains(text, words) for words in dict.fromkeys((plain, bare)) for text in places.values()
    )


def _contains(text: str, quote: str) -> bool:
    start = text.find(quote)
    while start >= 0:
        end = start + len(quote)
        cut_before = start > 0 and _one_word(text[start - 1], quote[0])
        cut_after = end < len(text) and _one_word(quote[-1], text[end])
        if not (cut_before or cut_after):
            return True
        start = text.find(quote, start + 1)
    return False


def _one_word(left: str, right: str) -> bool:
    """Whether between the two no word ends. Scripts without spaces may be cut anywhere."""
    return all(letter.isalnum() and not _is_unspaced(letter) for letter in (left, right))


def _is_unspaced(letter: str) -> bool:
    return any(first <= ord(letter) <= last for first, last in _UNSPACED)


def _places(segment: Segment) -> Places:
    """The segment's index, made once a segment; the last few are kept."""
    with _indexes_lock:
        records, known = _indexes.get(segment.digest, (None, {}))
        if records == segment.records:
            _indexes.move_to_end(segment.digest)
            return known
    places: Places = {}
    for record in segment.records:
        place = (record.source, record.locator)
        text = normalised(record.text)
        places[place] = f"{places[place]}{_BETWEEN}{text}" if place in places else text
    with _indexes_lock:
        _indexes[segment.digest] = (segment.records, places)
        while len(_indexes) > INDEXES_KEPT:
            _indexes.popitem(last=False)
    return places
