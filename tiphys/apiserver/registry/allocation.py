"""The hook for kinds whose objects hold something that no other may hold: cluster IPs and node ports of Services."""

from types import TracebackType
from typing import Any

from tiphys.apiserver.registry.endpoint import Allocator, Endpoint


class Allocation:
    """``async with`` around a write: chosen on entry, held by ``hold``, settled or undone on exit."""

    __slots__ = ("_allocator", "_held", "_reservation")

    def __init__(self, allocator: Allocator, reservation: Any) -> None:
        self._allocator = allocator
        self._reservation = reservation
        self._held = False

    async def __aenter__(self) -> "Allocation":
        return self

    async def hold(self) -> None:
        """Keep what was chosen from other servers too; the object may change by it. Raises Invalid."""
        self._held = True
        await self._allocator.hold(self._reservation)

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._held:
            self._allocator.forget(self._reservation)
        elif problem is None:
            await self._allocator.settle(self._reservation)
        else:
            await self._allocator.undo(self._reservation)


class _Nothing:
    """For kinds that hold nothing."""

    async def __aenter__(self) -> "_Nothing":
        return self

    async def hold(self) -> None:
        return

    async def __aexit__(self, *problem: object) -> None:
        return


_NOTHING = _Nothing()


def allocating(endpoint: Endpoint, obj: Any, old: Any) -> Allocation | _Nothing:
    """Fill ``obj`` in. Raises Invalid if something cannot be had."""
    if endpoint.allocator is None:
        return _NOTHING
    return Allocation(endpoint.allocator, endpoint.allocator.reserve(obj, old))
