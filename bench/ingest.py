"""How many events a second are taken in and acknowledged, and what room one takes on disk."""

from collections.abc import Callable
from itertools import pairwise
from statistics import mean, median

from msgspec import Struct

from personad.contract.codec import encode

from . import peers
from .figure import Figure, beside
from .house import House, daemon, house
from .pressure import rate, send
from .producer import Load, events_of
from .sampling import percentile, spread

ROUNDS = 5
PEERS_EVENTS = 100_000
COMMIT = 1_000
"""Events a commit of the bare loop that is the limit."""
LIVE_MS, MONTHS_MS = 1, 60_000
"""Between two events of a producer, by their own time: as a busy ledger gets them, and as a history
of months that is taken in later."""
ONE_BY_ONE, WARM_UP = 3_000, 100
ONE_P50, ONE_P99 = 3.0, 10.0
AGAINST_EVENTSOURCING, AGAINST_SQLITE3 = 3.0, 1.0


class Case(Struct, frozen=True, kw_only=True):
    """A load, and the least share of the limit that it must reach."""

    name: str
    producers: int
    at_once: int
    events: int
    """Of all producers together."""
    limit: float | None
    priced: bool = True
    apart_ms: int = LIVE_MS
    against_peers: bool = False

    @property
    def loads(self) -> list[Load]:
        each = self.events // self.producers
        return [self.load(each, seed) for seed in range(1, self.producers + 1)]

    def load(self, events: int, seed: int) -> Load:
        return Load(
            events=events,
            at_once=self.at_once,
            seed=seed,
            over_ms=events * self.apart_ms,
            priced=self.priced,
        )


PRICED = Case(
    name="priced events",
    producers=2,
    at_once=1_000,
    events=200_000,
    limit=0.30,
    against_peers=True,
)
CASES = (
    PRICED,
    Case(
        name="bare usage, priced by the daemon",
        producers=2,
        at_once=1_000,
        events=200_000,
        limit=0.25,
        priced=False,
    ),
    Case(
        name="priced events",
        producers=4,
        at_once=100,
        events=100_000,
        limit=0.20,
        against_peers=True,
    ),
    Case(
        name="a history of months",
        producers=2,
        at_once=1_000,
        events=200_000,
        limit=None,
        apart_ms=MONTHS_MS,
    ),
)


def measure() -> list[Figure]:
    figures = [figure for case in CASES for figure in _case(case)]
    return [*figures, *_one_by_one(), _on_disk()]


def _case(case: Case) -> list[Figure]:
    """Round by round, ours and every peer one after the other, so that noise falls on all."""
    events = events_of(case.load(PEERS_EVENTS, seed=1))
    ours, limits = [], []
    others: dict[str, list[float]] = {}
    alone = []
    for _ in range(ROUNDS):
        before = _limit(events)
        with house() as here:
            if case.against_peers:
                for name, peer in _PEERS.items():
                    others.setdefault(name, []).append(peer(here.folder, events, case.at_once))
                alone.append(peers.log_alone(here.folder, events, case.at_once))
            with daemon(here):
                ours.append(rate(case.loads, send(here, case.loads)))
        # On both sides of ours, as the machine is quicker in one second than in another.
        limits.append(mean((before, _limit(events))))
    return [
        _share(case, ours, limits),
        *(_against(case, name, ours, theirs) for name, theirs in others.items()),
        *(_alone(case, name, alone, others[name]) for name in _LIMITS_ALONE if alone),
    ]


def _limit(events: peers.Events) -> float:
    with house() as here:
        return peers.bare_apsw(here.folder, events, COMMIT)


_PEERS: dict[str, Callable[..., float]] = {
    "eventsourcing, from an event": peers.eventsourcing_whole,
    "eventsourcing's SQLite recorder": peers.eventsourcing_recorder,
    "bare sqlite3": peers.bare_sqlite3,
    "a service on sqlite3, no projections": peers.service_on_sqlite3,
}
_LIMITS = {
    "eventsourcing's SQLite recorder": AGAINST_EVENTSOURCING,
    "bare sqlite3": AGAINST_SQLITE3,
}
_LIMITS_ALONE = {
    "a service on sqlite3, no projections": AGAINST_SQLITE3,
    "eventsourcing, from an event": None,
}
"""What begins with an event, too, and folds nothing."""


