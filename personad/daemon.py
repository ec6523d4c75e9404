"""The daemon: opens everything in order, keeps the time, closes everything in order.

The work is done by threads around blocking calls (receiver, writer, readers, live, intake); the
event loop in here only waits: for signals, for `stop`, for the next second.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import anyio
import apsw
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from personad import carrying, leases, log, news, notify, quarantine
from personad.allocator import settle
from personad.api import Api
from personad.backup import Backups, last_backup
from personad.civil import UnknownZone, find_zone
from personad.contract.admin import (
    Backup,
    Hello,
    Mode,
    Rebuild,
    Retention,
    Status,
    StatusReply,
    Stop,
    Welcome,
)
from personad.contract.base import PROTOCOL, VERSION, Done, Reply
from personad.contract.nng import Publisher
from personad.contract.paths import Paths, check_socket_path, private_directory
from personad.contract.prices import PricesUpdate
from personad.contract.progress import Progress
from personad.contract.settings import ConfigurationError, Settings
from personad.intake import Intake
from personad.jobs import Expiry, Job, Trial
from personad.journal import open_journal
from personad.keeper import Keeper
from personad.live import Live
from personad.locks import lock
from personad.price_updates import PriceUpdates
from personad.projections import batch_questions
from personad.questions import ANSWERS, KEEPS
from personad.rebuilding import Rebuilds
from personad.replier import Replier
from personad.reporting import Reports
from personad.restore import complete
from personad.retention import held_back, last_retention
from personad.spool import backlog, quarantined
from personad.store import begin_weeks_on, ledger_id, open_for_reading
from personad.tidy import rezone
from personad.trouble import Health, naming_damage, open_letting_go
from personad.writer import Writer

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while others want it: the usual 5 ms is what a watcher
would wait; with a twentieth of a millisecond, who asks under full ingest waits twice as long."""
RATE_WINDOW_S = 10.0
PREDECESSOR_S = 3.0
"""How long one that is still draining, or looking who holds the ledger, may hold it."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Daemon:
    """What is running, and what it says about itself."""

    paths: Paths
    autostarted: bool
    writer: Writer
    live: Live
    ledger: str
    raw_days: int
    wake: Callable[[], None] = lambda: None
    """Has the event loop look whether it was told to stop."""
    told_to_stop: bool = False
    draining: bool = False
    started_at: float = field(default_factory=time.monotonic)

    def hello(self, _: Hello) -> Welcome:
        return Welcome(
            protocol=PROTOCOL,
            version=VERSION,
            pid=os.getpid(),
            ledger=self.ledger,
            last_seq=self.writer.last_seq,
            autostarted=self.autostarted,
            mode=self.mode,
            alerts=self.writer.alerts,
        )

    def stopping(self, _: Stop) -> Done:
        self.told_to_stop = True
        self.wake()
        return Done()

    @property
    def mode(self) -> Mode:
        if self.draining or self.told_to_stop:
            return "draining"
        return "normal" if self.writer.trouble is None else "read-only"

    def progress(self, db: apsw.Connection, request: Progress, now: datetime) -> Done:
        """Raises LedgerError `conflict` where another runner has the batch."""
        leases.check_fence(db, request.batch, request.fence)
        self.live.progress(db, request, now)
        return Done()

    def status(self, db: apsw.Connection, _: Status, now: datetime) -> StatusReply:
        clock = time.monotonic()
        recent = sum(n for at, n in list(self.writer.commits) if at > clock - RATE_WINDOW_S)
        return StatusReply(
            version=VERSION,
            pid=os.getpid(),
            uptime_ms=round((clock - self.started_at) * 1_000),
            api_socket=str(self.paths.api_socket),
            live_socket=str(self.paths.live_socket),
            database=str(self.paths.database),
            size_bytes=_size_bytes(self.paths),
            last_seq=self.writer.last_seq,
            events_per_s=recent / RATE_WINDOW_S,
            open_batches=batch_questions.count_open(db),
            watchers=self.live.watchers,
            spool_backlog=backlog(self.paths.spool_dir),
            quarantined=quarantined(self.paths.quarantine_dir) + quarantine.count(db),
            anomalies=log.count_anomalies(db),
            last_retention=last_retention(db),
            last_backup=last_backup(db),
            mode=self.mode,
            mode_reason=self.writer.trouble,
            # From a ledger in trouble nothing is dropped anyway, and events may not be readable.
            retention_held=None if self.writer.trouble else held_back(db, now, self.raw_days),
            log_held=carrying.held(db),
        )


def _zone(settings: Settings) -> ZoneInfo:
    try:
        return find_zone(settings.daemon.timezone)
    except UnknownZone as error:
        raise ConfigurationError(str(error), key="daemon.timezone") from None


def _size_bytes(paths: Paths) -> int:
    files = [paths.database, paths.database.with_name(paths.database.name + "-wal")]
    total = 0
    for file in files:
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def run(paths: Paths, settings: Settings, *, autostarted: bool, ready: Callable[[], None]) -> None:
    """Is the daemon until it is told to stop; calls `ready` once it answers.

    Raises:
        Held: another daemon has this ledger.
        LedgerError: the database can't be used.
        ConfigurationError: a folder or a socket's path can't be used.
    """
    for folder in (paths.data_dir, paths.runtime_dir, paths.spool_dir, paths.quarantine_dir):
        private_directory(folder)
    for socket in (paths.api_socket, paths.live_socket):
        check_socket_path(socket)
    _zone(settings)
    os.umask(0o077)
    # numpy's own threads would spin between sums that are too small to share.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.setswitchinterval(SWITCH_S)
    settle()
    threading.excepthook = _end
    holding = lock(paths.life_lock, wait_s=PREDECESSOR_S, says=bytes(paths.runtime_dir))
    with holding, ExitStack() as closing:
        open_journal(paths.log_file, settings.daemon.log_level)
        daemon = _open(paths, settings, autostarted, closing)
        logger.info("ready: version %s, ledger %s", VERSION, daemon.ledger)
        anyio.run(_wait, daemon, ready)
        daemon.draining = True
        # A second request to stop must not cut the draining short; SIGKILL still can.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _tell("STOPPING=1")
        logger.info("stopping")
    logger.info("stopped after seq %d", daemon.writer.last_seq)


def _end(died: threading.ExceptHookArgs) -> None:
    """A daemon that lost a thread answers some and keeps others waiting for ever: it ends at once.

    Whoever needs it starts it again, whole, and nothing that was acknowledged is lost.
    """
    name = died.thread.name if died.thread else "?"
    cause = died.exc_value
    logger.critical("the %s thread died, and the daemon with it", name, exc_info=cause)
    os._exit(70)


async def _wait(daemon: Daemon, ready: Callable[[], None]) -> None:
    """Until a signal or a `stop` comes."""
    asked_to_stop = anyio.Event()
    daemon.wake = partial(_soon, asyncio.get_running_loop(), asked_to_stop.set)
    if daemon.told_to_stop:
        return
    async with anyio.create_task_group() as tasks:
        await tasks.start(_hear_signals, asked_to_stop)
        tasks.start_soon(_keep_time, daemon)
        tasks.start_soon(_feed_watchdog, daemon)
        ready()
        _tell("READY=1")
        await asked_to_stop.wait()
        tasks.cancel_scope.cancel()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Has the loop do something, from another thread, without waiting for it."""
    with suppress(RuntimeError):  # The loop has ended: nobody is waiting any more.
        loop.call_soon_threadsafe(call)


