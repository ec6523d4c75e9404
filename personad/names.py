"""Names by small numbers, so that a row of a table needn't carry them and an index stays small.

A number is given once and never to another name; rows outlive every projection, so what is folded
afresh finds the same numbers. Used inside a transaction, by the one who writes.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary, ref

import apsw

from personad.price_data import UnitPrices

SCHEMA = """
-- Texts that repeat in the bodies of events.
CREATE TABLE word (
  key INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE batch_key (
  key INTEGER PRIMARY KEY,
  batch TEXT NOT NULL UNIQUE,
  first_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE experiment (
  key INTEGER PRIMARY KEY,
  experiment TEXT NOT NULL UNIQUE
) STRICT;

-- What a call was: the dimensions by which costs are asked for.
CREATE TABLE dim (
  key INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  operation TEXT NOT NULL,
  outcome TEXT NOT NULL,
  UNIQUE (provider, model, operation, outcome)
) STRICT;

-- What is measured of a model: a duration in milliseconds, or a metric's score by a scorer.
CREATE TABLE series (
  key INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('latency', 'score')),
  measure TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  scorer TEXT NOT NULL,
  UNIQUE (kind, measure, provider, model, scorer)
) STRICT;

-- The unit prices that costs were computed from: a receipt, told once.
CREATE TABLE price (
  key INTEGER PRIMARY KEY,
  prices TEXT NOT NULL UNIQUE         -- JSON of `UnitPrices`
) STRICT;
"""
TABLES = ("word", "batch_key", "experiment", "dim", "series", "price")

_WORD = "SELECT key FROM word WHERE text = ?"
_NEW_WORD = "INSERT INTO word (text) VALUES (?) RETURNING key"
_NEWEST_WORD = "SELECT coalesce(max(key), 0) FROM word"
_GIVE_WORD = "INSERT OR IGNORE INTO word (key, text) VALUES (?, ?)"
_TEXT = "SELECT text FROM word WHERE key = ?"
_BATCH = "SELECT key FROM batch_key WHERE batch = ?"
_NEWEST_BATCH = "SELECT coalesce(max(key), 0) FROM batch_key"
_TAKE_OUT_BATCHES = "DELETE FROM batch_key WHERE key > ?"
_NEW_BATCH = "INSERT INTO batch_key (batch, first_seq) VALUES (?, ?) RETURNING key"
_EXPERIMENT = "SELECT key FROM experiment WHERE experiment = ?"
_NEW_EXPERIMENT = "INSERT INTO experiment (experiment) VALUES (?) RETURNING key"
_DIM = "SELECT key FROM dim WHERE provider = ? AND model = ? AND operation = ? AND outcome = ?"
_NEW_DIM = "INSERT INTO dim (provider, model, operation, outcome) VALUES (?, ?, ?, ?) RETURNING key"
_SERIES = """
SELECT key FROM series
WHERE kind = ? AND measure = ? AND provider = ? AND model = ? AND scorer = ?
"""
_NEW_SERIES = """
INSERT INTO series (kind, measure, provider, model, scorer) VALUES (?, ?, ?, ?, ?) RETURNING key
"""
_PRICE = "SELECT key FROM price WHERE prices = ?"
_NEW_PRICE = "INSERT INTO price (prices) VALUES (?) RETURNING key"

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")
_KEPT = 50_000
"""Of each kind in memory: names come from outside."""
OPEN_MOST = 1_000
"""Words that are proposed at once: every append tells of all of them, and where none is taken, as
in a ledger that can't be written, there would be ever more."""

Series = tuple[str, str, str, str, str]
"""Kind, measure, provider, model, scorer."""
Dim = tuple[str, str, str, str]
"""Provider, model, operation, outcome."""


class _Known(dict[N, V]):
    """What was looked up lately; what isn't in it is looked up."""

    def __init__(self, find: Callable[[N], V]) -> None:
        self._find = find

    def __missing__(self, name: N) -> V:
        found = self._find(name)
        _keep(self, name, found)
        return found


class Names:
    """The numbers of one database's names, with those lately asked for in memory."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.forget()

    def forget(self) -> None:
        """What was given since may have been taken back."""
        self.word: Callable[[str], int] = _Known(self._number_of).__getitem__
        """The number of a text; the quickest way there is, as every event asks several times."""
        texts_of(self._db).forget()
        self.batches: dict[str, int] = {}
        """Those in memory."""
        self._experiments: dict[str, int] = {}
        self._dims: dict[Dim, int] = {}
        self._series: dict[Series, int] = {}
        self._prices: dict[str, int] = {}
        self.receipts: dict[int, tuple[int, UnitPrices]] = {}
        """The number of unit prices, by the object's id."""

    def _number_of(self, text: str) -> int:
        return self._find(_WORD, (text,)) or self._add(_NEW_WORD, (text,))

    def give(self, text: str, number: int) -> bool:
        """Whether the text has that number: it is given it, if both are free."""
        if self._find(_WORD, (text,)) is None:
            self._db.execute(_GIVE_WORD, (number, text))
        return self.word(text) == number

    def batch(self, name: str, seq: int) -> int:
        """`seq` is the event that speaks of it, remembered where it is the first."""
        if (key := self.batches.get(name)) is None:
            key = self._find(_BATCH, (name,)) or self._add(_NEW_BATCH, (name, seq))
            _keep(self.batches, name, key)
        return key

    def newest_batch(self) -> int:
        """The number that was given last; 0: none was."""
        return int(self._db.execute(_NEWEST_BATCH).get)

    def take_out_batches(self, newest: int) -> None:
        """Those that got their number after it: the events that spoke of them are gone again."""
        self._db.execute(_TAKE_OUT_BATCHES, (newest,))
        self.forget()

    def experiment(self, name: str) -> int:
        if (key := self._experiments.get(name)) is None:
            key = self._find(_EXPERIMENT, (name,)) or self._add(_NEW_EXPERIMENT, (name,))
            _keep(self._experiments, name, key)
        return key

    def dim(self, dim: Dim) -> int:
        if (key := self._dims.get(dim)) is None:
            key = self._find(_DIM, dim) or self._add(_NEW_DIM, dim)
            _keep(self._dims, dim, key)
        return key

    def series(self, series: Series) -> int:
        if (key := self._series.get(series)) is None:
            key = self._find(_SERIES, series) or self._add(_NEW_SERIES, series)
            _keep(self._series, series, key)
        return key

    def price(self, prices: str) -> int:
        if (key := self._prices.get(prices)) is None:
            key = self._find(_PRICE, (prices,)) or self._add(_NEW_PRICE, (prices,))
            _keep(self._prices, prices, key)
        return key

    def _find(self, sql: str, values: Sequence[str]) -> int | None:
        row = self._db.execute(sql, values).fetchone()
        return int(row[0]) if row else None

    def _add(self, sql: str, values: Sequence[str | int]) -> int:
        return int(self._db.execute(sql, values).get)


def _keep(known: dict[N, V], name: N, key: V) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[name] = key


class Texts:
    """The texts of words, as one connection sees them."""

    def __init__(self, db: apsw.Connection) -> None:
        self._known: _Known[int, str] = _Known(partial(_text_of, ref(db)))
        self.text: Callable[[int], str] = self._known.__getitem__
        """The text of a number; raises KeyError for one that was never given."""

    def forget(self) -> None:
        self._known.clear()


def _text_of(db: "ref[apsw.Connection]", key: int) -> str:
    held = db()
    row = held.execute(_TEXT, (key,)).fetchone() if held is not None else None
    if row is None:
        raise KeyError(key)
    return str(row[0])


_TEXTS: "WeakKeyDictionary[apsw.Connection, Texts]" = WeakKeyDictionary()


def texts_of(db: apsw.Connection) -> Texts:
    """What this connection knows of words."""
    if (texts := _TEXTS.get(db)) is None:
        texts = _TEXTS[db] = Texts(db)
    return texts


class Proposed:
    """Numbers of words for who may not give any: what has none yet is proposed one, and whoever
    writes down what was made by it gives that, if it may be (see `Names.give`)."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._known: _Known[str, int] = _Known(self._number_of)
        self.word: Callable[[str], int] = self._known.__getitem__
        self.open: dict[str, int] = {}
        """What was proposed, and neither given yet, as far as this connection sees, nor to another
        word."""
        self._next = 0
        """The number for the next word; 0: that is to be found out."""
        self._looked_at = 0
        """How many were open when it was looked at."""

    def look(self) -> None:
        """Finds out what became of what was proposed."""
        if len(self.open) > OPEN_MOST:
            self._leave(0)
        for text, number in [*self.open.items()]:
            given = self._db.execute(_WORD, (text,)).fetchone()
            if given is not None:
                self._known[text] = int(given[0])
            elif self._db.execute(_TEXT, (number,)).fetchone() is not None:
                self._known.pop(text, None)
            else:
                continue
            del self.open[text]
        self._next, self._looked_at = 0, len(self.open)

    def take_back(self) -> None:
        """Nobody will be told of what was proposed since it was looked at."""
        self._leave(self._looked_at)

    def _leave(self, count: int) -> None:
        """Proposes no more than the first `count` of what is open."""
        while len(self.open) > count:
            text, _ = self.open.popitem()
            self._known.pop(text, None)
        self._next = 0

    def _number_of(self, text: str) -> int:
        given = self._db.execute(_WORD, (text,)).fetchone()
        if given is not None:
            return int(given[0])
        if (number := self.open.get(text)) is None:
            if not self._next:
                newest = int(self._db.execute(_NEWEST_WORD).get)
                self._next = max(newest, *self.open.values(), 0) + 1
            number = self.open[text] = self._next
            self._next += 1
        return number


def price_of(db: apsw.Connection, key: int) -> str:
    """The unit prices of that number, as JSON."""
    return str(db.execute("SELECT prices FROM price WHERE key = ?", (key,)).get)
