"""How long a failing thing waits before it is tried again: doubling, forgotten after a quiet time.

Source: Kubernetes docs, "Pod Lifecycle", "How Pods handle problems with containers"; KEP-4603 (in 1.36 its
shorter delays are off by default); client-go's util/flowcontrol back-off, by behaviour.
"""

from dataclasses import dataclass, field

CRASH_SECONDS_MIN = 10.0
CRASH_SECONDS_MAX = 300.0
IMAGE_SECONDS_MIN = 10.0
IMAGE_SECONDS_MAX = 300.0


@dataclass(slots=True)
class _Entry:
    seconds: float
    updated: float


@dataclass(slots=True)
class Backoff:
    """Per key: the wait that follows its last failure. Times are seconds on one clock of the caller's."""

    seconds_min: float = CRASH_SECONDS_MIN
    seconds_max: float = CRASH_SECONDS_MAX
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def remaining(self, key: str, failed_at: float, now: float) -> float:
        """Seconds still to wait after the failure at ``failed_at``; 0 for a first failure."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, failed_at):
            return 0.0
        return max(0.0, failed_at + entry.seconds - now)

    def seconds(self, key: str) -> float:
        """The whole wait of this key, 0 if it has none."""
        entry = self._entries.get(key)
        return entry.seconds if entry else 0.0

    def next(self, key: str, failed_at: float, now: float) -> None:
        """Another attempt follows the failure at ``failed_at``: lengthen what the next failure will wait."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, failed_at):
            self._entries[key] = _Entry(self.seconds_min, now)
        else:
            entry.seconds = min(entry.seconds * 2, self.seconds_max)
            entry.updated = now

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: _Entry, failed_at: float) -> bool:
        """A thing that held for twice the longest wait starts from the shortest again."""
        return failed_at - entry.updated > 2 * self.seconds_max
