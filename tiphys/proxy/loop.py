"""Follows Services and EndpointSlices and keeps the kernel's rules as they demand."""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tiphys.api import core_v1, discovery_v1
from tiphys.base.clock import Clock
from tiphys.client import Informers
from tiphys.network.sockets import NetlinkError
from tiphys.proxy import metrics, services, stale
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.desired import Plan, plan
from tiphys.proxy.health import HealthChecks
from tiphys.proxy.kernel import UNSUPPORTED, Kernel, Watch, make_local
from tiphys.proxy.ruleset import Ruleset
from tiphys.proxy.services import Endpoints, Service
from tiphys.proxy.userspace import Relay, targets

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_BY_SERVICE = "proxy service"
_ZONE_LABEL = "topology.kubernetes.io/zone"


class Proxy:
    """The proxy of one node. Entry returns once the rules of the first sync are in the kernel.

    Rules outlive the process: leaving removes nothing, and the next entry takes over what it finds.
    """

    def __init__(
        self,
        config: ProxyConfig,
        informers: Informers,
        clock: Clock,
        source: random.Random | None = None,
        open_kernel: Callable[[str], Kernel] = Kernel,
    ) -> None:
        self._config = config
        self._open = open_kernel
        self._relay = Relay(source or random.Random())
        self._clock = clock
        self._services = informers.of(core_v1.Service)
        self._slices = informers.of(discovery_v1.EndpointSlice)
        self._nodes = informers.of(core_v1.Node, fields=f"metadata.name={config.node_name}")
        self._slices.add_index(_BY_SERVICE, _service_keys)
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._zone = ""
        self._ruleset = Ruleset(config)
        self._health = HealthChecks()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="proxy")
        self._kernel: Kernel | None = None
        self._watch: Watch | None = None
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Proxy":
        self._follow()
        try:
            work = self._run() if await self._open_kernel() else self._run_in_user_space()
            self._task = asyncio.create_task(work, name="proxy")
            await self._until_ready(self._task)
        except BaseException:
            await self._close()
            raise
        return self

    async def _open_kernel(self) -> bool:
        """Whether this kernel has nftables."""
        try:
            kernel = self._kernel = await self._in_thread(lambda: self._open(self._config.table))
            await self._in_thread(kernel.existing)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            logger.warning("no nftables (%s): services are proxied in user space", error.strerror)
            return False
        self._watch = Watch(self._config.table)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._rules_changed)
        return True

    async def __aexit__(self, *error: object) -> None:
        await self._close()

    async def wait(self) -> None:
        """Return only by raising, when the proxy has failed."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def _until_ready(self, task: asyncio.Task[None]) -> None:
        ready = asyncio.create_task(self._ready.wait(), name="proxy ready")
        try:
            await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            ready.cancel()

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._health.close()
        await self._relay.close()
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
        if self._kernel is not None:
            await self._in_thread(self._kernel.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # What changes

    def _follow(self) -> None:
        self._services.add_handler(
            added=self._service_changed,
            updated=lambda _, new: self._service_changed(new),
            deleted=self._service_changed,
        )
        self._slices.add_handler(added=self._slice_changed, updated=self._slice_moved, deleted=self._slice_changed)
        self._nodes.add_handler(added=self._node_changed, updated=lambda _, new: self._node_changed(new))

    def _service_changed(self, service: core_v1.Service) -> None:
        self._mark(f"{service.metadata.namespace}/{service.metadata.name}")

    def _slice_changed(self, slice_: discovery_v1.EndpointSlice) -> None:
        key = services.service_key_of(slice_)
        if key is not None:
            self._mark(key)

    def _slice_moved(self, old: discovery_v1.EndpointSlice, new: discovery_v1.EndpointSlice) -> None:
        self._slice_changed(old)
        self._slice_changed(new)

    def _node_changed(self, node: core_v1.Node) -> None:
        zone = node.metadata.labels.get(_ZONE_LABEL, "")
        if zone != self._zone:
            self._zone = zone
            for key in sorted(self._services.keys()):
                self._mark(key)

    def _mark(self, key: str) -> None:
        self._dirty.add(key)
        self._wake.set()

    def _rules_changed(self) -> None:
        if self._watch is not None and self._watch.take():
            self._lost = True
            self._wake.set()

    # What follows from it

    async def _run(self) -> None:
        await self._services.wait_synced()
        await self._slices.wait_synced()
        await self._retry_rebuild()
        self._ready.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._lost:
                logger.warning("table %s was deleted by somebody else; writing it anew", self._config.table)
                await self._retry_rebuild()
                continue
            try:
                await self._update()
            except NetlinkError as error:
                # Somebody else has changed our table.
                metrics.SYNC_FAILURES.inc()
                logger.warning("writing the table anew: %s", error)
                await self._retry_rebuild()

    async def _run_in_user_space(self) -> None:
        await self._in_thread(lambda: make_local(self._config.service_cidr))
        await self._services.wait_synced()
        await self._slices.wait_synced()
        while True:
            self._dirty.clear()
            views = {key: found for key in sorted(self._services.keys()) if (found := self._view(key)) is not None}
            await self._relay.update(targets(views, self._config.node_name))
            self._ready.set()
            await self._wake.wait()
            self._wake.clear()

    async def _retry_rebuild(self) -> None:
        while True:
            try:
                await self._rebuild()
                return
            except NetlinkError as error:
                metrics.SYNC_FAILURES.inc()
                logger.error("service rules: %s", error)
                await self._clock.sleep(self._config.retry_seconds)

    def _view(self, key: str) -> tuple[Service, Endpoints] | None:
        obj = self._services.get(key)
        view = services.service_of(obj) if obj is not None else None
        if view is None:
            return None
        slices = self._slices.by_index(_BY_SERVICE, key)
        return view, services.endpoints_of(slices, self._config.node_name)

    def _plan(self, key: str) -> Plan | None:
        found = self._view(key)
        return None if found is None else plan(*found, self._config, self._zone)

    async def _rebuild(self) -> None:
        begin = self._clock.monotonic()
        kernel = self._require_kernel()
        self._dirty.clear()
        self._lost = False
        existing = await self._in_thread(kernel.existing)
        old = dict(self._ruleset.plans)
        plans = {key: found for key in sorted(self._services.keys()) if (found := self._plan(key)) is not None}
        batch = self._ruleset.rebuild(plans, existing)
        await self._in_thread(lambda: kernel.commit(batch))
        changes = {key: (old.get(key), plans.get(key)) for key in {*old, *plans}}
        await self._finish(begin, changes)

    async def _update(self) -> None:
        begin = self._clock.monotonic()
        kernel = self._require_kernel()
        dirty, self._dirty = self._dirty, set()
        held = self._ruleset.plans
        plans = {key: self._plan(key) for key in sorted(dirty)}
        changed = {key: new for key, new in plans.items() if held.get(key) != new}
        if not changed:
            return
        changes = {key: (held.get(key), new) for key, new in changed.items()}
        batch = self._ruleset.update(changed)
        await self._in_thread(lambda: kernel.commit(batch))
        await self._finish(begin, changes)

    async def _finish(self, begin: float, changes: dict[str, tuple[Plan | None, Plan | None]]) -> None:
        await self._forget_flows([pair for pair in changes.values() if stale.concerned(*pair)])
        held = self._ruleset.plans
        await self._health.update({key: each.health_check for key, each in held.items() if each.health_check})
        metrics.SYNC_SECONDS.observe(self._clock.monotonic() - begin)
        metrics.LAST_SYNC.set(self._clock.now().timestamp())
        metrics.SERVICES.set(len(held))

    async def _forget_flows(self, changes: list[tuple[Plan | None, Plan | None]]) -> None:
        if not changes:
            return
        kernel = self._require_kernel()
        try:
            count = await self._in_thread(lambda: kernel.delete_flows(lambda flows: stale.stale(flows, changes)))
        except NetlinkError as error:
            # The rules are right all the same; only UDP clients that go on sending notice.
            logger.warning("stale UDP flows: %s", error)
            return
        metrics.STALE_FLOWS.inc(count)

    def _require_kernel(self) -> Kernel:
        assert self._kernel is not None, "the proxy works only inside its async with"
        return self._kernel


def _service_keys(slice_: discovery_v1.EndpointSlice) -> list[str]:
    key = services.service_key_of(slice_)
    return [] if key is None else [key]
