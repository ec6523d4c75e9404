"""The rows of the batches rollup: one a batch, one a persona, and how they are loaded and saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from operator import attrgetter

import apsw

from personad import bulk
from personad.contract import batch as b

SCHEMA = """
CREATE TABLE batch (
  batch TEXT PRIMARY KEY,
  experiment TEXT,
  status TEXT NOT NULL,
  reason TEXT,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  concurrency INTEGER NOT NULL,
  total INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  quality_sum INTEGER NOT NULL,       -- of completed personas' composites, × 10⁴
  output TEXT NOT NULL,
  source TEXT NOT NULL,
  budget_nanousd INTEGER,
  stop_on_budget INTEGER NOT NULL,
  estimate_nanousd INTEGER,
  started_at INTEGER NOT NULL,        -- microseconds, as all times here
  finished_at INTEGER,
  running_since INTEGER,
  active_us INTEGER NOT NULL,         -- time spent running before `running_since`
  seq INTEGER NOT NULL,               -- the newest event that changed this batch
  previous_seq INTEGER NOT NULL,      -- what `seq` was before that commit
  moved_seq INTEGER NOT NULL,         -- the newest event that changed its status
  slept_us INTEGER NOT NULL DEFAULT 0, -- of the running time, what the machine slept
  held_until INTEGER,                 -- when its runner tries again that starts no call now
  digest TEXT                         -- of what it is made from, as it was started
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_by_status ON batch (status) WHERE status IN
  ('queued', 'running', 'pausing', 'paused', 'interrupted');
CREATE INDEX batch_by_start ON batch (started_at);
CREATE INDEX batch_by_model ON batch (provider, model, started_at);

CREATE TABLE persona (
  batch TEXT NOT NULL,
  "index" INTEGER NOT NULL,
  persona TEXT NOT NULL,
  name TEXT,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  started_at INTEGER,
  retry_at INTEGER,
  duration_ms INTEGER,
  quality INTEGER,                    -- composite × 10⁴
  accepted INTEGER,
  error_kind TEXT,
  error_message TEXT,
  path TEXT,
  PRIMARY KEY (batch, persona)
) STRICT, WITHOUT ROWID;
CREATE INDEX persona_in_flight ON persona (batch, status) WHERE status IN
  ('generating', 'validating', 'retrying');
"""


@dataclass(slots=True, kw_only=True)
class BatchRow:
    """A row of `batch`, while events are folded into it."""

    batch: str
    experiment: str | None
    status: b.BatchStatus
    reason: str | None = None
    provider: str
    model: str
    concurrency: int
    total: int
    queued: int = 0
    completed: int = 0
    failed: int = 0
    quality_sum: int = 0
    output: str
    source: str
    budget_nanousd: int | None
    stop_on_budget: int = 0
    estimate_nanousd: int | None
    started_at: int
    finished_at: int | None = None
    running_since: int | None = None
    active_us: int = 0
    seq: int = 0
    previous_seq: int = 0
    moved_seq: int = 0
    slept_us: int = 0
    held_until: int | None = None
    digest: str | None = None


@dataclass(slots=True, kw_only=True)
class PersonaRow:
    """A row of `persona`, while events are folded into it."""

    batch: str
    index: int
    persona: str
    name: str | None = None
    status: b.PersonaStatus = "pending"
    attempts: int = 0
    started_at: int | None = None
    retry_at: int | None = None
    duration_ms: int | None = None
    quality: int | None = None
    accepted: int | None = None
    error_kind: str | None = None
    error_message: str | None = None
    path: str | None = None


def _names(row: type[BatchRow] | type[PersonaRow]) -> list[str]:
    return [each.name for each in fields(row)]


def _quoted(row: type[BatchRow] | type[PersonaRow]) -> str:
    return ", ".join(f'"{name}"' for name in _names(row))


def _saving(table: str, row: type[BatchRow] | type[PersonaRow]) -> tuple[str, str]:
    """Into what, and that it changes a row that is there; no REPLACE, which would write every index
    anew."""
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in _names(row))
    return f"{table} ({_quoted(row)})", f"ON CONFLICT DO UPDATE SET {changes}"


_BATCH_NAMES = _names(BatchRow)
_PERSONA_NAMES = _names(PersonaRow)
_batch_values = attrgetter(*_BATCH_NAMES)
_persona_values = attrgetter(*_PERSONA_NAMES)
_BATCH_COLUMNS = _quoted(BatchRow)
_PERSONA_COLUMNS = _quoted(PersonaRow)
_LOAD_BATCH = f"SELECT {_BATCH_COLUMNS} FROM batch WHERE batch = ?"  # noqa: S608 - constants
_LOAD_PERSONA = f"SELECT {_PERSONA_COLUMNS} FROM persona WHERE batch = ? AND persona = ?"  # noqa: S608
_LOAD_PERSONAS = f'SELECT {_PERSONA_COLUMNS} FROM persona WHERE batch = ? ORDER BY "index"'  # noqa: S608
_SAVE_BATCH = _saving("batch", BatchRow)
_SAVE_PERSONA = _saving("persona", PersonaRow)
_FAILED = "SELECT persona FROM persona WHERE batch = ? AND status = 'failed'"
_INDICES = 'SELECT "index", persona FROM persona WHERE batch = ?'


_BATCHES_KEPT = 1_000
_PERSONAS_KEPT = 5_000
_PLACES_KEPT = 20
"""In memory, from one transaction to the next."""


class Rows:
    """The rows that folds touch: loaded once, saved once a fold, and remembered afterwards."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self._since = 0
        self._batches: dict[str, BatchRow | None] = {}
        self._personas: dict[tuple[str, str], PersonaRow | None] = {}
        self._indices: dict[str, dict[int, str]] = {}
        self._queued: dict[str, set[str]] = {}
        """The personas of the same batches."""
        self._unsaved: dict[str, BatchRow] = {}
        self._unsaved_personas: dict[tuple[str, str], PersonaRow] = {}
        self.changed: dict[str, set[str]] = {}
        """The batches that this transaction has touched, and which of their personas."""

    def begin(self, since: int) -> None:
        """A fold of a transaction whose events come after `since`."""
        if since != self._since:
            self._since = since
            self.changed = {}
        if len(self._batches) > _BATCHES_KEPT or len(self._personas) > _PERSONAS_KEPT:
            self._batches, self._personas, self._indices, self._queued = {}, {}, {}, {}

    def batch(self, name: str) -> BatchRow | None:
        found = self._batches.get(name)
        if found is None and name not in self._batches:
            found = self._batches[name] = load(self.db, name)
        return found

    def persona(self, batch: str, name: str) -> PersonaRow | None:
        key = (batch, name)
        if key not in self._personas:
            if (queued := self._queued.get(batch)) is not None and name not in queued:
                return None
            found = self.db.execute(_LOAD_PERSONA, key).fetchone()
            self._personas[key] = _persona_row(found) if found else None
        return self._personas[key]

    def failed(self, batch: str) -> list[PersonaRow]:
        """The batch's failed personas."""
        self.save()
        found = [self.persona(batch, name) for (name,) in self.db.execute(_FAILED, (batch,))]
        return [row for row in found if row is not None]

    def index_owner(self, batch: str, index: int) -> str | None:
        return self._places(batch).get(index)

    def _places(self, batch: str) -> dict[int, str]:
        """Who has which place of a batch: asked while it is queued, so read whole."""
        if (known := self._indices.get(batch)) is None:
            if len(self._indices) >= _PLACES_KEPT:
                # What isn't saved would be missing when they are read again.
                self.save()
                self._indices.clear()
                self._queued.clear()
            known = self._indices[batch] = dict(self.db.execute(_INDICES, (batch,)))
            self._queued[batch] = set(known.values())
        return known

    def add(self, row: BatchRow) -> None:
        self._batches[row.batch] = self._unsaved[row.batch] = row
        self.changed.setdefault(row.batch, set())

    def add_persona(self, row: PersonaRow) -> None:
        self._places(row.batch)[row.index] = row.persona
        self._queued[row.batch].add(row.persona)
        self._personas[row.batch, row.persona] = row
        self.touch_persona(row)

    def touch(self, row: BatchRow, seq: int) -> None:
        """The batch was changed by the event `seq`."""
        if row.seq <= self._since:
            row.previous_seq = row.seq
        row.seq = seq
        self._unsaved[row.batch] = row
        if row.batch not in self.changed:
            self.changed[row.batch] = set()

    def touch_persona(self, row: PersonaRow) -> None:
        batch, name = row.batch, row.persona
        self._unsaved_personas[batch, name] = row
        if (names := self.changed.get(batch)) is None:
            names = self.changed[batch] = set()
        names.add(name)

    def notice(self, batch: str, personas: Iterable[str | None]) -> None:
        """Something that is shown beside these personas has changed."""
        self.changed.setdefault(batch, set()).update(each for each in personas if each is not None)

    def save(self) -> None:
        if self._unsaved:
            self._save(_SAVE_BATCH, _BATCH_NAMES, map(_batch_values, self._unsaved.values()))
            self._unsaved = {}
        if self._unsaved_personas:
            personas = map(_persona_values, self._unsaved_personas.values())
            self._save(_SAVE_PERSONA, _PERSONA_NAMES, personas)
            self._unsaved_personas = {}

    def _save(
        self, saving: tuple[str, str], names: Sequence[str], rows: Iterable[Sequence[bulk.Value]]
    ) -> None:
        into, changes = saving
        bulk.insert(self.db, into, len(names), changes, list(chain.from_iterable(rows)))


def _persona_row(values: Sequence[object]) -> PersonaRow:
    return PersonaRow(**dict(zip(_PERSONA_NAMES, values, strict=True)))  # type: ignore[arg-type]


def personas_of(db: apsw.Connection, batch: str) -> list[PersonaRow]:
    """All personas of a batch, in their order."""
    return [_persona_row(values) for values in db.execute(_LOAD_PERSONAS, (batch,))]


def load(db: apsw.Connection, batch: str) -> BatchRow | None:
    """The batch's row as it now is, or None where there is no such batch."""
    found = db.execute(_LOAD_BATCH, (batch,)).fetchone()
    if found is None:
        return None
    return BatchRow(**dict(zip(_BATCH_NAMES, found, strict=True)))
