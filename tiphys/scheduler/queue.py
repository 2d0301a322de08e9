"""Which Pod is next: a pure brain that is told the time.

    active         waiting for their turn, highest priority first, then oldest
    backoff        tried and refused; wait until a time that doubles per attempt
    unschedulable  refused; wait for an event that may change that, or for the flush
    in flight      taken by ``pop`` and not yet settled

An event that arrives while a Pod is in flight is not missed: ``refused`` then
sends the Pod to ``backoff`` instead of ``unschedulable``.
Source: Kubernetes' scheduling queue, by behaviour.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from tiphys.scheduler.config import Config
from tiphys.scheduler.pods import PodInfo


@dataclass(slots=True)
class _Entry:
    info: PodInfo
    order: int
    #: When it was first seen.
    since: float = 0.0
    attempts: int = 0
    #: When the last attempt ended.
    tried_at: float = 0.0
    #: Number of moves seen when the attempt began.
    moves: int = 0
    #: Whose filters refused the Pod.
    plugins: frozenset[str] = frozenset()


class SchedulingQueue:
    """Keys are uids. Times are monotonic seconds given by the caller."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._entries: dict[str, _Entry] = {}
        self._active: list[tuple[int, int, str]] = []
        self._in_active: set[str] = set()
        self._backoff: list[tuple[float, str]] = []
        self._in_backoff: dict[str, float] = {}
        self._unschedulable: dict[str, float] = {}
        #: The same by what refused them, since most events help only what certain filters refused.
        self._refused_by: dict[frozenset[str], dict[str, None]] = {}
        self._moves = 0
        self._counter = 0

    def __len__(self) -> int:
        """Pods that wait, in flight excluded."""
        return len(self._in_active) + len(self._in_backoff) + len(self._unschedulable)

    def add(self, info: PodInfo, now: float = 0.0) -> None:
        """A Pod that wants a node; a known one is refreshed and, if it was refused, tried again."""
        entry = self._entries.get(info.uid)
        if entry is None:
            self._counter += 1
            self._entries[info.uid] = _Entry(info, self._counter, now)
            self._activate(info.uid)
            return
        entry.info = info
        if info.uid in self._unschedulable:
            self._leave_unschedulable(info.uid)
            self._activate(info.uid)

    def remove(self, uid: str) -> None:
        """The Pod is gone, or has a node."""
        self._leave_unschedulable(uid)
        self._entries.pop(uid, None)
        self._in_active.discard(uid)
        self._in_backoff.pop(uid, None)

    def counts(self) -> dict[str, int]:
        """How many Pods wait where."""
        return {
            "active": len(self._in_active),
            "backoff": len(self._in_backoff),
            "unschedulable": len(self._unschedulable),
        }

    def find(self, uid: str) -> PodInfo | None:
        entry = self._entries.get(uid)
        return entry.info if entry is not None else None

    def timing(self, uid: str) -> tuple[int, float] | None:
        """Attempts that failed so far, and when the Pod was first seen; None for an unknown one."""
        entry = self._entries.get(uid)
        return (entry.attempts, entry.since) if entry is not None else None

    def order(self, uid: str) -> int:
        """Which a Pod is of all those that ever came; the highest for an unknown one."""
        entry = self._entries.get(uid)
        return entry.order if entry is not None else self._counter + 1

    def take(self, uid: str) -> PodInfo | None:
        """Take a certain Pod out of turn, wherever it waits; None if it is unknown or in flight."""
        if uid in self._in_active:
            self._in_active.discard(uid)
        elif uid in self._unschedulable:
            self._leave_unschedulable(uid)
        elif self._in_backoff.pop(uid, None) is None:
            return None
        entry = self._entries[uid]
        entry.moves = self._moves
        return entry.info

    def pop(self) -> PodInfo | None:
        """Take the next Pod, or None if none is active."""
        while self._active:
            _, _, uid = heapq.heappop(self._active)
            if uid in self._in_active:
                self._in_active.discard(uid)
                entry = self._entries[uid]
                entry.moves = self._moves
                return entry.info
        return None

    @property
    def has_active(self) -> bool:
        return bool(self._in_active)

    def refused(self, uid: str, now: float, plugins: frozenset[str] = frozenset()) -> None:
        """No node would do for a Pod in flight; ``plugins`` refused it."""
        if (entry := self._entries.get(uid)) is None:
            return
        entry.attempts += 1
        entry.tried_at = now
        entry.plugins = plugins
        if entry.moves != self._moves:
            self._back_off(uid, entry)
        else:
            self._unschedulable[uid] = now
            self._refused_by.setdefault(plugins, {})[uid] = None

    def failed(self, uid: str, now: float) -> None:
        """A decision for a Pod in flight could not be carried out: try again after a pause."""
        if (entry := self._entries.get(uid)) is None:
            return
        entry.attempts += 1
        entry.tried_at = now
        self._back_off(uid, entry)

    def move(
        self, concerned: Callable[[frozenset[str]], bool], helped: Callable[[PodInfo, frozenset[str]], bool]
    ) -> None:
        """Something changed: refused Pods that it may help are tried again, after their pause.

        ``concerned`` says whether it matters to what certain filters refused, ``helped`` whether to one such Pod.
        """
        self._moves += 1
        for plugins in [plugins for plugins in self._refused_by if concerned(plugins)]:
            for uid in [uid for uid in self._refused_by[plugins] if helped(self._entries[uid].info, plugins)]:
                self._leave_unschedulable(uid)
                self._back_off(uid, self._entries[uid])

    def move_all(self) -> None:
        """All refused Pods are tried again, after their pause."""
        self.move(lambda _: True, lambda *_: True)

    def _leave_unschedulable(self, uid: str) -> None:
        if self._unschedulable.pop(uid, None) is None:
            return
        plugins = self._entries[uid].plugins
        here = self._refused_by[plugins]
        del here[uid]
        if not here:
            del self._refused_by[plugins]

    def tick(self, now: float) -> None:
        """Activate what has paused long enough, and flush what has waited too long for an event."""
        while self._backoff and self._backoff[0][0] <= now:
            due, uid = heapq.heappop(self._backoff)
            if self._in_backoff.get(uid) == due:
                del self._in_backoff[uid]
                self._activate(uid)
        for uid, since in list(self._unschedulable.items()):
            if now - since < self._config.unschedulable_seconds_max:
                break
            self._leave_unschedulable(uid)
            self._activate(uid)

    def next_tick(self) -> float | None:
        """When ``tick`` is next due."""
        times = [self._backoff[0][0]] if self._backoff else []
        if self._unschedulable:
            times.append(next(iter(self._unschedulable.values())) + self._config.unschedulable_seconds_max)
        return min(times, default=None)

    def _activate(self, uid: str) -> None:
        entry = self._entries[uid]
        self._in_active.add(uid)
        heapq.heappush(self._active, (-entry.info.priority, entry.order, uid))

    def _back_off(self, uid: str, entry: _Entry) -> None:
        pause = min(self._config.backoff_seconds_min * 2.0 ** (entry.attempts - 1), self._config.backoff_seconds_max)
        due = entry.tried_at + pause
        self._in_backoff[uid] = due
        heapq.heappush(self._backoff, (due, uid))