def _open(paths: Paths, settings: Settings, autostarted: bool, closing: ExitStack) -> Daemon:
    """Starts every thread, and has `closing` end them in the reverse order."""
    complete(paths.database)
    with naming_damage(paths.database):
        return _open_sound(paths, settings, autostarted, closing)


def _open_sound(paths: Paths, settings: Settings, autostarted: bool, closing: ExitStack) -> Daemon:
    zone = _zone(settings)
    db = open_letting_go(paths.database, paths.ballast)
    closing.callback(db.close)
    health = Health(paths.database, paths.ballast)
    closing.callback(health.close)
    health.begin(db, ledger_id(db))
    try:
        begin_weeks_on(db, settings.daemon.week_start)
        news.configure(db, settings)
        if rezone(db, zone):
            logger.info("days are added up anew in the zone %s", zone.key)
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
        # Then they stay those of the zone before, and are asked for as such.
        logger.error("the ledger can't be led to the zone %s: %s", zone.key, error)
    # The life lock is ours, so a socket file that lies here belongs to nobody any more.
    for socket in (paths.api_socket, paths.live_socket):
        socket.unlink(missing_ok=True)
    publisher = Publisher(str(paths.live_socket))
    closing.callback(publisher.close)
    watched = open_for_reading(str(paths.database))
    closing.callback(watched.close)
    live = Live(publisher, watched, log.last_seq(db))
    writer = Writer(db, zone=zone, publish=live.prepare, health=health)
    rebuilds = Rebuilds(writer.with_book, paths.data_dir, health)
    backups = Backups(writer.between, paths.database, health)
    daemon = Daemon(
        paths=paths,
        autostarted=autostarted,
        writer=writer,
        live=live,
        ledger=ledger_id(db),
        raw_days=settings.retention.raw_days,
    )
    intake = Intake(writer, paths.spool_dir, paths.quarantine_dir)
    replier = Replier(str(paths.api_socket))
    keeper = Keeper(writer, paths.database, raw_days=settings.retention.raw_days)
    api = Api(
        replier,
        writer,
        str(paths.database),
        own={Hello: daemon.hello, Stop: daemon.stopping},
        answers={
            **ANSWERS,
            Status: daemon.status,
            Progress: daemon.progress,
            PricesUpdate: PriceUpdates(paths.data_dir, writer.with_book).take,
        },
        keeps=KEEPS,
        later={Backup: backups.take, Rebuild: rebuilds.take, Retention: keeper.take},
        before_call=intake.first,
    )
    for thread in (live, writer, rebuilds, intake, api, keeper):
        thread.start()
    # Closed from the last to the first: the writer takes nothing new but does and answers all that
    # it has, while the request socket goes on telling everybody else that the daemon is stopping.
    closing.callback(live.close)
    closing.callback(api.close)
    closing.callback(backups.close)
    closing.callback(rebuilds.close)
    closing.callback(intake.close)
    closing.callback(writer.drain)
    closing.callback(api.hand_over)
    closing.callback(keeper.close)
    if settings.cost.alerts.webhook_url is not None:
        _send_alerts(daemon, settings, closing)
    if settings.cost.export.auto:
        week_start = settings.daemon.week_start
        reports = Reports(paths.database, settings.cost.export, zone, week_start)
        reports.start()
        closing.callback(reports.close)
    return daemon


