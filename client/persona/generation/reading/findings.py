"""What one file gave, before anybody in it has a pseudonym."""

from collections import Counter

from persona.generation.reading.decoding import TextFile
from persona.generation.reading.found import Broken, Found, Layout, Named, Said

_MAX_BROKEN = 100


class Findings:
    """Collects a file's findings as its reader yields them."""

    def __init__(self, name: str, form: str) -> None:
        self.name = name
        self.format = form
        self.file: TextFile | None = None
        self.said: list[Said] = []
        self.names: dict[Named, None] = {}
        self.broken: list[Broken] = []
        self.layout: Layout | None = None
        self.notes: list[str] = []
        self._counts: Counter[str] = Counter()

    @property
    def spoken(self) -> int:
        return self._counts["speech"]

    def add(self, found: Found, max_facts: int) -> None:
        match found:
            case Said(kind="fact") if self._counts["fact"] >= max_facts:
                self._note(f"only the first {max_facts:,} facts were kept")
            case Said():
                self._counts[found.kind] += 1
                self.said.append(found)
            case Named():
                self.names[found] = None
            case Broken():
                self._add_broken(found)
            case Layout():
                self.layout = self.layout or found
                for note in found.notes:
                    self._note(note)

    def break_off(self, reason: str, line: int | None) -> None:
        """The reader could not go on; what it gave so far stays."""
        self.broken.append(Broken(reason, line))

    def text_file(self) -> TextFile:
        """The file that was read. Only asked where it gave something."""
        if self.file is None:
            raise LookupError(f"{self.name} was never opened")
        return self.file

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _add_broken(self, broken: Broken) -> None:
        if len(self.broken) < _MAX_BROKEN:
            self.broken.append(broken)
        elif len(self.broken) == _MAX_BROKEN:
            self.broken.append(Broken("and more such places after this one", broken.line))
