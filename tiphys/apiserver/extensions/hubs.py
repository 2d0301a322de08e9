"""Watches of a resource whose versions a webhook converts: told in order, each change once it is converted."""

import asyncio
import logging
from collections.abc import Sequence

from tiphys.apiserver.cache import Change, ResourceCache
from tiphys.apiserver.entries import View
from tiphys.apiserver.registry.endpoint import Conversion
from tiphys.apiserver.watch import Hub
from tiphys.machinery import errors

log = logging.getLogger(__name__)


class ConvertingHub(Hub):
    """``conversions`` are those of the views that watchers may have."""

    def __init__(self, cache: ResourceCache, buffer_bytes_max: int) -> None:
        super().__init__(cache, buffer_bytes_max)
        self.conversions: dict[View, Conversion] = {}
        self._waiting: list[Change] = []
        self._pump: asyncio.Task[None] | None = None

    def settled(self, revision: int) -> int:
        return self._waiting[0].revision - 1 if self._waiting else revision

    def close(self) -> None:
        super().close()
        if self._pump is not None:
            self._pump.cancel()

    def _changed(self, changes: Sequence[Change]) -> None:
        if not self._places:
            return
        self._waiting += changes
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="apiserver-converting-watch")

    async def _run(self) -> None:
        while self._waiting:
            batch = list(self._waiting)
            await self._prepare(batch)
            del self._waiting[: len(batch)]
            self._undelivered += batch
            self.deliver()

    async def _prepare(self, changes: Sequence[Change]) -> None:
        """Convert for every version that is watched. Who cannot be told what happened is cut off."""
        watchers = [watcher for found in self._places.values() for watcher in found]
        entries = [entry for change in changes for entry in (change.new, change.old)]
        for view in {watcher.shaper.view: 0 for watcher in watchers}:
            conversion = self.conversions.get(view)
            if conversion is None:
                continue
            try:
                await conversion.prepare(entries)
            except errors.StatusError as problem:
                log.warning("watch ended: %s", problem, extra={"resource": self.cache.row.plural})
            except Exception:
                # Others go on being told: a fault in one conversion must not stop the changes of all.
                log.exception("watch ended: objects cannot be converted", extra={"resource": self.cache.row.plural})
            else:
                continue
            for watcher in watchers:
                if watcher.shaper.view is view:
                    watcher.close()
