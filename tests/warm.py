"""Processes of this program that begin with its modules loaded.

A test that starts a daemon, asks it something by a command and stops it again is four processes,
and each of them imported for longer than it worked. Here one process loads everything and does
nothing; what would be started anew is forked from it instead: a process of its own all the same,
with the arguments, the environment, the folder and the descriptors that it was given, and what it
starts in turn is forked from there, too.

What differs in anything else (the interpreter's options, the language, limits) is started as ever,
and so is everything in a test marked `cold`: those that are about how a process begins, about what
others see of it in /proc, and those that kill it at any moment. Two things a fork has not: it is
in no process group of its starter's, and its end takes no interpreter apart.
"""

import atexit
import fcntl
import gc
import os
import pickle
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from inspect import signature
from typing import Any, NoReturn

PROGRAMS = frozenset({"persona", "personad", "persona.generation.runner"})
LOADED = (
    "persona.program",
    "persona.commands.batch",
    "persona.commands.config",
    "persona.commands.cost",
    "persona.commands.events",
    "persona.commands.generate",
    "persona.commands.quality",
    "persona.generation.runner",
    "personad.cli",
    "personad.daemon",
)
_LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CPU)
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_FREE = 500
"""Descriptors from here on are nobody's, while those that a process is given are put in place."""

_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_start = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_poll = subprocess.Popen._internal_poll  # type: ignore[attr-defined]
_wait = subprocess.Popen._try_wait  # type: ignore[attr-defined]
_named = signature(_start)

address = ""
"""Where the process waits that others are forked from; empty until one is needed."""
cold = False
_turn = threading.Lock()


def install() -> None:
    """From now on `subprocess` has what can be forked forked."""
    popen: Any = subprocess.Popen
    popen._execute_child, popen._internal_poll, popen._try_wait = _begin, _look, _await


def _kind(environ: Mapping[str, str]) -> object:
    """What a fork can only have as the process has it that it is forked from."""
    own = {name: each for name, each in environ.items() if name.startswith(("PYTHON", "LC_"))}
    ignored = [signal.getsignal(each) is signal.SIG_IGN for each in _IGNORED]
    return own, environ.get("LANG"), ignored, [resource.getrlimit(each) for each in _LIMITS]


_PYTHON = sys.executable
_OURS = _kind(os.environ)


def _program(asked: Mapping[str, Any]) -> list[str] | None:
    """`-P` or nothing, the module and its arguments; None where it can't be forked."""
    words = asked["args"]
    if cold or isinstance(words, str) or list(words[:1]) != [_PYTHON]:
        return None
    words = [os.fsdecode(each) for each in words[1:]]
    safe = words[:1] == ["-P"]
    if words[safe : safe + 1] != ["-m"] or words[safe + 1] not in PROGRAMS:
        return None
    plain = not any(asked[each] for each in ("executable", "preexec_fn", "shell"))
    usual = all(asked[each] in (None, -1) for each in ("uid", "gid", "gids", "umask"))
    same = _kind(os.environ if asked["env"] is None else asked["env"]) == _OURS
    if plain and usual and same and asked["cwd"] in (None, "/"):
        return ["-P" if safe else "", *words[safe + 1 :]]
    return None


def _begin(self: Any, *given: Any) -> None:
    asked = _named.bind(self, *given).arguments
    program = _program(asked)
    if program is None:
        _start(self, *given)
        return
    here = os.open(asked["cwd"] or ".", os.O_PATH | os.O_DIRECTORY)
    ends = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]
    placed = {place: place if end == -1 else end for place, end in enumerate(ends)}
    placed |= {each: each for each in asked["pass_fds"]}
    order = {
        "program": program,
        "environ": dict(os.environ if asked["env"] is None else asked["env"]),
        "places": list(placed),
        "session": asked["start_new_session"],
        "umask": _umask(),
    }
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.connect(_serving())
        socket.send_fds(link, [pickle.dumps(order)], [here, *placed.values()])
        self.pid = int(link.recv(100))
    except BaseException:
        link.close()
        raise
    finally:
        os.close(here)
    self._warm = _Link(link.detach())
    self._child_created = True
    self._close_pipe_fds(*(asked[each] for each in _PIPES))


class _Link:
    """On which it is told how a process ended; some are let go of without a wait for that."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.descriptor)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _ended(self: Any, flags: int) -> tuple[int, int]:
    """As `os.waitpid` of a process that is another one's child."""
    link = self._warm.descriptor
    if flags & os.WNOHANG and not select.select([link], [], [], 0)[0]:
        return 0, 0
    return self.pid, int(os.read(link, 100) or signal.SIGKILL)


def _look(self: Any, *given: Any, **named: Any) -> Any:
    if not hasattr(self, "_warm"):
        return _poll(self, *given, **named)
    return _poll(self, *given, **named, _waitpid=lambda _, flags: _ended(self, flags))