def _share(case: Case, ours: list[float], limits: list[float]) -> Figure:
    shares = [mine / bare for mine, bare in zip(ours, limits, strict=True)]
    return Figure(
        name=f"{case.name}, {case.at_once:,} a request",
        value=median(shares),
        limit=case.limit,
        at_least=True,
        unit="×",
        peer=f"a bare insert loop, {COMMIT:,} a commit: {median(limits):,.0f} /s",
        detail=f"{median(ours):,.0f} /s acknowledged; {case.producers} producers, "
        f"{case.events:,} cost.recorded {case.apart_ms:,} ms apart, same durability; medians of "
        f"{ROUNDS} rounds, least to greatest",
        interval=spread(shares),
    )


def _against(case: Case, name: str, ours: list[float], theirs: list[float]) -> Figure:
    return Figure(
        name=f"the same against {name}",
        value=median(ours) / median(theirs),
        limit=_LIMITS.get(name),
        at_least=True,
        unit="×",
        peer=f"{name}: {median(theirs):,.0f} /s",
        detail=f"{case.at_once:,} a commit there, too; {PEERS_EVENTS:,} events from one thread, "
        "nothing sent",
        interval=spread([mine / other for mine, other in zip(ours, theirs, strict=True)]),
    )


def _alone(case: Case, name: str, ours: list[float], theirs: list[float]) -> Figure:
    return Figure(
        name=f"the ledger's log alone against {name}",
        value=median(ours) / median(theirs),
        limit=_LIMITS_ALONE[name],
        at_least=True,
        unit="×",
        peer=f"{name}: {median(theirs):,.0f} /s",
        detail=f"{median(ours):,.0f} /s from each request's bytes to its rows, in one process, "
        f"without sockets and projections; {case.at_once:,} a commit, {PEERS_EVENTS:,} events",
        interval=spread([mine / other for mine, other in zip(ours, theirs, strict=True)]),
    )


def _one_by_one() -> list[Figure]:
    """One producer that waits for each answer; before it and after it, bare commits of one row."""
    load = Load(events=ONE_BY_ONE, at_once=1, seed=1, over_ms=ONE_BY_ONE)
    events = events_of(load)
    with house() as here:
        bare = peers.one_row_commits(here.folder, events)
        with daemon(here):
            (sent,) = send(here, [load])
    with house() as here:
        bare += peers.one_row_commits(here.folder, events)
    ours = [(end - begin) / 1e6 for begin, end in pairwise(sent.answered_ns)][WARM_UP:]
    usual = median(bare)
    return [
        Figure(
            name=f"one event a request, p{percent}",
            value=percentile(ours, percent) / usual,
            limit=limit,
            unit="×",
            peer=f"a bare commit of one row: p50 {usual:.3f} ms, p99 {percentile(bare, 99):.3f} ms",
            detail=f"{percentile(ours, percent):.3f} ms against that p50; 1 producer, "
            f"{len(ours):,} requests, worst {max(ours):.1f} ms",
        )
        for percent, limit in ((50, ONE_P50), (99, ONE_P99))
    ]


def _on_disk() -> Figure:
    with house() as here:
        with daemon(here):
            empty = database_bytes(here)
            send(here, PRICED.loads)
        # A daemon that has drained has taken its write-ahead log in.
        an_event = (database_bytes(here) - empty) / PRICED.events
    sample = events_of(PRICED.loads[0])[:10_000]
    as_json = sum(len(encode(event, "json")) + 1 for event in sample) / len(sample)
    return Figure(
        name="disk for an event, its folds included",
        value=an_event,
        limit=None,
        unit="B",
        peer=beside("as a JSON line", as_json, an_event, "B"),
        detail=f"cost.recorded, {PRICED.events:,} of them; after the daemon has drained",
    )


def database_bytes(here: House) -> int:
    database = here.paths.database
    files = [database, database.with_name(database.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())