def _send_alerts(daemon: Daemon, settings: Settings, closing: ExitStack) -> None:
    # OpenSSL is loaded for those alone who use it.
    from personad.webhook import Courier, hook_of

    hook = hook_of(settings.cost.alerts, os.environ)
    if hook is not None:
        courier = Courier(daemon.writer, str(daemon.paths.database), daemon.ledger, hook)
        courier.start()
        closing.callback(courier.close)


async def _hear_signals(
    asked_to_stop: anyio.Event, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            logger.info("got %s", number.name)
            asked_to_stop.set()


async def _keep_time(daemon: Daemon) -> None:
    """Once a second: leases that ran out, and a tick for the watchers."""
    writer = daemon.writer
    while True:
        await anyio.sleep(leases.TICK_S)
        if writer.trouble is not None:
            writer.submit(Job(Trial(), 0, lambda _: None))
        clock = time.monotonic()
        if not writer.is_held_up(clock):
            writer.leases.tick(clock)
        for batch in writer.leases.expired(writer.leases.now(clock)):
            writer.submit(Job(Expiry(batch), 0, lambda _: None))
        daemon.live.tick()


async def _feed_watchdog(daemon: Daemon) -> None:
    """Tells the service manager that we live, each time after a round trip through the writer."""
    try:
        interval_s = notify.watchdog_interval_s()
    except ValueError as error:
        logger.error("no watchdog is fed: %s", error)
        return
    if interval_s is None:
        return
    loop = asyncio.get_running_loop()
    while True:
        done = anyio.Event()
        if not daemon.writer.submit(Job(None, 0, partial(_answered, loop, done))):
            return
        await done.wait()
        _tell("WATCHDOG=1")
        await anyio.sleep(interval_s)


def _tell(state: str) -> None:
    """A service manager that is gone is no reason to stop serving."""
    try:
        notify.notify(state)
    except OSError as error:
        logger.warning("the service manager could not be told %s: %s", state, error)


def _answered(loop: asyncio.AbstractEventLoop, done: anyio.Event, _: Reply | None) -> None:
    _soon(loop, done.set)
