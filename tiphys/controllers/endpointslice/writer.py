"""Carries plans of slices out, and knows whether the cache shows what was written."""

import asyncio
from typing import Final

from tiphys.api import discovery_v1
from tiphys.client import Client, Informer
from tiphys.controllers.endpointslice.packing import Plan
from tiphys.machinery import errors

#: How soon to look again while the cache does not show the last write yet.
STALE_SECONDS: Final = 0.02

Slice = discovery_v1.EndpointSlice


class SliceWriter:
    """Shared by the controllers that write slices; keys are those of the objects that slices are about."""

    def __init__(self, client: Client, slices: Informer[Slice]) -> None:
        self._calls = client.of(discovery_v1.EndpointSlice)
        self._slices = slices
        #: The newest resource version that we wrote, by key.
        self._written: dict[str, str] = {}

    def forget(self, key: str) -> None:
        self._written.pop(key, None)

    def is_seen(self, key: str) -> bool:
        """Whether the cache holds everything that was written for ``key``."""
        return self._slices.has_seen(self._written.get(key, ""))

    def is_news(self, key: str, found: Slice) -> bool:
        """Whether somebody else wrote it: our own write comes back and asks for nothing."""
        written = self._written.get(key)
        return written is None or int(found.metadata.resourceVersion) > int(written)

    async def apply(self, key: str, changes: Plan) -> None:
        """All calls at once; raises the first that failed, once all have been answered."""
        calls = [
            *(self._calls.create(new) for new in changes.create),
            *(self._calls.update(new) for new in changes.update),
        ]
        results = await asyncio.gather(*calls, *map(self._delete, changes.delete), return_exceptions=True)
        for result in results:
            if isinstance(result, discovery_v1.EndpointSlice):
                self._note(key, result.metadata.resourceVersion)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, found: Slice) -> None:
        try:
            await self._calls.delete(found.metadata.name, found.metadata.namespace)
        except errors.NotFound:
            return

    def _note(self, key: str, resource_version: str) -> None:
        if int(resource_version or 0) > int(self._written.get(key, "0")):
            self._written[key] = resource_version
