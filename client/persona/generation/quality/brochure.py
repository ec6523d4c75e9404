"""The words of brochures and of personas that nobody met, by language.

Each is the beginning of a word, or words in a row. They count where the source does not use them.
"""

import re

_WORDS = {
    "en": """a seamless experience, actionable, at the end of the day, best practice, best-in-class,
        best of breed, bleeding edge, busy lifestyle, busy professional, cutting-edge, data-driven,
        deep dive, delight, digital native, digital transformation, disrupt, drive engagement,
        drive growth, drives value, driven individual, dynamic individual, ecosystem, effortless,
        elevate, embark, empower, enhance, ever-evolving, fast-paced, foster, frictionless,
        future-proof, game-chang, go-getter, harness, holistic, hyper-personal, impactful,
        in today's, innovative, key stakeholder, leverag, low-hanging, meaningful connection,
        mission-critical, move the needle, next-generation, next-gen, one-stop, optimi, outside the
        box, pain point, paradigm, passion for, passionate about, proactive, quality time,
        results-driven, revolutioni, rich tapestry, robust, scalab, seamless, solution-oriented,
        stakeholder, state-of-the-art, stay ahead, stay organized, stay organised, streamlin,
        strives to, synerg, tailored solution, tapestry, tech-savvy, testament to, the digital age,
        thought leader, thrives in, top-notch, touchpoint, transformative, unlock, user-friendly,
        utiliz, utilis, value-add, value proposition, vibrant, well-rounded, win-win,
        work-life balance, work hard, world-class""",
    "de": """am ende des tages, ganzheitlich, nahtlos, mehrwert, synerg, innovativ, zukunftssicher,
        zukunftsfähig, maßgeschneidert, lösungsorientiert, kundenzentriert, benutzerfreundlich,
        nutzerfreundlich, optimier, digitale transformation, digital native, technikaffin,
        leidenschaftlich, wegweisend, bahnbrechend, revolutionär, schnelllebig, effizienzsteiger,
        agil, disruptiv, nachhaltige lösung, erstklassig, state of the art, stakeholder, best
        practice, work-life-balance, potenzial entfalt, ergebnisorientiert, proaktiv,
        skalierbar""",
    "fr": """solution innovante, innovant, holistique, sans couture, valeur ajoutée, synerg,
        sur mesure, à la pointe, convivial, optimis, transformation numérique, passionné par,
        passionnée par, révolutionn, incontournable, clé en main, leader, disrupti, proactif,
        proactive, robuste, parties prenantes, équilibre vie, expérience fluide, centré sur,
        axé sur, axée sur, dynamique et""",
    "es": """innovador, holístic, sin fisuras, valor añadido, valor agregado, sinerg, a medida,
        de vanguardia, vanguardia, fácil de usar, optimiz, transformación digital, apasionad,
        revolucion, disruptiv, proactiv, robust, partes interesadas, experiencia fluida, de primer
        nivel, líder, potenciar, empoder, soluciones integrales, dinámic""",
    "it": """innovativ, olistic, senza soluzione di continuità, valore aggiunto, sinerg, su misura,
        all'avanguardia, ottimizz, trasformazione digitale, appassionat, rivoluzion, dirompent,
        proattiv, robust, di prim'ordine, a 360 gradi""",
    "nl": """naadloos, holistisch, innovatie, toegevoegde waarde, synerg, op maat, optimalis,
        gebruiksvriendelijk, digitale transformatie, gepassioneerd, baanbrekend, schaalbaar,
        toekomstbestendig, proactief, resultaatgericht, stakeholder""",
    "pt": """inovador, holístic, valor agregado, sinerg, sob medida, de ponta, otimiz, transformação
        digital, apaixonad, revolucion, disruptiv, proativ, robust, experiência fluida,
        de primeira linha, empoder""",
    "ja": """シームレス, ソリューション, イノベーティブ, イノベーション, シナジー, 最適化, 包括的,
        革新的, 最先端, 付加価値, デジタルトランスフォーメーション, ステークホルダー,
        エンゲージメント, エンパワー, ホリスティック, 世界クラス, 次世代""",
    "hi": """निर्बाध, समग्र, अभिनव, नवोन्मेषी, अत्याधुनिक, विश्वस्तरीय, क्रांतिकारी, सशक्त बना,
        डिजिटल परिवर्तन, समाधान-उन्मुख, तालमेल, इष्टतम, गतिशील, हितधारक""",
    "zh": """无缝, 一站式, 赋能, 协同效应, 创新解决方案, 最佳实践, 前沿, 颠覆, 数字化转型, 增值,
        全方位, 世界一流""",
}
_UNSPACED = frozenset({"ja", "zh"})


def _pattern(code: str, listed: str) -> re.Pattern[str]:
    words = [re.escape(" ".join(word.split())) for word in listed.split(",")]
    start = "" if code in _UNSPACED else r"(?<!\w)"
    # The longest first, so that words in a row count once.
    return re.compile(start + "(?:" + "|".join(sorted(words, key=len, reverse=True)) + r")\w*")


_PATTERNS = {code: _pattern(code, listed) for code, listed in _WORDS.items()}


def is_known(language: str) -> bool:
    """Whether such words are known for the language."""
    return language in _PATTERNS


def found_in(text: str, language: str) -> list[str]:
    """Each of them, as it stands in the text, in small letters."""
    return _PATTERNS[language].findall(" ".join(text.casefold().replace("’", "'").split()))
