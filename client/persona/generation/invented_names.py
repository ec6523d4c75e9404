"""Names for personas: invented, of the language's kind, distinct in a batch, nobody's own."""

import random
import re
from collections.abc import Collection

from persona.generation.model import Segment

_NAMES: dict[str, tuple[str, str]] = {
    "en": (
        """Ada Amara Bella Callum Clara Daniel Edith Ellis Farida Felix Georgia Grace Hana Harvey
        Imogen Isaac Jasper Joan Kit Leila Lewis Mabel Martha Milo Nadia Noor Oscar Owen Petra
        Quinn Rosa Rufus Sana Silas Tamsin Theo Una Victor Wanda Yusuf""",
        """Abara Ashdown Barlow Bell Calder Chowdhury Dunmore Eastwood Farrow Finch Garrick
        Hallam Harker Iqbal Ives Jarvis Keane Langley Larkin Marlowe Mensah Nolan Oakley Okoro
        Pascoe Penrose Quigley Ridley Rowe Sandhu Selwyn Tate Thorne Upton Vance Wardle Whitlock
        Wren Yardley Zaman""",
    ),
    "de": (
        """Anja Aylin Bastian Birte Carla Daria Elif Emil Frauke Greta Hannes Henrike Ida Jannis
        Jule Karim Katja Lennart Leonie Lotte Malte Mareike Mehmet Nele Ole Pia Ronja Sarah Selma
        Sönke Svenja Tarek Thea Till Ute Valentin Vera Wiebke Yannik Zoe""",
        """Ackermann Adler Bergmann Brandt Conradi Demir Ebert Eichler Falk Fiedler Gerlach Haas
        Hartwig Imhof Jansen Kaya Kessler Lindner Lorenz Marquardt Nagel Nowak Ortmann Petersen
        Quandt Reimann Roth Sander Seidel Thiele Ulrich Vogt Wagenknecht Walther Winkler Yilmaz
        Zander Ziegler Zimmer Zorn""",
    ),
    "fr": (
        """Adèle Aïcha Alban Anouk Baptiste Bérénice Camille Capucine Clément Driss Éloïse Émile
        Fanny Gabin Garance Hugo Inès Jeanne Joris Karima Léonie Lilian Maëlle Malik Manon Nadège
        Noé Océane Pauline Quentin Rémi Romane Salomé Samir Solène Théo Valentine Victoire Yanis
        Zélie""",
        """Arnaud Aubry Baron Benali Berger Blanchet Caron Charpentier Colin Delmas Diallo
        Duchêne Fabre Faure Gaillard Garnier Guérin Haddad Jacquet Joly Lacroix Lambert Leclerc
        Marchand Masson Mercier Morel Noël Olivier Perrin Picard Renard Rivière Rousset Sauvage
        Tessier Traoré Vasseur Vidal Weber""",
    ),
    "es": (
        """Adrián Aitana Alba Alonso Amparo Beatriz Bruno Carla Celia Darío Elvira Emilio Fátima
        Gael Gloria Hugo Inés Iván Jimena Julia Lara Leire Lucas Manuela Marcos Martina Nerea
        Noelia Olga Óscar Pilar Raúl Rocío Samuel Silvia Tomás Triana Valeria Xavier Yolanda""",
        """Abad Aguirre Barrios Bravo Cabrera Calvo Campos Crespo Durán Escudero Ferrer Fuentes
        Gallego Herrera Ibáñez Izquierdo Jiménez Lozano Marín Medina Mejía Navarro Nieto Ortega
        Otero Pardo Pastor Quiroga Ramos Reyes Rivas Robles Salas Santos Soler Toledo Vargas
        Vega Vidal Zamora""",
    ),
}
_NEUTRAL = (
    """Adina Akira Amina Anouk Bao Bela Chiara Dara Elena Emre Eva Farah Goran Hana Ines Ivo Jana
    Jonas Kaya Lena Levi Lina Luca Mara Mei Mika Milan Mina Nora Noa Omar Pavel Rana Rui Sami Sara
    Tara Tomas Yara Zoran""",
    """Adel Almeida Araki Bakker Bauer Costa Dahl Duarte Endo Farkas Ferri Grau Haddad Hoang Ito
    Jansen Kaplan Khan Kovac Lang Lindqvist Lopes Malik Mori Moreau Novak Okafor Petrov Rao Rossi
    Santos Sato Silva Singh Sorensen Tanaka Varga Weiss Yilmaz Zeman""",
)
_CAPITALISED = re.compile(r"\b[^\W\d_][\w'’-]+")


def invented_name(language: str, seed: int | None, index: int, taken: Collection[str]) -> str:
    """A first and last name for the persona at `index` (from 1), no part of it in `taken`.

    For one seed and one `taken`, different indices give different names. `taken` holds words
    without case, as `words_of` finds them.
    """
    firsts, lasts = (
        [name for name in names.split() if name.casefold() not in taken]
        for names in _NAMES.get(language, _NEUTRAL)
    )
    if not firsts or not lasts:
        return f"Persona {index}"
    order = random.Random(f"names {seed}")
    order.shuffle(firsts)
    order.shuffle(lasts)
    at = index - 1
    round_, place = divmod(at, len(firsts))
    turn, shift = divmod(round_, len(lasts))
    initial = f" {chr(ord('A') + (turn - 1) % 26)}." if turn else ""
    return f"{firsts[place]}{initial} {lasts[(place + shift) % len(lasts)]}"


def words_of(segment: Segment) -> frozenset[str]:
    """Every word of the segment that could be a name, without case."""
    return frozenset(
        word.casefold().removesuffix("'s")
        for record in segment.records
        for word in _CAPITALISED.findall(record.text)
        if word[0].isupper()
    )
