"""Keys: from the provider's usual environment variable, or from a file that only its owner reads.

`NAME_FILE` names the file that holds what `NAME` would. A key goes from here into one header, and
nowhere else.
"""

import os
import stat
from collections.abc import Mapping, Sequence

from msgspec import Struct

KEYS: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
}
"""The variables that a provider's key may stand in, the usual one first."""
FILE = "_FILE"
_ENDING = f"_API_KEY{FILE}"
_SIZE_MAX = 8_192
_SECRET_LEAST = 4
"""What is shorter is no secret, but what is set where a server of one's own wants any key: taking
every `x` out would make an error unreadable."""


class KeyProblem(ValueError):
    """There is no usable key; the message says what to do, and shows nothing of it."""


class Key(Struct, frozen=True):
    name: str
    """The environment variable that it stands in, or would."""
    value: str

    def __repr__(self) -> str:
        return f"Key({self.name})"

    def taken_out(self, text: str) -> str:
        if len(self.value) < _SECRET_LEAST:
            return text
        return text.replace(self.value, f"[{self.name}]")


def find_key(names: Sequence[str], environ: Mapping[str, str]) -> Key | None:
    """The first of `names` that is set, itself or as a file; None where none is.

    Raises:
        KeyProblem: one is set, and can't be used.
    """
    for name in names:
        if value := environ.get(name, "").strip():
            return Key(name, _checked(value, name))
        if path := environ.get(name + FILE, ""):
            return Key(name, _checked(_read(path, name + FILE), path))
    return None


def file_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The keys that files hold, by the variables they stand for; those that can be read."""
    found = {}
    for variable, path in environ.items():
        if variable.endswith(_ENDING) and path:
            name = variable.removesuffix(FILE)
            try:
                found[name] = _checked(_read(path, variable), path)
            except KeyProblem:
                continue
    return found


def _checked(value: str, where: str) -> str:
    """A header takes no more; an error that shows the header would show the key."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise KeyProblem(f"the key in {where} has spaces, line breaks or letters that no key has")
    return value


def _read(path: str, variable: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise KeyProblem(f"the file that {variable} names, {path!r}: {reason.lower()}") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise KeyProblem(f"{path} holds no key ({variable}): it is not a regular file")
        if about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise KeyProblem(
                f"{path} can be read by others than you ({variable}): chmod 600 {path}"
            )
        value = os.read(descriptor, _SIZE_MAX + 1)
    finally:
        os.close(descriptor)
    if len(value) > _SIZE_MAX or not value.strip():
        raise KeyProblem(f"{path} holds no key ({variable}): it is empty, or far too long")
    return value.decode("utf-8", "replace").strip()
