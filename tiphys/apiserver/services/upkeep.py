"""When things are repaired: at the start before anything is served, then every three minutes, and as ranges change."""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from tiphys.api import core_v1, events_v1, meta_v1, networking_v1
from tiphys.apiserver.cache import Cache, Change
from tiphys.apiserver.seams import Objects
from tiphys.apiserver.services import cidrs, repair
from tiphys.apiserver.services.allocator import ServiceAllocator
from tiphys.apiserver.services.holdings import Taken
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import conditions, errors, times
from tiphys.resources import table
from tiphys.resources.networking.service_cidr import DEFAULT_NAME, FINALIZER, READY
from tiphys.store.interface import StoreError

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 180.0
NETWORKING: Final = "networking.k8s.io"
COMPONENT: Final = "ipallocator-repair-controller"


class Upkeep:
    """``async with``: inside it, holdings agree with Services, sooner or later."""

    def __init__(
        self,
        allocator: ServiceAllocator,
        cache: Cache,
        objects: Objects,
        clock: Clock,
        ids: Ids,
        *,
        bootstraps: bool,
    ) -> None:
        """``bootstraps``: keep ServiceCIDRs and go on looking; a server that bootstraps nothing looks once."""
        self._allocator = allocator
        self._cache = cache
        self._objects = objects
        self._clock = clock
        self._ids = ids
        self._bootstraps = bootstraps
        self._leaks: dict[int, int] = {}
        self._notes: list[repair.Note] = []
        self._ranges_changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        for plural in ("servicecidrs", "ipaddresses"):
            cache.of(table.by_path(NETWORKING, "v1", plural)).listeners.append(self._changed)

    async def __aenter__(self) -> Self:
        await self._allocator.ports.load()
        await self.look()
        if self._bootstraps:
            await self._ensure_default()
            for name, work in (("service-repair", self._periodically()), ("service-cidrs", self._follow_ranges())):
                self._tasks.append(asyncio.create_task(work, name=name))
            self._ranges_changed.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _changed(self, changes: Sequence[Change]) -> None:
        """Ranges have come or gone, or an address that may have kept one is free."""
        if any(change.new is None or change.new.row.plural == "servicecidrs" for change in changes):
            self._ranges_changed.set()

    async def _ensure_default(self) -> None:
        wanted = [str(network) for network in self._allocator.networks]
        found: networking_v1.ServiceCIDR | None = self._objects.find(NETWORKING, "servicecidrs", "", DEFAULT_NAME)
        with contextlib.suppress(errors.AlreadyExists, errors.Conflict):
            if found is None:
                await self._say(await self._objects.create(cidrs.default(wanted)), "True", "", cidrs.DEFAULT_READY_TEXT)
            elif len(wanted) == 2 and found.spec.cidrs == wanted[:1]:
                # The cluster has got a second family.
                changed = cidrs.with_condition(found, "True", "", cidrs.DEFAULT_READY_TEXT, self._clock.now())
                changed.spec.cidrs = wanted
                await self._objects.update(changed)
            elif found.spec.cidrs != wanted:
                log.warning("ranges of Services differ from those in use", extra={"there": found.spec.cidrs})

    async def _say(self, found: networking_v1.ServiceCIDR, status: str, reason: str, message: str) -> None:
        there = conditions.find_condition(found.status.conditions or [], READY)
        if there is None or (there.status, there.reason) != (status, reason):
            changed = cidrs.with_condition(found, status, reason, message, self._clock.now())
            await self._objects.update(changed, "status")

    async def look(self) -> None:
        """Look at everything once and write what is missing; events about it wait for ``_tell``."""
        services: list[core_v1.Service] = list(self._objects.all("", "services"))
        held = {each.metadata.name: each for each in self._objects.all(NETWORKING, "ipaddresses")}
        ranges = [*self._allocator.ready_networks(), *self._allocator.networks]
        await self._repair_addresses(services, held, ranges)
        allocator = self._allocator
        if services:
            await allocator.ports.load()
        found = repair.ports(services, allocator.ports.taken(), self._leaks, allocator.ports.numbers)
        self._leaks = found.leaks
        # What a write under way has marked is not leaked.
        found.release -= allocator.ports.chosen
        await allocator.ports.mark(found.mark)
        await allocator.ports.release(found.release)
        self._notes += found.notes

    async def _repair_addresses(
        self, services: list[core_v1.Service], held: dict[str, networking_v1.IPAddress], ranges: list[Any]
    ) -> None:
        def in_range(text: str) -> bool:
            return any(ipaddress.ip_address(text) in network for network in ranges)

        found = repair.addresses(services, held, in_range, self._clock.now())
        addresses = self._allocator.addresses
        for name in found.release:
            if name not in addresses.chosen:
                await addresses.release(name, None)
        for name, service in found.hold:
            if name in held:
                await addresses.release(name, None)
            # Another server repairs the same.
            with contextlib.suppress(Taken):
                await addresses.hold(name, service)
        self._notes += found.notes

    async def _periodically(self) -> None:
        while True:
            await self._tell()
            await self._clock.sleep(PERIOD_SECONDS)
            try:
                await self._cache.catch_up()
                await self.look()
            except (StoreError, errors.StatusError) as problem:
                log.warning("repair of Services' addresses failed", exc_info=problem)

    async def _tell(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            try:
                await self._objects.create(self._event(note))
            except (StoreError, errors.StatusError) as problem:
                log.warning("event could not be written", extra={"text": note.text}, exc_info=problem)

    def _event(self, note: repair.Note) -> events_v1.Event:
        about = note.about
        namespace = about.metadata.namespace or "default"
        now = times.format_micro(self._clock.now())
        return events_v1.Event(
            metadata=meta_v1.ObjectMeta(
                name=f"{about.metadata.name}.{self._ids.uid().replace('-', '')[:16]}", namespace=namespace
            ),
            eventTime=now,
            reportingController=COMPONENT,
            reportingInstance=COMPONENT,
            action=note.action,
            reason=note.reason,
            regarding=core_v1.ObjectReference(
                apiVersion=about.apiVersion,
                kind=about.kind,
                name=about.metadata.name,
                namespace=about.metadata.namespace or None,
                uid=about.metadata.uid or None,
                resourceVersion=about.metadata.resourceVersion or None,
            ),
            note=note.text,
            type="Warning",
        )

    async def _follow_ranges(self) -> None:
        while True:
            await self._ranges_changed.wait()
            self._ranges_changed.clear()
            for found in self._objects.all(NETWORKING, "servicecidrs"):
                try:
                    await self._settle(found)
                except (errors.Conflict, errors.NotFound):
                    # It has changed meanwhile, and that sets the event again.
                    continue
                except (StoreError, errors.StatusError) as problem:
                    log.warning("service CIDR could not be settled", exc_info=problem)

    async def _settle(self, found: networking_v1.ServiceCIDR) -> None:
        """Ready and kept by a finalizer while it is wanted; kept still while an address needs it; then gone."""
        if found.metadata.deletionTimestamp is None:
            if FINALIZER not in found.metadata.finalizers:
                changed = cidrs.with_condition(found, "True", "", cidrs.READY_TEXT, self._clock.now())
                changed.metadata.finalizers = [*found.metadata.finalizers, FINALIZER]
                found = await self._objects.update(changed)
            await self._say(found, "True", "", cidrs.READY_TEXT)
            return
        if FINALIZER not in found.metadata.finalizers:
            return
        everything = self._objects.all(NETWORKING, "servicecidrs")
        others = [each for each in everything if each.metadata.name != found.metadata.name]
        names = [each.metadata.name for each in self._objects.all(NETWORKING, "ipaddresses")]
        if cidrs.is_in_use(found, others, names):
            await self._say(found, "False", cidrs.TERMINATING, cidrs.BUSY_TEXT)
            return
        changed = cidrs.with_condition(found, "False", cidrs.TERMINATING, cidrs.BUSY_TEXT, self._clock.now())
        changed.metadata.finalizers = [name for name in found.metadata.finalizers if name != FINALIZER]
        await self._objects.update(changed)
