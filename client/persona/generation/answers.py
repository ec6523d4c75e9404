"""A kept response → the draft in it, or why there is none."""

from persona.generation.cleaning import clean_draft, clean_line
from persona.generation.language import UNSURE, detect, languages
from persona.generation.model import Draft
from persona.generation.providers.base import InvalidOutput, Provider, ProviderError
from persona.generation.responses import Saved

_CHARACTERS_LEAST = 120
"""Of less text nobody says for sure which language it is in."""


def read_draft(provider: Provider, saved: Saved, *, language: str | None) -> Draft:
    """The draft that a response holds, cleaned; written in `language`, where one is named.

    Raises:
        InvalidOutput: it holds none, or one in another language.
        ProviderError: `content_refused`: the model says that it will not.
    """
    if saved.ending == "refused":
        words = clean_line(saved.body.decode("utf-8", "replace"), 200)
        raise ProviderError("content_refused", f"the model refused: {words or 'without a word'}")
    try:
        draft = clean_draft(provider.parse(saved.body))
    except InvalidOutput as error:
        if saved.ending != "cut":
            raise
        size = saved.usage.output_tokens
        raise InvalidOutput(f"the answer was cut off after {size:,} tokens: {error}") from None
    if not draft.name:
        raise InvalidOutput("the answer has no name: there is nothing readable in `$.name`")
    other = _other_language(draft, language)
    if other is not None:
        raise InvalidOutput(f"the answer is written in `{other}` instead of `{language}`")
    return draft


def _other_language(draft: Draft, language: str | None) -> str | None:
    """The language that the draft's own words are in, where it is surely another one.

    Quotes stay in the language they were said in.
    """
    wanted = (language or "").partition("-")[0].casefold()
    claims = [draft.summary, *draft.goals, *draft.pain_points]
    claims += [*draft.behaviours, *draft.motivations]
    if wanted not in languages() or sum(map(len, claims)) < _CHARACTERS_LEAST:
        return None
    found = detect(claims)
    return None if found in (wanted, UNSURE) else found
