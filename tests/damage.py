"""Good personas, and ways to damage one of which it is known what has become worse.

The words of the damages were written without looking at the tables that the metrics have.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace
from persona.generation.invented_names import invented_name, words_of
from persona.generation.model import Draft, Segment
from persona.generation.plan import Wanted, make_plan
from persona.generation.providers.local import write
from persona.generation.quality import Scores, score_persona
from persona.generation.quality.crowd import Crowd

EXAMPLES = Path(__file__).parent.parent / "examples"
BATCHES = ((6, 1), (10, 2), (16, 3), (24, 4))
"""How many personas, and by which seed."""


class Case(Struct, frozen=True):
    """A persona of a batch, its source, and the others of its batch."""

    at: int
    draft: Draft
    segment: Segment
    others: tuple[Draft, ...]
    elsewhere: Segment
    """What another persona of the batch was made from."""

    def score(self, draft: Draft | None = None, *beside: Draft) -> Scores:
        crowd = Crowd()
        for at, other in enumerate((*self.others, *beside)):
            crowd.join(at, other)
        scored = self.draft if draft is None else draft
        return score_persona(scored, self.segment, crowd.join(None, scored))


Damage = Callable[[Case, Random], Draft]


@cache
def cases() -> tuple[Case, ...]:
    """What `local` makes of the examples."""
    return tuple(case for count, seed in BATCHES for case in _batch(count, seed))


def _batch(count: int, seed: int) -> Iterator[Case]:
    plan = make_plan(Wanted(path=EXAMPLES, count=count, seed=seed))
    taken = frozenset[str]().union(*map(words_of, plan.segments))
    drafts = [
        write(segment, invented_name("en", seed, at, taken), "en")
        for at, segment in enumerate(plan.segments, 1)
    ]
    for at, (draft, segment) in enumerate(zip(drafts, plan.segments, strict=True)):
        others = (*drafts[:at], *drafts[at + 1 :])
        yield Case(at, draft, segment, others, plan.segments[(at + 1) % len(drafts)])


FABRICATED = (
    "I would never go back to the old way of doing it, not for all the money in the world.",
    "My sister laughs at me, but I keep every single receipt in a shoebox under the bed.",
    "They promised me a call on Thursday and I sat there until it was dark.",
    "If I had known how easy it was, I would have done it years ago.",
    "I told the man at the desk that my dog could run this place better.",
    "Some mornings I just look at the queue, turn round and go home again.",
    "You get used to it after a while, like a stone in your shoe.",
    "I have a drawer full of cards and not one of them works where I need it.",
)


def fabricated_quote(case: Case, rng: Random) -> Draft:
    """One quote that nobody said in the place of one that somebody did."""
    draft = case.draft
    at = rng.randrange(len(draft.quotes))
    quotes = [*draft.quotes]
    quotes[at] = rng.choice(FABRICATED)
    return replace(draft, quotes=quotes)


def dropped_field(case: Case, rng: Random) -> Draft:
    """Nothing in a field where there was something."""
    fields = ("goals", "pain_points", "behaviours", "motivations", "quotes", "summary")
    field = rng.choice([field for field in fields if getattr(case.draft, field)])
    nothing: str | list[str] = "" if field == "summary" else []
    kept = [item for item in case.draft.evidence if not item.field.startswith(f"{field}[")]
    return replace(case.draft, **{field: nothing}, evidence=kept)


def contradicting_age(case: Case, rng: Random) -> Draft:
    """An age that does not go with what else is said."""
    draft = case.draft
    job = draft.occupation or "Bookkeeper"
    match rng.randrange(4):
        case 0:
            return replace(draft, age=str(rng.randint(4, 11)), occupation=job)
        case 1:
            return replace(draft, age="19", occupation=f"Retired {job[0].lower()}{job[1:]}")
        case 2:
            return replace(draft, age="82", occupation="High school student")
        case _:
            first, _, rest = draft.summary.partition(". ")
            stated = f"{first}. Aged 71, they have seen much. {rest}".rstrip()
            return replace(draft, age="29", summary=stated)


SOUP = (
    "A forward-looking professional on a mission to maximise value through seamless, innovative "
    "and user-centric solutions, always striving for excellence in a rapidly evolving landscape.",
    "Passionate about leveraging cutting-edge technology to streamline workflows, unlock synergies "
    "and empower stakeholders to achieve their full potential.",
    "A dynamic, tech-savvy changemaker who thrives on holistic strategies, robust ecosystems and "
    "data-driven insights that deliver world-class experiences at scale.",
    "Embraces a growth mindset, champions best-in-class innovation and seeks frictionless, "
    "personalised journeys that elevate everyday moments into transformative outcomes.",
)
DRIVES = (
    "Driven by a passion for excellence and meaningful, scalable impact",
    "Empowering communities through innovative and sustainable solutions",
    "Unlocking new opportunities in a fast-paced digital world",
    "Seeking holistic work-life balance and seamless experiences",
)


def buzzword_soup(case: Case, rng: Random) -> Draft:
    """A summary out of a brochure, and one of the motivations."""
    first, _, _ = case.draft.summary.partition(". ")
    motivations = [*case.draft.motivations]
    motivations[:1] = [rng.choice(DRIVES)] if motivations else []
    return replace(case.draft, summary=f"{first}. {rng.choice(SOUP)}", motivations=motivations)


_REWORDED = {
    "always": "every time", "annoying": "a nuisance", "app": "application", "because": "since",
    "big": "large", "buy": "purchase", "can't": "are unable to", "cannot": "are unable to",
    "cheap": "inexpensive", "children": "kids", "couldn't": "were unable to", "don't": "do not",
    "doesn't": "does not", "each": "every", "get": "obtain", "getting": "obtaining",
    "go": "travel", "going": "travelling", "hate": "detest", "have": "have got",
    "home": "the house", "just": "simply", "kids": "children", "know": "find out",
    "late": "behind time", "like": "enjoy", "love": "adore", "make": "cause",
    "miss": "fail to catch", "missed": "failed to catch", "money": "cash", "need": "require",
    "never": "not ever", "nobody": "not a soul", "old": "ancient", "only": "merely",
    "people": "folk", "quick": "fast", "really": "truly", "said": "stated", "show": "display",
    "small": "little", "stop": "halt", "tell": "inform", "told": "informed", "use": "make use of",
    "want": "would like", "want to": "would like to", "when": "whenever", "wrong": "mistaken",
}  # fmt: skip
_WORD = re.compile(r"[\w'’]+")
_CLAUSE = re.compile(r"(?:;|,| –| and| but| so| because)\s+")


def _reworded(text: str) -> str:
    """Other small words, and the second half first where there are two."""
    plain = _WORD.sub(lambda word: _REWORDED.get(word[0].lower(), word[0]), text.rstrip("."))
    cut = _CLAUSE.search(plain)
    if cut and cut.start() > 12:
        plain = f"{plain[cut.end() :]}, {plain[: cut.start()]}"
    return f"{plain[:1].upper()}{plain[1:]}."


def _shuffled(texts: Sequence[str], rng: Random) -> list[str]:
    return rng.sample(list(texts), len(texts))


def paraphrased_twin(case: Case, rng: Random) -> Draft:
    """The same person under another name, in other words and in another order."""
    draft = case.draft
    name = f"{rng.choice(('Mina', 'Tomas', 'Iva', 'Rui'))} {rng.choice(('Araki', 'Dahl', 'Silva'))}"
    return replace(
        draft,
        name=name,
        age=None,
        summary=_reworded(draft.summary.replace(draft.name, name)),
        goals=[_reworded(text) for text in _shuffled(draft.goals, rng)],
        pain_points=[_reworded(text) for text in _shuffled(draft.pain_points, rng)],
        behaviours=[_reworded(text) for text in _shuffled(draft.behaviours, rng)],
        motivations=[_reworded(text) for text in _shuffled(draft.motivations, rng)],
        quotes=_shuffled(draft.quotes, rng),
    )
