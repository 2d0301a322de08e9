"""What a controller has asked for and not yet seen in its cache.

A controller that has just created three Pods must not create them again because
its cache does not show them yet. It notes what it expects and does nothing
until that has been seen, or until five minutes have passed (a watch may lose
the controller's trust, never its liveness).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tiphys.base.clock import Clock

TIMEOUT_SECONDS = 300.0


@dataclass(slots=True)
class _Pending:
    since: float
    creations: int = 0
    #: Keys or uids of objects whose deletion has not been seen. A set, because the same
    #: deletion shows twice: as a deletionTimestamp and as the removal.
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Per owner key: how many creations and which deletions are still to be seen."""

    def __init__(self, clock: Clock, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._pending: dict[str, _Pending] = {}

    def expect(self, key: str, *, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Replaces what was expected before; the caller has checked that it was ``satisfied``."""
        self._pending[key] = _Pending(self._clock.monotonic(), creations, set(deletions))

    def creation_seen(self, key: str, count: int = 1) -> None:
        """Also for a creation that failed and will never be seen."""
        pending = self._pending.get(key)
        if pending is not None:
            pending.creations -= count

    def deletion_seen(self, key: str, deleted: str) -> None:
        pending = self._pending.get(key)
        if pending is not None:
            pending.deletions.discard(deleted)

    def satisfied(self, key: str) -> bool:
        pending = self._pending.get(key)
        if pending is None or (pending.creations <= 0 and not pending.deletions):
            return True
        return self._clock.monotonic() - pending.since > self._timeout_seconds

    def forget(self, key: str) -> None:
        self._pending.pop(key, None)
