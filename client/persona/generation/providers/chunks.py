"""Chunks of an HTTP/1.1 body (RFC 9112, 7.1), several made one.

A library that reads a body takes about as long for a chunk of one word as for one of a page, and
what streams a model's answer sends a chunk a word. What has come together is therefore told as one
chunk; whatever isn't as plain as it can be is left as it is, for the library to judge.
"""

import re

from msgspec import Struct

LAST = b"0\r\n\r\n"
"""The last chunk, where no trailers follow."""
_HEADER = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?:\r\n|\Z)", re.IGNORECASE)


class Merged(Struct, frozen=True):
    """The same body as what was given; together with `rest`, nothing of it is missing."""

    whole: bytes
    rest: bytes
    """The beginning of a chunk that has not come to its end, or what is no plain chunk."""
    is_plain: bool
    """Whether `rest` may be given again, with what comes after it."""
    is_last: bool = False
    """Whether the last chunk is in it."""


def merged(framed: bytes) -> Merged:
    """The whole chunks at the beginning of `framed`, as one. Where one begins, it has to begin."""
    parts: list[bytes] = []
    at, end, is_plain, is_last = 0, len(framed), True, False
    while at < end and not is_last:
        header = _HEADER.match(framed, at)
        if header is None:
            # Eight digits and a line's end are the longest that may still become one.
            is_plain = end - at < 10 and b"\n" not in framed[at:]
            break
        size = int(header[1], 16)
        begin, follows = header.end(), header.end() + size + 2
        if follows > end:
            break
        if framed[follows - 2 : follows] != b"\r\n":
            is_plain = False
            break
        if size:
            parts.append(framed[begin : follows - 2])
        is_last = not size
        at = follows
    if len(parts) > 1:
        data = b"".join(parts)
        whole = b"%x\r\n%b\r\n%b" % (len(data), data, LAST if is_last else b"")
    else:
        whole = framed[:at]
    return Merged(whole, framed[at:], is_plain, is_last)


def begins_chunk(received: bytes) -> bool:
    """Whether, after so much of a response, its next chunk begins."""
    head, is_whole, body = received.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head, is_whole, body = body.partition(b"\r\n\r\n")
    if not (is_whole and head.startswith(b"HTTP/1.1 2") and _CHUNKED.search(head)):
        return False
    so_far = merged(body)
    return so_far.is_plain and not so_far.is_last and not so_far.rest
