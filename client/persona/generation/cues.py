"""The turns of phrase by which people say what they want, suffer, do and care about.

One table a language, each a list of regular expressions; a language without a table is served by
relevance alone. Matching ignores case.
"""

import functools
import re
from typing import Literal

Field = Literal["goals", "pain_points", "behaviours", "motivations"]
FIELDS: tuple[Field, ...] = ("goals", "pain_points", "behaviours", "motivations")

_ENGLISH: dict[Field, tuple[str, ...]] = {
    "goals": (
        r"\bI(?:'d| would| do| just| only| really)*(?: just| only| really)? "
        r"(?:want|wish|hope|like to|love to|love a|like a|rather)\b",
        r"\bI(?: just| only| really)? need (?!to (?:be at|leave|get up))",
        r"\b(?:all|what) I(?:'d| would)?(?: really| just)? (?:want|need|like|love)\b",
        r"\bI'm (?:trying|hoping|looking) (?:to|for)\b",
        r"\bit would (?:be (?:great|good|nice|lovely|better|enough)|help)\b",
        r"\b(?:should|ought to) (?:be|have|show|tell|say|run|let|give|stop)\b",
        r"\b(?:if only|my dream|my goal|ideally|would make (?:a|all the) difference)\b",
        r"\bgive me\b|\blet me\b",
    ),
    "pain_points": (
        r"\b(?:hate|dread|frustrat\w+|annoy\w+|infuriat\w+|stress\w*|worr(?:y|ied|ying)|"
        r"scar(?:ed|y)|afraid|frighten\w*|unsafe|exhaust\w+|humiliat\w+|embarrass\w+|"
        r"anxious|awful|terrible|ridiculous|absurd|nightmare|useless|pointless|unfair)\b",
        r"\b(?:hard|difficult|impossible|confus\w+|complicated|expensive|overcrowded|crowded|"
        r"packed|rammed|dirty|broken|unreliable|delay(?:s|ed)?|cancel(?:led|s|lation\w*)|"
        r"stranded|stuck|refused|fined?|problem|trouble|struggle)\b",
        r"\b(?:can't|cannot|couldn't|doesn't|don't|didn't|won't|wouldn't|isn't|aren't) "
        r"(?:\w+ )?(?:get|see|find|hear|read|use|work|come|go|turn|stop|afford|open|show|know|"
        r"sit|stand|reach|trust|rely|match|fit|wait|run|connect|understand|care|listen|tell|say)\b",
        r"\b(?:never|nobody|no one|nothing|nowhere|no way)\b",
        r"\btoo (?:\w+ly )?(?:much|many|late|early|small|high|steep|narrow|far|long|short|"
        r"expensive|dear|fast|slow|dark|cold|full|heavy|quiet|loud)\b",
        r"\b(?:late|miss(?:ed|es|ing)?|fail\w*|wrong|worst|worse|wait(?:ed|ing)?|lost|left "
        r"(?:me|us|behind)|charged (?:me )?twice|out of order|goes up|gone up|price rise)\b",
    ),
    "behaviours": (
        r"\b(?:every|each|most) (?:single )?(?:day|morning|evening|night|week|weekday|weekend|"
        r"month|time|trip|monday|tuesday|wednesday|thursday|friday|saturday|sunday)s?\b",
        r"\b(?:once|twice|three times|\w+ (?:days|times|nights|mornings)) (?:a|per) (?:week|day|"
        r"month|year)\b",
        r"\bI(?:'ll)?(?: \w+ly| always| often| never| just| still| now| then| sometimes)? "
        r"(?:use|take|check|leave|go|get|walk|cycle|drive|ride|buy|book|plan|pay|carry|travel|"
        r"keep|catch|ask|avoid|wait|look|phone|ring|call|bring|stand|sit|write|screenshot|"
        r"download|set|start|finish|change|switch|choose|pick|count|add|split|tap|show|share|"
        r"message|text|print|save|photograph|work|do)\b",
        r"\b(?:usually|always|normally|often|tend to|mostly|on (?:mon|tues|wednes|thurs|fri|"
        r"satur|sun)days?|at weekends?|these days)\b",
        r"\bI(?:'ve| have) (?:learn(?:t|ed)|started|stopped|got (?:a|an|the|my)|worked out|made)\b",
    ),
    "motivations": (
        r"\b(?:because|so that|so I (?:can|don't)|in order to|that's why|which is why|"
        r"otherwise)\b",
        r"\b(?:matters?|important|the (?:whole )?(?:point|reason)|what counts|care about|"
        r"means (?:that )?I|depend(?:s|ing)? on|rely on|worth|freedom|independen\w+|dignity|"
        r"trust|proud|afford|sav(?:e|es|ing) (?:me )?(?:money|time|\w+ pounds?))\b",
        r"\bI (?:love|like|enjoy|prefer|care|believe|value|feel)\b|\bI'd rather\b",
        r"\bif (?:I'm|I am|I) (?:late|miss|don't|can't|lose)\b",
        r"\bfor (?:my|the) (?:kids?|children|daughter|son|mother|mum|job|family|patients?|health|"
        r"planet|climate)\b",
    ),
}

