"""Pods that have a node but not yet leave to be bound to it.

Source: Kubernetes docs, "Scheduling Framework", "Permit".
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.base.clock import Clock
from tiphys.machinery.times import format_duration
from tiphys.scheduler.hooks import WAIT_SECONDS_MAX, Rejected, Wait
from tiphys.scheduler.pods import PodInfo


@dataclass(slots=True)
class _Entry:
    info: PodInfo
    #: Plugins that have not allowed it, and for how long each lets it wait.
    pending: dict[str, float]
    decided: "asyncio.Future[None]"


class Waiting:
    """One per scheduler. Plugins allow and reject by uid, whenever they like; unknown uids are ignored."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def pods(self) -> list[PodInfo]:
        """Those that wait now, oldest first."""
        return [entry.info for entry in self._entries.values()]

    def allow(self, uid: str, plugin: str) -> None:
        """The plugin has nothing against the Pod any longer."""
        entry = self._entries.get(uid)
        if entry is None:
            return
        entry.pending.pop(plugin, None)
        if not entry.pending and not entry.decided.done():
            entry.decided.set_result(None)

    def reject(self, uid: str, plugin: str, reason: str) -> None:
        """The Pod loses its node and is tried again."""
        entry = self._entries.get(uid)
        if entry is not None and not entry.decided.done():
            entry.decided.set_exception(Rejected(plugin, reason))

    def add(self, info: PodInfo, waits: Mapping[str, Wait]) -> None:
        """Begin; a Pod can be allowed from now on, even before anyone awaits ``outcome``."""
        pending = {plugin: min(wait.seconds, WAIT_SECONDS_MAX) for plugin, wait in waits.items()}
        self._entries[info.uid] = _Entry(info, pending, asyncio.get_running_loop().create_future())

    async def outcome(self, info: PodInfo) -> None:
        """Return once everyone has allowed it. Raises Rejected."""
        entry = self._entries[info.uid]
        plugin, seconds = min(entry.pending.items(), key=lambda item: item[1], default=("", 0.0))
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            while not entry.decided.done():
                await asyncio.wait((entry.decided, timer), return_when=asyncio.FIRST_COMPLETED)
                if timer.done() and not entry.decided.done():
                    if plugin in entry.pending:
                        told = f"rejected due to timeout after waiting {format_duration(seconds)} at plugin {plugin}"
                        raise Rejected(plugin, told)
                    passed = seconds
                    plugin, seconds = min(entry.pending.items(), key=lambda item: item[1])
                    timer = asyncio.ensure_future(self._clock.sleep(seconds - passed))
            entry.decided.result()
        finally:
            timer.cancel()
            del self._entries[info.uid]
