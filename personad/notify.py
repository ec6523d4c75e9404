"""Telling the service manager how the daemon is: the protocol of sd_notify(3), without libsystemd.

Outside a service manager nothing is set in the environment, and nothing is sent.
"""

import errno
import os
import socket
from collections.abc import Mapping

SEND_TIMEOUT_S = 1.0
"""A manager that no longer reads its socket may not hold up the daemon for longer."""


def notify(state: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Send `state` (`READY=1`, `WATCHDOG=1`, …; several separated by newlines) in one datagram.

    False where no service manager listens (`NOTIFY_SOCKET` is unset or empty). Raises OSError
    where one should, but the datagram did not reach it.
    """
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if not address.startswith(("/", "@")):
        raise OSError(
            errno.EAFNOSUPPORT, "NOTIFY_SOCKET is neither a path nor an abstract address", address
        )
    where = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(SEND_TIMEOUT_S)
        datagrams.sendto(state.encode(), where)
    return True


def watchdog_interval_s(
    environ: Mapping[str, str] = os.environ, *, pid: int | None = None
) -> float | None:
    """How often `WATCHDOG=1` is to be sent: half of what the service manager waits, in seconds.

    None where no watchdog is set, or where it is set for another process than `pid` (this one):
    the variables are inherited by children. Raises ValueError for what is no number.
    """
    wait = environ.get("WATCHDOG_USEC")
    if not wait:
        return None
    wait_us = _number("WATCHDOG_USEC", wait)
    watched = environ.get("WATCHDOG_PID")
    if watched and _number("WATCHDOG_PID", watched) != (os.getpid() if pid is None else pid):
        return None
    return wait_us / 2 / 1_000_000 if wait_us else None


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{name} must be a whole number, and is {value!r}")
    return int(value)
