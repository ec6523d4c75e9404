"""A text from the network, for the one command that asks it for one."""

from urllib.parse import urlsplit

import httpx2

MOST_BYTES = 7 << 20
"""More would not fit a message to the daemon."""
PATIENCE = httpx2.Timeout(30, connect=10)


class CannotFetch(Exception):
    """The message says why."""


class NoAddress(CannotFetch):
    """Nothing can ever be fetched from there."""


def fetched(url: str) -> str:
    """The text at `url`. Raises CannotFetch, NoAddress."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise NoAddress(str(error)) from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise NoAddress("this is no address that begins with https://")
    found = bytearray()
    try:
        with (
            httpx2.Client(timeout=PATIENCE, follow_redirects=True) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise CannotFetch(f"the server answers {response.status_code}")
            for piece in response.iter_bytes():
                found += piece
                if len(found) > MOST_BYTES:
                    raise CannotFetch(f"it is over {MOST_BYTES:,} bytes")
    except httpx2.TimeoutException:
        raise CannotFetch("no answer came in time") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise CannotFetch(str(error) or type(error).__name__) from None
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise CannotFetch("it is no text") from None
