"""HTML: the text of its blocks, read like a plain text's paragraphs."""

from collections.abc import Iterator

from persona.generation.reading.decoding import TextFile
from persona.generation.reading.found import Found, ReadProblem, Wishes, clean
from persona.generation.reading.prose import Line, read_lines

_SILENT = frozenset({"script", "style", "head", "noscript", "template", "svg", "nav", "iframe"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS = _HEADINGS | frozenset(
    """address article aside blockquote body br caption center dd details div dl dt fieldset
    figcaption figure footer form header hr html legend li main ol option p pre section summary
    table tbody td tfoot th thead title tr ul""".split()  # noqa: SIM905
)


def read_html(file: TextFile, wishes: Wishes) -> Iterator[Found]:
    """A `.html` file, without scripts, styles and navigation; needs the whole file in memory."""
    lines = _blocks(file.text())
    return read_lines(lambda: iter(lines))


def _blocks(text: str) -> list[Line]:
    # The parser's module costs several milliseconds that only HTML should pay.
    from html.parser import HTMLParser

    class Blocks(HTMLParser):
        def __init__(self) -> None:
            super().__init__(convert_charrefs=True)
            self.lines: list[Line] = []
            self.parts: list[str] = []
            self.silent: list[str] = []
            self.start = 1

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in _SILENT:
                self.end_block(heading=False)
                self.silent.append(tag)
            elif tag in _BLOCKS:
                if tag == "body":
                    self.silent.clear()
                self.end_block(heading=False)

        def handle_endtag(self, tag: str) -> None:
            if tag in self.silent:
                del self.silent[self.silent.index(tag) :]
            elif tag in _BLOCKS:
                self.end_block(heading=tag in _HEADINGS)

        def handle_data(self, data: str) -> None:
            if self.silent:
                return
            if not self.parts and data.strip():
                blank = len(data) - len(data.lstrip())
                self.start = self.getpos()[0] + data[:blank].count("\n")
            if self.parts or data.strip():
                self.parts.append(data)

        def end_block(self, *, heading: bool) -> None:
            line = clean("".join(self.parts))
            self.parts = []
            if line:
                self.lines += (Line(self.start, line, heading=heading), Line(self.start, ""))

    parser = Blocks()
    try:
        parser.feed(text)
        parser.close()
    except AssertionError as error:
        # The parser's own way to refuse a malformed `<![…` declaration.
        raise ReadProblem(
            "broken HTML: a `<!` declaration that isn't one", parser.getpos()[0]
        ) from error
    parser.end_block(heading=False)
    return parser.lines