_GERMAN: dict[Field, tuple[str, ...]] = {
    "goals": (
        r"\bich (?:will|möchte|brauche|hoffe|hätte gern\w*|würde gern\w*|wünsche)\b",
        r"\b(?:wünsche ich mir|es wäre (?:gut|schön|toll)|sollte[n]?|am liebsten|mein ziel)\b",
    ),
    "pain_points": (
        r"\b(?:nervt|ärger\w*|schwierig|problem\w*|kaputt|verspät\w+|zu spät|ausfall\w*|"
        r"fällt aus|fallen aus|teuer|unsicher|angst|stress\w*|leider|nie|niemand|zu (?:voll|eng|"
        r"viel|lange?)|verpass\w*|kann ich nicht|funktioniert nicht|überfüllt)\b",
    ),
    "behaviours": (
        r"\b(?:jeden (?:tag|morgen|abend|monat)|jede woche|immer|meistens|normalerweise|oft|"
        r"täglich|morgens|abends|mal (?:die|pro) woche)\b",
        r"\bich (?:nehme|fahre|benutze|nutze|gehe|kaufe|plane|schaue|laufe|warte|arbeite)\b",
    ),
    "motivations": (
        r"\b(?:weil|damit|denn|deshalb|deswegen|wichtig|zählt|lohnt|mag|liebe|genieße|"
        r"freiheit|unabhängig\w*|um .{3,60} zu)\b",
    ),
}

_FRENCH: dict[Field, tuple[str, ...]] = {
    "goals": (
        r"\b(?:je veux|je voudrais|j['’]aimerais|j['’]ai besoin|j['’]espère|je souhaite|"
        r"il faudrait|ce serait|devrai(?:t|ent))\b",
    ),
    "pain_points": (
        r"\b(?:retards?|en panne|difficile|impossible|problèmes?|cher|jamais|personne ne|trop|"
        r"annulé\w*|bondé\w*|peur|stress\w*|énerv\w+|pénible|raté|attendre|ne marche pas|"
        r"ne peux pas)\b",
    ),
    "behaviours": (
        r"\b(?:tous les (?:jours|matins|soirs)|chaque (?:jour|matin|semaine|mois)|toujours|"
        r"souvent|d['’]habitude|fois par (?:semaine|jour|mois))\b",
        r"\b(?:je prends|j['’]utilise|je vais|j['’]achète|je vérifie|je marche|je pars)\b",
    ),
    "motivations": (
        r"\b(?:parce que?|parce qu['’]|pour que|afin|important|compte|j['’]aime|je préfère|"
        r"liberté|indépendan\w+|c['’]est pour ça)\b",
    ),
}

