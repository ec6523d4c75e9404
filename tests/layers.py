"""The files and variables that configure, of one test."""

from pathlib import Path
from typing import Any

from personad.contract.settings import ConfigurationError, Loaded, examine, load


class Layers:
    """The files of one test."""

    def __init__(self, house: Path) -> None:
        self.system = house / "etc" / "config.toml"
        self.user = house / "home" / ".config" / "personad" / "config.toml"
        self.project = house / "work" / "persona.toml"
        self._house = house
        for path in (self.system, self.user):
            path.parent.mkdir(parents=True, exist_ok=True)

    def arguments(self, environ: dict[str, str]) -> dict[str, Any]:
        return {
            "environ": environ,
            "cwd": self.project.parent,
            "home": self._house / "home",
            "system_file": self.system,
        }

    def load(self, **environ: str) -> Loaded:
        return load(**self.arguments(environ))

    def mistakes(self, **environ: str) -> list[ConfigurationError]:
        return examine(**self.arguments(environ))[1]

    def mistake(self, **environ: str) -> ConfigurationError:
        [found] = self.mistakes(**environ)
        return found