def _await(self: Any, flags: int) -> tuple[int, int]:
    found: tuple[int, int] = _ended(self, flags) if hasattr(self, "_warm") else _wait(self, flags)
    return found


def _serving() -> str:
    """The address of the process to fork from; it ends when this one does."""
    global address
    with _turn:
        address = address or _serve()
    return address


def _serve() -> str:
    ours, theirs = socket.socketpair()
    name = f"warm-{os.getpid()}-{os.urandom(8).hex()}"
    command = [_PYTHON, "-P", __file__, str(theirs.fileno()), name]
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            # The threads of numpy's BLAS would be gone in a fork.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            cwd="/",
            start_new_session=True,
        )
    atexit.register(_let_go, ours, process)
    assert ours.recv(1), "what processes are forked from did not begin"
    return f"\0{name}"


def _let_go(ours: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    ours.close()
    process.wait()


def running(module: str, variable: str) -> list[int]:
    """The processes that run a module with `NAME=value` in their environment."""
    if not address:
        return []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(address)
        socket.send_fds(link, [pickle.dumps((module, variable))], [])
        return [int(each) for each in link.recv(1 << 16).split()]


class _Server:
    """Forks a process for each that asks, and tells him how it ended."""

    def __init__(self, held: int) -> None:
        self.held = socket.socket(fileno=held)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(address)
        self.listener.listen(64)
        self.links: dict[int, tuple[socket.socket, int]] = {}
        self.orders: dict[int, Any] = {}

    def serve(self) -> dict[str, Any] | None:
        """Comes back in each process that was forked, with its order; and in the end with None."""
        self.held.send(b".")
        while True:
            ready = select.select([self.held, self.listener, *self.links], [], [])[0]
            if self.held in ready:
                return None
            for ended in [each for each in ready if each in self.links]:
                self._tell(ended)
            if self.listener in ready:
                link, _ = self.listener.accept()
                if (order := self._fork(link)) is not None:
                    return order

    def _tell(self, process: int) -> None:
        link, pid = self.links.pop(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        del self.orders[pid]
        with link:
            _say(link, str(status))

    def _fork(self, link: socket.socket) -> dict[str, Any] | None:
        body, given, _, _ = socket.recv_fds(link, 1 << 20, 64)
        if not body:
            # It was killed before it had said what it wants.
            link.close()
            return None
        order = pickle.loads(body)
        if isinstance(order, tuple):
            with link:
                _say(link, " ".join(str(pid) for pid in self.orders if self._is(pid, *order)))
            return None
        pid = os.fork()
        if pid:
            self.orders[pid] = order
            for each in given:
                os.close(each)
            self.links[os.pidfd_open(pid)] = link, pid
            _say(link, str(pid))
            return None
        for each in (self.held, self.listener, link, *(link for link, _ in self.links.values())):
            each.close()
        for process in self.links:
            os.close(process)
        return order | {"given": given}

    def _is(self, pid: int, module: str, variable: str) -> bool:
        name, _, value = variable.partition("=")
        order = self.orders[pid]
        return order["program"][1] == module and order["environ"].get(name) == value


def _say(link: socket.socket, text: str) -> None:
    # Who starts a process may have ended before it.
    with suppress(BrokenPipeError, ConnectionResetError):
        link.send(text.encode())


def _become(order: Mapping[str, Any]) -> str:
    """Makes this process what was asked for; the module to run."""
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, _FREE) for each in order["given"]]
    os.closerange(3, _FREE)
    os.fchdir(moved[0])
    for place, each in zip(order["places"], moved[1:], strict=True):
        os.dup2(each, place, inheritable=True)
    os.closerange(_FREE, max(moved) + 1)
    if order["session"]:
        os.setsid()
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    for place, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        stream = open(  # noqa: SIM115 - it lasts as long as the process
            place,
            "w" if place else "r",
            1 if place == 2 else -1,
            before.encoding,
            before.errors,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    safe, module, *arguments = order["program"]
    sys.argv = [module, *arguments]
    if not safe:
        sys.path.insert(0, "")
    return str(module)


def main() -> None:
    global address
    held, name = int(sys.argv[1]), sys.argv[2]
    address = f"\0{name}"
    for each in LOADED:
        import_module(each)
    install()
    gc.collect()
    gc.freeze()
    order = _Server(held).serve()
    if order is not None:
        _run(_become(order))


def _run(module: str) -> NoReturn:
    """As `python -m`, but for the last: nothing is taken apart that the next fork has whole."""
    sys.modules.pop(module, None)
    status: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - told as an interpreter tells it
        sys.excepthook(*sys.exc_info())
        status = 1
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    main()
