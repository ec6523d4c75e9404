"""Which language a text is in, and the words that say nothing in it.

`detect` counts how many running words are function words of each language: they make up 40 to
60 % of ordinary prose, hardly any of another language's, and need no model. Languages with a
script of their own are told apart by the script (Unicode blocks).
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from types import MappingProxyType

UNSURE = "und"
"""ISO 639-2's code for a language that could not be determined."""

MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u0610-\u061a\u064b-\u065f\u0670"
    "\u0900-\u0963\u0970-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u0f18-\u0fbc\u102b-\u103e\u17b6-\u17d3\u1dc0-\u1dff\u20d0-\u20ff\u200c\u200d"
)
"""Combining marks: `\\w` leaves them out, which would cut Hindi or Tamil words apart."""

_FUNCTION_WORDS = {
    "en": """a about above across after again against all almost along already also although
        always am among an and another any anybody anyone anything are aren't around as at
        away back be became because become been before behind being below between both but by
        came can can't cannot come could couldn't did didn't do does doesn't doing don't done
        down during each either else enough even ever every everybody everyone everything few
        for from further get gets getting go goes going gone gonna got had hadn't has hasn't
        have haven't having he he'd he'll he's her here hers herself him himself his how
        however i i'd i'll i'm i've if in instead into is isn't it it'd it'll it's its itself
        just kind last least less let let's like lot lots made make makes many may maybe me
        mean might mine more most much must my myself near never no nobody none nor not
        nothing now of off often oh ok okay on once one only onto or other others our ours
        ourselves out over own per perhaps quite rather really right said same say says see
        seem seems several shall she she'd she'll she's should shouldn't since so some
        somebody somehow someone something sometimes somewhere sort still such than that
        that's the their theirs them themselves then there there's these they they'd they'll
        they're they've thing things think this those though through thus to together too
        toward towards uh um under until up upon us very want was wasn't way we we'd we'll
        we're we've well went were weren't what what's whatever when where whether which while
        who whole whom whose why will with within without won't would wouldn't yeah yes yet
        you you'd you'll you're you've your yours yourself yourselves""",
    "de": """ab aber alle allem allen aller alles als also am an andere anderem anderen anderer
        anderes auch auf aus bei beim bin bis bisschen bist da dabei dadurch dafür dagegen
        daher dahin damals damit danach daneben dann daran darauf daraus darf darin darüber
        darum darunter das dass davon davor dazu dein deine deinem deinen deiner dem den denen
        denn der deren derselbe des deshalb dessen dich die dies diese diesem diesen dieser
        dieses dir doch dort du durch durfte eben ein eine einem einen einer eines einfach
        einige einigen einiger einiges einmal er erst es etwa etwas euch euer eure eurem euren
        eurer für ganz ganze gar gegen genau gewesen gibt ging habe haben halt hab hast hat
        hatte hatten hätte hätten heißt her hier hin hinter ich ihm ihn ihnen ihr ihre ihrem
        ihren ihrer ihres im immer in indem ins irgendwann irgendwas irgendwie ist ja je jede
        jedem jeden jeder jedes jedoch jemand jene jetzt kann kannst kein keine keinem keinen
        keiner können könnte könnten lassen leider machen macht mag mal man manche manchen
        manchmal mehr mein meine meinem meinen meiner meines mich mir mit muss müssen musste
        nach nachdem nämlich neben nein nicht nichts nie niemand noch nun nur ob oder oft ohne
        okay schon sehr sei seid sein seine seinem seinen seiner seines seit selber selbst
        sich sie sind so sodass sogar solche solchen soll sollen sollte sondern sonst sowas
        sowie sowohl statt trotzdem über überhaupt um und uns unser unsere unserem unseren
        unserer unter viel viele vielen vielleicht vom von vor wann war waren warum was weder
        wegen weil weiter welche welchem welchen welcher welches wem wen wenig wenn wer werde
        werden wie wieder will wir wird wirklich wo wobei wodurch wollen wollte worden wurde
        wurden während würde würden zu zum zur zwar zwischen""",
    "fr": """à afin ai aie ainsi alors après assez au aucun aucune aujourd'hui auquel aura aussi
        autre autres aux avaient avais avait avant avec avez avoir avons beaucoup bien bon c
        c'est ça car ce ceci cela celle celles celui cependant ces cet cette ceux chacun
        chaque chez comme comment contre d dans de dedans dehors depuis des dès dessous dessus
        deux devant doit donc dont du elle elles en encore enfin entre es est et étaient étais
        était étant été être eu eux fait faire fais faut fois font hors ici il ils j j'ai jamais
        je jusqu jusque l la là laquelle le lequel les lesquels leur leurs lorsque lui m ma
        maintenant mais malgré me même mêmes mes mien moi moins mon n ne ni non nos notre nous
        on ont ou où ouais oui par parce parfois parmi pas pendant personne peu peut peuvent
        peux plus plusieurs plutôt pour pourquoi pouvoir près presque puis puisque qu quand
        quel quelle quelles quelque quelques quels qui quoi quoique rien s sa sans sauf se
        sera seront ses si sien sinon soi soient sois soit sommes son sont souvent suis sur t
        ta tandis tant te tel telle tellement tels tes toi ton toujours tous tout toute toutes
        très trop tu un une va vais vers voilà voici vont vos votre vous vraiment vu y""",
    "es": """a acá ahí ahora al algo algún alguna algunas alguno algunos allí ambos ante antes
        aquel aquella aquellas aquello aquellos aquí así aun aún aunque bajo bastante bien
        bueno cada casi como cómo con conmigo contigo contra cosa cosas cual cuál cuales
        cualquier cuando cuándo cuanto de del demás dentro desde después donde dónde dos
        durante e el él ella ellas ello ellos en encima entonces entre era eran eras eres es
        esa esas ese eso esos esta está estaba estaban estado estamos están estar estas este
        esto estos estoy fue fueron fui gente había habían haber hace hacen hacer hacia hago
        han has hasta hay he hemos incluso ir jamás junto la las le les lo los luego más me
        mejor menos mi mí mientras mío mis mismo misma mismos mucha muchas mucho muchos muy
        nada nadie ni ningún ninguna ninguno no nos nosotros nuestra nuestras nuestro nuestros
        nunca o os otra otras otro otros para parece pero poco pocos por porque pues puede
        pueden puedo que qué quien quién quienes quizás se sea sean según ser si sí sido
        siempre sin sino sobre sois solamente solo sólo somos son soy su sus también tampoco
        tan tanto te tener tengo ti tiene tienen toda todas todavía todo todos tu tú tus tuve
        tuvo u un una unas uno unos usted ustedes va vamos van varias varios veces vez voy y
        ya yo""",
    "it": """a abbastanza abbia abbiamo ad adesso agli ai al alcune alcuni alla alle allo allora
        altra altre altri altro anche ancora appena avere aveva avevano avevo avete basta bene
        c c'è che chi ci ciò cioè come comunque con contro cosa così cui da dagli dai dal
        dalla dalle dallo davvero de degli dei del della delle dello dentro di dopo dove
        dovere due dunque durante e è ecco ed era erano ero essere fa faccio fanno fare fatto
        fino forse fra già gli ha hai hanno ho i il in infatti insieme invece io l la là le lei
        li lo loro lui ma magari mai me meglio meno mentre mi mia mie miei mio molta molte
        molti molto ne neanche nei nel nella nelle nello nemmeno nessuna nessuno niente no noi
        non nostra nostre nostri nostro nulla o od ogni ognuno oltre oppure ora per perché però
        più po' poca poche pochi poco poi possiamo posso possono prima proprio può qua qual
        quale quali qualche qualcosa qualcuno quando quanto quasi quella quelle quelli quello
        questa queste questi questo qui quindi sarà se sei sempre senza si sì sia siamo siete
        solo sono sopra soprattutto sotto sta stai stanno stare stata stati stato sto su sua
        sue sugli sui sul sulla sulle sullo suo suoi tanta tante tanti tanto te ti tra troppo
        tu tua tue tuo tuoi tutta tutte tutti tutto un una uno va vado verso vi voi volta volte
        vostra vostro""",
    "nl": """aan achter al alle alleen allemaal alles als altijd ander andere anders ben bent
        beter bij bijna binnen boven buiten daar daarna daarom dan dat de deze die dit doe
        doen doet door dus echt een eens eerst eigenlijk elk elke en er ergens even ga gaan
        gaat geen gedaan geweest gewoon had hadden haar heb hebben hebt heel heeft helemaal
        hem hen het hier hij hoe hoewel hun iedereen iemand iets ik in is ja je jij jou jouw
        jullie kan kon konden kun kunnen laat maar maken me mee meer meest meestal men met mij
        mijn misschien moest moet moeten mogen na naar naast namelijk nee net niemand niet
        niets nog nooit nou nu of om omdat onder ons onze ook op over pas per s samen sinds
        soms steeds te tegen terwijl tijdens toch toen tot tussen u uit uw vaak van vanaf vanuit
        veel verder via volgens voor vooral voordat waar waarom wanneer want waren was wat we
        weer wel welk welke werd werden wie wij wil willen word worden wordt zal ze zeer zei
        zeker zelf zelfs zich zij zijn zo zoals zodat zonder zou zouden zowel zulke""",
    "pt": """a à acho agora aí ainda algo alguém algum alguma algumas alguns ali ante antes ao
        aos apenas após aquela aquelas aquele aqueles aquilo aqui as às assim até bastante bem
        cada coisa coisas com como contra da daquele das de dela dele deles demais depois desde
        dessa desse desta deste disso do dois dos durante e é ela elas ele eles em embora
        enquanto então entre era eram essa essas esse esses esta está estamos estão estar
        estas estava estavam este estes estou eu faz fazer fazem fez foi fomos for foram fosse
        fui gente há havia isso isto já jamais la lá lhe lhes logo mais mas me mesma mesmas
        mesmo mesmos meu meus mim minha minhas muita muitas muito muitos na nada não nas nem
        nenhum nenhuma nessa nesse nesta neste ninguém no nos nós nossa nossas nosso nossos num
        numa nunca o onde os ou outra outras outro outros para pela pelas pelo pelos pode podem
        poder por porque porém posso pouca pouco poucos pra quais qual qualquer quando quanto
        quase que quê quem sã são se seja sem sempre sendo ser será seu seus si sido sim só
        sobre sou sua suas também tanto tão te tem têm temos tenho ter teu ti tinha tinham tive
        toda todas todo todos tu tua tudo um uma umas uns vai vamos vão várias vários vez vezes
        você vocês vou""",
}

