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
    """Keys in order at ``revision``; ``count`` counts all keys of the range, returned or not."""

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
    """The asked revision is older than what is kept; ``compact_revision`` is the oldest that can be asked."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(compact_revision)
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The asked revision has not been reached."""


class Unavailable(StoreError):
    """The medium failed (disk full, connection lost); nothing of the write is visible. The text says why."""


class Watch(Protocol):
    """Batches of changes, in order. Iteration ends when the store closes or ``close`` is called."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def __anext__(self) -> Sequence[Event]: ...

    def close(self) -> None:
        """Stop the watch; idempotent."""


class Store(Protocol):
    """See the module for guarantees."""

    @property
    def revision(self) -> int:
        """The newest committed revision; 1 for an empty store."""

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

        Raises Compacted at once if some of them are gone.
        """

    async def compact(self, revision: int) -> None:
        """Forget history before ``revision``; current values stay."""

    async def close(self) -> None:
        """Finish staged writes and free everything; watches end."""
