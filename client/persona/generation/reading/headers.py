"""What a column, field or header line is about, by its heading in seven languages."""

import re

_PARTICIPANT = """
    participant id|participantid|participant|participant code|participant number|respondent id
    respondentid|respondent|interviewee|interviewee id|subject id|user id|userid|customer id
    client id|person id|case id|teilnehmer id|teilnehmer|teilnehmerin|teilnehmer nr
    teilnehmernummer|teilnehmende|proband|probandin|befragte|befragter|befragten id
    kundennummer|participant e|répondant|répondante|participante|encuestado|entrevistado
    partecipante|intervistato|deelnemer|deelnemer id|speaker|sprecher|sprecherin|person
    participant no|response id|responseid|respondent no|id|nr|no|code|kennung|user|customer
    subject|who
"""
_NAME = """
    name|full name|fullname|first name|firstname|last name|lastname|surname|given name
    family name|participant name|respondent name|customer name|user name|username|nickname
    vorname|nachname|familienname|vollständiger name|nom|prénom|nom de famille|nombre|apellido
    apellidos|nome|cognome|sobrenome|naam|voornaam|achternaam|contact|ansprechpartner
"""
_INTERVIEWER = """
    interviewer|interviewer name|interviewerin|interviewed by|moderator|moderatorin|researcher
    facilitator|conducted by|intervieweur|entrevistador|entrevistadora|intervistatore
    onderzoeker|transcribed by|transcriber|author|autor|autorin|observer|note taker|notetaker
"""
_CONTACT = """
    email|e mail|e mail address|email address|mail|phone|phone number|telephone|telefon
    telefonnummer|handy|handynummer|mobile|mobil|tel|fax|address|adresse|anschrift|street
    straße|strasse|street address|postal address|courriel|téléphone|correo|correo electrónico
    teléfono|dirección|indirizzo|telefono|telefoon|adres|endereço|telefone|ip|ip address
    ipaddress|ip adresse|iban|url|linkedin
"""
_CLERICAL = """
    timestamp|zeitstempel|start date|startdate|end date|enddate|start time|end time|date|datum
    time|recorded date|recordeddate|submitted|submitted at|submission date|created|created at
    updated at|duration|duration in seconds|dauer|progress|finished|status|collector id
    collectorid|collector|distribution channel|userlanguage|user language|location latitude
    location longitude|latitude|longitude|session|session id|token|row|index|format|version
    file|recording|transcript id|consent|bogen nr|unnamed 0|#
"""
_DEMOGRAPHIC = """
    age|age group|age range|alter|altersgruppe|âge|edad|età|leeftijd|idade|gender|sex
    geschlecht|genre|sexo|género|genere|sesso|geslacht|gênero|occupation|job|job title
    profession|role|position|beruf|tätigkeit|stelle|métier|profesión|ocupación|professione
    occupazione|beroep|profissão|ocupação|city|town|location|country|region|place|residence
    lives in|home|stadt|ort|wohnort|land|bundesland|ville|pays|ciudad|país|città|paese|stad
    woonplaats|cidade|education|ausbildung|bildung|abschluss|income|einkommen|household
    haushalt|family|familienstand|marital status|children|kinder|industry|branche|company size
    employer|department|team|experience|years of experience|segment|group|gruppe|persona
    pronouns|nationality|language|sprache|languages|native language|living situation
    status quo|device|devices|tenure|works at
"""
_QUESTION = """
    question|frage|prompt|question text|fragetext|pregunta|domanda|vraag|pergunta|item
"""
_TELLING = """
    comment|comments|feedback|why|answer|answers|response|responses|text|quote|quotes|verbatim
    notes|note|remarks|opinion|transcript|statement|message|utterance|review|description|story
    kommentar|kommentare|anmerkung|anmerkungen|antwort|warum|begründung|rückmeldung|bemerkung
    aussage|meinung|freitext|commentaire|réponse|pourquoi|avis|comentario|respuesta|opinión
    commento|risposta|perché|opmerking|antwoord|waarom|comentário|resposta|reason|reasons
    content
"""


def _words(listed: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.strip().replace("\n", "|").split("|"))


PARTICIPANT = _words(_PARTICIPANT)
"""In the order in which they are believed: a participant's id rather than a row's."""
NAME = _words(_NAME)
INTERVIEWER = frozenset(_words(_INTERVIEWER))
CONTACT = frozenset(_words(_CONTACT))
CLERICAL = frozenset(_words(_CLERICAL))
DEMOGRAPHIC = frozenset(_words(_DEMOGRAPHIC))
QUESTION = frozenset(_words(_QUESTION))
TELLING = frozenset(_words(_TELLING))

HEADER_LINES = (
    frozenset(PARTICIPANT) | frozenset(NAME) | INTERVIEWER | CONTACT | CLERICAL | DEMOGRAPHIC
)
"""What may stand before the colon of a transcript's header line."""


def plain(heading: str) -> str:
    """A heading as the lists above write it: lower case, words parted by single spaces.

    A dotted path (`profile.age`) counts as its last part.
    """
    last = heading.rsplit(".", 1)[-1] if not heading.endswith(".") else heading
    spaced = re.sub(r"(?<=[a-zäöü])(?=[A-Z])", " ", last)
    return " ".join(re.sub(r"[\W_]+", " ", spaced).split()).casefold() or heading.strip()
