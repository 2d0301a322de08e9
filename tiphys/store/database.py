"""The SQLite file behind ``sqlite.py``: its tables and the statements on them, all blocking.

``log`` holds every change under its revision, so that a value is written once
and sequentially; ``current`` says for each living key which row of the log it
is. ``previous`` links a change to the one before it on the same key (0: none),
which compaction and watches follow.
"""

import os
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tiphys.store.interface import Event, KeyValue, Unavailable
from tiphys.store.past import undone

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL,
    created INTEGER NOT NULL, previous INTEGER NOT NULL, deleted INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS current (
    key TEXT PRIMARY KEY, revision INTEGER NOT NULL, created INTEGER NOT NULL, expires REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
BEYOND = "\U0010ffff"
# Compaction goes in steps of this many revisions, so that writes wait for one step at the most.
COMPACTION_STEP = 2000


class Living(NamedTuple):
    """What is kept in memory of a living key."""

    revision: int
    created: int
    expires: float | None


class Write(NamedTuple):
    """One staged change; ``value`` None deletes."""

    key: str
    value: bytes | None
    revision: int
    created: int
    previous: int
    expires: float | None


class Database:
    """One connection. Errors of the medium are raised as Unavailable, with the file's name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        existed = path.exists()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
            if not existed:
                os.chmod(path, 0o600)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;")
            self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> Unavailable:
        return Unavailable(f"store {self.path}: {error}")

    def close(self) -> None:
        self._db.close()

    def living(self) -> dict[str, Living]:
        rows = self._db.execute("SELECT key, revision, created, expires FROM current")
        return {key: Living(revision, created, expires) for key, revision, created, expires in rows}

    def revision(self) -> int:
        found = self._db.execute("SELECT max(revision) FROM log").fetchone()[0]
        return max(1, found or 1, self.compacted())

    def compacted(self) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
        return row[0] if row else 0

    def commit(self, writes: Sequence[Write]) -> None:
        """All of ``writes`` or nothing, durable on return."""
        log = [(w.revision, w.key, w.value or b"", w.created, w.previous, w.value is None) for w in writes]
        final = {w.key: w for w in writes}.values()
        kept = [(w.key, w.revision, w.created, w.expires) for w in final if w.value is not None]
        gone = [(w.key,) for w in final if w.value is None]
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", log)
            if kept:
                db.executemany("INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?)", kept)
            if gone:
                db.executemany("DELETE FROM current WHERE key = ?", gone)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._unavailable(error) from error

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def events(self, writes: Sequence[Write]) -> list[Event]:
        """What watchers are told of ``writes``, after their commit."""
        return [
            Event(w.key, w.value or b"", w.created, w.revision, w.value is None, self._value(w.previous))
            for w in writes
        ]

    def _value(self, revision: int) -> KeyValue | None:
        if not revision:
            return None
        row = self._db.execute(
            "SELECT key, value, created FROM log WHERE revision = ? AND NOT deleted", (revision,)
        ).fetchone()
        return KeyValue(row[0], row[1], row[2], revision) if row else None

    def get(self, key: str) -> KeyValue | None:
        """The living key's value."""
        row = self._db.execute(
            "SELECT l.value, c.created, c.revision FROM current c JOIN log l ON l.revision = c.revision"
            " WHERE c.key = ?",
            (key,),
        ).fetchone()
        return KeyValue(key, *row) if row else None

    def snapshot(self, prefix: str, start: str, limit: int, revision: int) -> tuple[list[KeyValue], int, int]:
        """Keys with ``prefix`` from ``start`` on at ``revision`` (0: now), in order, ``limit`` at most (0: all); that
        revision; how many there are without the limit."""
        self._db.execute("BEGIN")
        try:
            newest = self.revision()
            bounds = (max(prefix, start), prefix + BEYOND)
            if revision and revision < newest:
                items = undone(self.span(prefix, prefix + BEYOND), self.since(revision, newest, prefix))
                items = items[bisect_left(items, bounds[0], key=lambda item: item.key) :]
                return items[:limit] if limit else items, revision, len(items)
            items = self.span(*bounds, limit)
            return items, newest, self._count(*bounds) if len(items) == limit else len(items)
        finally:
            self._db.execute("COMMIT")

    def span(self, first: str, end: str, limit: int = 0) -> list[KeyValue]:
        """Living keys from ``first`` to before ``end``, in order."""
        rows = self._db.execute(
            "SELECT c.key, l.value, c.created, c.revision FROM current c JOIN log l ON l.revision = c.revision"
            " WHERE c.key >= ? AND c.key < ? ORDER BY c.key LIMIT ?",
            (first, end, limit or -1),
        )
        return [KeyValue(*row) for row in rows]

    def _count(self, first: str, end: str) -> int:
        row = self._db.execute("SELECT count(*) FROM current WHERE key >= ? AND key < ?", (first, end)).fetchone()
        return int(row[0])

    def since(self, after: int, until: int, prefix: str) -> Iterator[Event]:
        """Changes in (after, until] of keys with ``prefix``, oldest first."""
        rows = self._db.execute(
            "SELECT l.key, l.value, l.created, l.revision, l.deleted, p.value, p.created, p.revision"
            " FROM log l LEFT JOIN log p ON p.revision = l.previous AND NOT p.deleted"
            " WHERE l.revision > ? AND l.revision <= ? AND l.key >= ? AND l.key < ? ORDER BY l.revision",
            (after, until, prefix, prefix + BEYOND),
        )
        for key, value, created, revision, deleted, old, old_created, old_revision in rows:
            previous = KeyValue(key, old, old_created, old_revision) if old_revision else None
            yield Event(key, value, created, revision, bool(deleted), previous)

    def compact_step(self, revision: int) -> bool:
        """Forget some of what was replaced at or before ``revision``; True if there is more to do."""
        first = self.compacted()
        last = min(revision, first + COMPACTION_STEP)
        span = (first, last)
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "DELETE FROM log WHERE revision IN"
                " (SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)",
                span,
            )
            db.execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted", span)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (last,))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._unavailable(error) from error
        return last < revision
