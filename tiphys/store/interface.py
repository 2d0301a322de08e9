"""What the API server asks of a store; one contract, several implementations.

Guarantees, the same as etcd's (etcd docs, "KV API guarantees"):

- One revision for the whole store, growing by one with each write.
- A write compares the key's modification revision first, and sees writes that
  are staged but not yet committed; readers and watchers see committed ones only.
- A write is answered after it is durable. A failed commit rejects everything
  staged with it and leaves the store as it was.
- A watch delivers every committed change of its prefix once, in order, in
  batches that never split a revision.
- History is kept until compaction; reading or watching before it raises ``Compacted``.

Only bytes, text keys and revisions cross this interface, so that an
implementation may live in another process.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class KeyValue(NamedTuple):
    """One key at one revision. ``version`` is not kept: Kubernetes never reads it."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Event(NamedTuple):
    """One committed change. ``value`` is empty for a deletion, ``previous`` is None for a creation."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    deleted: bool
    previous: KeyValue | None


class Range(NamedTuple):
    """Keys in order at ``revision``; ``count`` counts all keys of the range from ``start`` on, returned or not."""

    items: Sequence[KeyValue]
    revision: int
    count: int  # type: ignore[assignment]  # etcd's name for it, in the place of tuple.count
    more: bool


class StoreError(Exception):
    """Base of what a store refuses."""


class Conflict(StoreError):
    """The key's modification revision is not the expected one; ``current`` is the staged or committed value."""

    def __init__(self, key: str, current: KeyValue | None) -> None:
        super().__init__(key)
        self.key = key
        self.current = current


class Compacted(StoreError):
    """The asked revision is older than what is kept; ``compact_revision`` is the oldest that can be asked, 0 if
    the store does not say."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(compact_revision)
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The asked revision has not been reached."""


class Unavailable(StoreError):
    """The medium failed (disk full, connection lost); the text says why.

    Nothing of the write is visible, unless it was the answer that was lost on the way from another process: then
    a later read says what has become of it.
    """


class Watch(Protocol):
    """Batches of changes, in order. Iteration ends when the store closes or ``close`` is called.

    A batch may be empty: then only ``revision`` has moved, because what happened since was no change of the prefix.
    """

    #: All changes of the prefix up to here have been handed out.
    revision: int

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def __anext__(self) -> Sequence[Event]: ...

    def close(self) -> None:
        """Stop the watch; idempotent."""


class Store(Protocol):
    """See the module for guarantees."""

    @property
    def revision(self) -> int:
        """The newest committed revision that is known here; 1 for an empty store."""

    async def latest(self) -> int:
        """A revision that covers every write answered before this call, by whatever server.

        A watch reaches it even if its last changes are not of the watch's prefix.
        """

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        """The key's value now, or at ``revision``."""

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        """Keys that begin with ``prefix``, from ``start`` (inclusive) on, ``limit`` at most (0: all)."""

    async def put(self, key: str, value: bytes, *, expected: int | None, ttl_seconds: float | None = None) -> int:
        """Write and return the new revision.

        ``expected`` is the modification revision the key must have: 0 for "must
        not exist", None for "whatever". Raises Conflict, Unavailable. A key with
        a ``ttl_seconds`` is deleted, as an ordinary change, after that time
        unless it is written again.
        """

    async def delete(self, key: str, *, expected: int | None = None) -> int:
        """Delete and return the revision of the deletion; raises Conflict also when there is no such key."""

    def watch(self, prefix: str, after: int) -> Watch:
        """Changes with a revision above ``after``, from the moment of this call on.

        Raises Compacted, at once or in place of the first batch, if some of them are gone.
        """

    def stale(self, key: str) -> bool:
        """Whether the value is to be written again although it has not changed: its form is no longer wanted."""

    async def compact(self, revision: int) -> None:
        """Forget history before ``revision``; current values stay."""

    async def close(self) -> None:
        """Finish staged writes and free everything; watches end."""
