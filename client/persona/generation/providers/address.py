"""Where a provider's server is, and whether a key may be sent there."""

import ipaddress
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

_SECRETIVE = ("key", "token", "secret", "password", "code", "sig")


class AddressError(ValueError):
    """A `--base-url` that is none; the message never repeats what may be a secret in it."""


class Address(Struct, frozen=True):
    """A server's address without a secret, as `scheme://host[:port]`, a path and a query."""

    origin: str
    host: str
    path: str = ""
    """Without a slash at its end; empty for none."""
    query: str = ""

    @property
    def name(self) -> str:
        """As people know it: the host, with its port where one is given."""
        return self.origin.partition("://")[2]

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def may_see_key(self) -> bool:
        """Never in the clear through a network."""
        return self.origin.startswith("https:") or self.is_loopback

    def url(self, path: str, query: str = "") -> str:
        """Of `path` on this server; the address's own query goes with every request."""
        queries = "&".join(each for each in (self.query, query) if each)
        return f"{self.origin}{path}" + (f"?{queries}" if queries else "")


def address(text: str) -> Address:
    """What `text` names.

    Raises:
        AddressError: it is no http(s) address, or holds a user's name, password or key.
    """
    if not text.isprintable() or " " in text:
        raise AddressError("--base-url has spaces or control characters in it")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"--base-url is no web address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise AddressError(
            "--base-url must be a whole address such as http://localhost:8000/v1 or "
            "https://example.com/v1"
        )
    if parts.username is not None or parts.password is not None:
        raise AddressError("--base-url holds a user name or password, and would be recorded")
    names = [name.casefold() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if any(word in name for name in names for word in _SECRETIVE):
        raise AddressError("--base-url seems to hold a key, and would be recorded")
    shown = f"[{host}]" if ":" in host else host
    where = shown if port is None else f"{shown}:{port}"
    return Address(f"{parts.scheme}://{where}", host, parts.path.rstrip("/"), parts.query)
