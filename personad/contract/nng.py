"""The only room that knows nng: two small typed sockets over `ipc://`.

pynng's own package imports asyncio, which costs a command more than everything else that it loads,
and its asyncio layer leaks messages and cancellations. So only its extension module is loaded, and
every call here is a plain one: it blocks (and lets other threads run) or it doesn't wait at all.

Sockets are for their owner: a listener's file has mode 0600, and a connection from another user is
closed before it can send a byte.
"""

import os
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

SEND_QUEUE_MESSAGES = 256


class NngError(Exception):
    """What nng said, with its number."""

    def __init__(self, number: int) -> None:
        super().__init__(_ffi.string(_lib.nng_strerror(number)).decode())
        self.number = number


class Closed(NngError):
    """The socket was closed, here or there."""


def _load() -> Any:
    package = find_spec("pynng")
    if package is None or package.submodule_search_locations is None:
        raise ImportError("pynng is not installed")
    spec = PathFinder.find_spec("_nng", list(package.submodule_search_locations))
    if spec is None or spec.loader is None:
        raise ImportError("this release of pynng has no extension module named _nng")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _load()
_ffi: Any = _module.ffi
_lib: Any = _module.lib
_OWN_UID = os.getuid()
_PIPES: dict[int, set[int]] = {}
"""The open pipes of each listening socket, by the socket's id."""


@_ffi.def_extern(name="_nng_pipe_cb")  # type: ignore[untyped-decorator]
def _on_pipe(pipe: Any, event: int, arg: Any) -> None:  # pragma: no cover - nng's own threads
    socket_id = int(_ffi.cast("uintptr_t", arg))
    if event == _lib.NNG_PIPE_EV_ADD_PRE:
        uid = _ffi.new("uint64_t *")
        failed = _lib.nng_pipe_get_uint64(pipe, b"ipc:peer-uid", uid)
        if failed or uid[0] != _OWN_UID:
            _lib.nng_pipe_close(pipe)
    elif event == _lib.NNG_PIPE_EV_ADD_POST:
        _PIPES.setdefault(socket_id, set()).add(_lib.nng_pipe_id(pipe))
    else:
        _PIPES.get(socket_id, set()).discard(_lib.nng_pipe_id(pipe))


def _check(number: int) -> None:
    if number == 0:
        return
    if number in (_lib.NNG_ECLOSED, _lib.NNG_ECONNRESET, _lib.NNG_ECONNSHUT, _lib.NNG_ECONNREFUSED):
        raise Closed(number)
    raise NngError(number)


class _Socket:
    """What both share: options, sending, receiving, closing."""

    def __init__(self, opener: Any) -> None:
        self._socket = _ffi.new("nng_socket *")
        _check(opener(self._socket))
        self._open = True

    def close(self) -> None:
        """Ends every call that waits on this socket, in any thread, with `Closed`."""
        if self._open:
            self._open = False
            _lib.nng_close(self._socket[0])
            _PIPES.pop(int(self._socket[0].id), None)

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_milliseconds(self, option: bytes, value_ms: int) -> None:
        _check(_lib.nng_socket_set_ms(self._socket[0], option, value_ms))

    def _set_int(self, option: bytes, value: int) -> None:
        _check(_lib.nng_socket_set_int(self._socket[0], option, value))

    def _set_size(self, option: bytes, value_bytes: int) -> None:
        _check(_lib.nng_socket_set_size(self._socket[0], option, value_bytes))

    def _descriptor(self, option: bytes) -> int:
        found = _ffi.new("int *")
        _check(_lib.nng_socket_get_int(self._socket[0], option, found))
        return int(found[0])

    def _listen(self, path: str) -> None:
        """Binds with mode 0600; a stale file of a dead listener is taken over."""
        number = int(self._socket[0].id)
        for event in (
            _lib.NNG_PIPE_EV_ADD_PRE,
            _lib.NNG_PIPE_EV_ADD_POST,
            _lib.NNG_PIPE_EV_REM_POST,
        ):
            _check(
                _lib.nng_pipe_notify(
                    self._socket[0], event, _lib._nng_pipe_cb, _ffi.cast("void *", number)
                )
            )
        listener = _ffi.new("nng_listener *")
        _check(_lib.nng_listener_create(listener, self._socket[0], f"ipc://{path}".encode()))
        _check(_lib.nng_listener_set_int(listener[0], b"ipc:permissions", 0o600))
        _check(_lib.nng_listener_start(listener[0], 0))

    def _dial(self, path: str, *, reconnect: bool) -> None:
        """Starts connecting, and goes on after a lost connection where `reconnect` says so."""
        flags = _lib.NNG_FLAG_NONBLOCK if reconnect else 0
        _check(_lib.nng_dial(self._socket[0], f"ipc://{path}".encode(), _ffi.NULL, flags))

    def _send_now(self, body: bytes) -> bool:
        """Sends without waiting; False where there was no room."""
        number = _lib.nng_send(self._socket[0], body, len(body), _lib.NNG_FLAG_NONBLOCK)
        if number == _lib.NNG_EAGAIN:
            return False
        _check(number)
        return True

    def _receive_now(self) -> bytes | None:
        """A message, or None where there is none yet."""
        message = _ffi.new("nng_msg **")
        number = _lib.nng_recvmsg(self._socket[0], message, _lib.NNG_FLAG_NONBLOCK)
        if number == _lib.NNG_EAGAIN:
            return None
        _check(number)
        try:
            return _body(message[0])
        finally:
            _lib.nng_msg_free(message[0])


def _body(message: Any) -> bytes:
    return bytes(_ffi.buffer(_lib.nng_msg_body(message), _lib.nng_msg_len(message)))


class Publisher(_Socket):
    """Publishes to whoever listens, without ever waiting for them."""

    def __init__(self, path: str) -> None:
        super().__init__(_lib.nng_pub0_open)
        self._set_int(b"send-buffer", SEND_QUEUE_MESSAGES)
        self._listen(path)

    @property
    def subscribers(self) -> int:
        return len(_PIPES.get(int(self._socket[0].id), ()))

    def publish(self, topic: bytes, body: bytes) -> None:
        """What a slow subscriber has no room for is lost to it; its `seq` will tell it so."""
        self._send_now(topic + body)


class Subscriber(_Socket):
    """Hears what is published on some topics; connects again by itself."""

    def __init__(self, path: str, topics: tuple[bytes, ...]) -> None:
        super().__init__(_lib.nng_sub0_open)
        self._set_int(b"recv-buffer", 1_024)
        self._set_size(b"recv-size-max", 0)
        self._set_milliseconds(b"reconnect-time-min", 50)
        self._set_milliseconds(b"reconnect-time-max", 500)
        for topic in topics:
            _check(_lib.nng_socket_set(self._socket[0], b"sub:subscribe", topic, len(topic)))
        self._dial(path, reconnect=True)

    def fileno(self) -> int:
        """Readable when there is something to receive: for `select`."""
        return self._descriptor(b"recv-fd")

    def receive(self) -> bytes | None:
        """The next message, topic and body, or None where there is none yet."""
        return self._receive_now()