_SPANISH: dict[Field, tuple[str, ...]] = {
    "goals": (
        r"\b(?:quiero|quisiera|me gustaría|necesito|ojalá|espero|debería[n]?|"
        r"sería (?:bueno|mejor))\b",
    ),
    "pain_points": (
        r"\b(?:retras\w+|tarde|averiad\w+|rot[oa]|difícil|imposible|problemas?|car[oa]s?|nunca|"
        r"nadie|demasiad\w+|cancel\w+|llen[oa]s?|miedo|estrés|molest\w+|perd[íi]|no funciona|"
        r"no puedo)\b",
    ),
    "behaviours": (
        r"\b(?:todos los días|cada (?:día|mañana|semana|mes)|siempre|normalmente|a menudo|"
        r"veces (?:por|a la) semana|suelo)\b",
        r"\b(?:tomo|cojo|uso|voy|compro|camino|salgo|miro)\b",
    ),
    "motivations": (
        r"\b(?:porque|para que|por eso|importante|importa|me gusta|prefiero|libertad|"
        r"independ\w+|así puedo)\b",
    ),
}


def _compiled(table: dict[Field, tuple[str, ...]]) -> dict[Field, tuple[re.Pattern[str], ...]]:
    return {
        field: tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)
        for field, patterns in table.items()
    }


_QUESTIONS: dict[Field, tuple[str, ...]] = {
    "goals": (
        r"\b(?:would you (?:like|want|change|need|improve|wish|do differently|ask|tell)|wish|"
        r"ideal\w*|perfect|dream|magic wand|improve\w*|good (?:journey|day|trip|experience|service|"
        r"version) look|should (?:change|be)|goals?|hope|suggest\w*|make (?:it|things|your \w+) "
        r"(?:better|easier)|one thing)\b",
        r"\b(?:wünsch\w*|verbesser\w*|ändern|améliorer|changer|souhait\w*|mejorar|cambiar\w*)\b",
    ),
    "pain_points": (
        r"\b(?:problems?|difficult\w*|frustrat\w+|annoy\w*|worst|go(?:es|ne)? wrong|hard(?:est)?|"
        r"pain|struggl\w*|challeng\w*|bother\w*|barriers?|stop(?:s|ped)? you|bad day|dislike|"
        r"worr\w+|unsafe|delays?)\b",
        r"\b(?:ärger\w*|stört|schwierig\w*|difficult\w*|problème\w*|dificultad\w*|molest\w*)\b",
    ),
    "behaviours": (
        r"\b(?:usual(?:ly)?|typical(?:ly)?|walk me through|how (?:do|often|did) you|every ?day|"
        r"routine|what do you do|do you use|which \w+ do you|habits?|on a normal|"
        r"tell me about your (?:day|journey|trip|week))\b",
        r"\b(?:normalerweise|wie oft|gewöhnlich|d'habitude|normalmente|cada cuánto)\b",
    ),
    "motivations": (
        r"\b(?:why|matters?|important|reason|what makes you|what keeps you|care about|mean to you|"
        r"motivat\w+|value)\b",
        r"\b(?:warum|wichtig|pourquoi|important\w*|por qué)\b",
    ),
}
QUESTIONS = _compiled(_QUESTIONS)


CUES: dict[str, dict[Field, tuple[re.Pattern[str], ...]]] = {
    "en": _compiled(_ENGLISH),
    "de": _compiled(_GERMAN),
    "fr": _compiled(_FRENCH),
    "es": _compiled(_SPANISH),
}


@functools.lru_cache(maxsize=8_192)
def strength(sentence: str, field: Field, language: str) -> int:
    """How many of the language's cues for `field` the sentence holds; 0 in other languages."""
    plain = sentence.replace("’", "'")
    patterns = CUES.get(language, {}).get(field, ())
    return sum(1 for pattern in patterns if pattern.search(plain))


def asked_for(question: str | None, field: Field) -> bool:
    """Whether the question asked for this: its answers need no cue of their own."""
    return question is not None and any(
        pattern.search(question.replace("_", " ")) for pattern in QUESTIONS[field]
    )
