"""A provider as somebody might install it, whose model answers with whatever harms a screen.

`installed(folder)` puts it where a Python with `folder` on its path finds it by its entry point.
"""

from pathlib import Path

import msgspec
from persona.generation.providers.base import (
    GenerationRequest,
    Progress,
    ProviderSettings,
    Response,
    Usage,
    draft_from_json,
)

NAME = "hostile"
NAMES = (
    # Colour, a window's title, a reversal of direction, a line end; then what could be markup.
    "\x1b[31mMallory\x1b[0m\x1b]0;owned\x07 \u202e[bold red]Red[/bold red]\r\n|<b>B</b>](http://e)",
    # What rich refuses to close, a link, one byte's way to clear the screen, and no end.
    "[/] [link=http://e]Eve[/link] \x9b2J" + "W" * 900,
    # Nothing is left of it.
    "\x1b[2J\x1b[H\u200b",
)


def create(settings: ProviderSettings) -> "HostileProvider":
    del settings
    return HostileProvider()


class HostileProvider:
    """The persona with index 1 gets the first name, and so on."""

    name = NAME
    models = ("hostile-1",)
    parse = staticmethod(draft_from_json)

    async def generate(
        self, request: GenerationRequest, on_progress: Progress | None = None
    ) -> Response:
        name = NAMES[request.index - 1]
        draft = {
            **dict.fromkeys(("name", "occupation", "summary"), name),
            **{field: [name] for field in ("goals", "pain_points", "behaviours", "quotes")},
        }
        return Response(msgspec.json.encode(draft), Usage(10, 20), request_id=NAMES[0])

    async def aclose(self) -> None:
        """Nothing is held open."""


def installed(folder: Path) -> None:
    """Makes `folder` what pip would make of a package with this provider."""
    about = folder / "hostile-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[persona.providers]\n{NAME} = hostile_model:create\n")
    (folder / "hostile_model.py").write_bytes(Path(__file__).read_bytes())