_STOPWORDS = MappingProxyType(
    {code: frozenset(words.split()) for code, words in _FUNCTION_WORDS.items()}
)

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
"""The most widely spoken language of each script stands for the script: Ukrainian reads `ru`."""

_UKRAINIAN = re.compile("[іїєґ]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_AS_SPACES = {code: " " for code in range(128) if not chr(code).isalpha() and chr(code) != "'"}
_SAMPLE_TEXTS = 2_000
_SAMPLE_CHARACTERS = 400
_MIN_HITS = 3
_MIN_SHARE = 0.12
_MIN_LEAD = 1.15
_KANA_SHARE = 0.05


def stopwords(language: str) -> frozenset[str]:
    """The function words of a language in lower case (with accents); empty where none is known.

    A region is passed over: `pt-BR` and `pt` have the same list.
    """
    return _STOPWORDS.get(_primary(language), frozenset())


def languages() -> tuple[str, ...]:
    """The languages that have a list of function words."""
    return tuple(_STOPWORDS)


def detect(texts: Iterable[str]) -> str:
    """The texts' common language as an ISO 639-1 code, or `und` when they don't tell.

    Looks at the first 2,000 texts, 400 characters each.
    """
    sample = [text[:_SAMPLE_CHARACTERS] for text in islice(texts, _SAMPLE_TEXTS)]
    return _by_script(sample) or _by_function_words(sample)


def _primary(language: str) -> str:
    return language.replace("_", "-").split("-", 1)[0].lower()


def _by_script(sample: list[str]) -> str | None:
    joined = "\n".join(sample)
    if joined.isascii():
        return None
    letters = sum(map(str.isalpha, joined))
    counts = {code: len(pattern.findall(joined)) for code, pattern in _SCRIPTS}
    # Japanese is written in Chinese characters with kana between them: a little kana decides.
    if counts["ja"] > _KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
        counts["zh"] = 0
    code = max(counts, key=lambda each: counts[each])
    if counts[code] * 2 <= letters or not letters:
        return None
    return "uk" if code == "ru" and _UKRAINIAN.search(joined) else code


@functools.cache
def _spoken_in() -> dict[str, tuple[str, ...]]:
    """Each function word's languages."""
    return {
        word: tuple(code for code, known in _STOPWORDS.items() if word in known)
        for known in _STOPWORDS.values()
        for word in known
    }


def _counted(text: str) -> Counter[str]:
    """The words of a text in small letters."""
    if not text.isascii():
        return Counter(_WORD.findall(text))
    # The same words, in half the time.
    runs = Counter(text.translate(_AS_SPACES).split())
    for run in [run for run in runs if "'" in run]:
        count = runs.pop(run)
        for word in _WORD.findall(run):
            runs[word] += count
    return runs


def _by_function_words(sample: list[str]) -> str:
    words = _counted("\n".join(sample).lower().replace("’", "'"))
    total = words.total()
    hits = dict.fromkeys(_STOPWORDS, 0)
    spoken_in = _spoken_in()
    for word in spoken_in.keys() & words.keys():
        for code in spoken_in[word]:
            hits[code] += words[word]
    best, second = sorted(hits, key=lambda code: -hits[code])[:2]
    sure = (
        hits[best] >= max(_MIN_HITS, _MIN_SHARE * total) and hits[best] >= _MIN_LEAD * hits[second]
    )
    return best if sure else UNSURE
