"""The parts of a simulated cluster, put together: everything here runs inside the virtual loop."""

import asyncio
import functools
import gc
import random as random_module
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from tiphys.api import core_v1, meta_v1, storage_v1
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.apiserver import seams as seams_of
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.cli import addons
from tiphys.client import Client, Informers, TransportError
from tiphys.controllers.config import Config as ControllersConfig
from tiphys.controllers.loop import Controllers
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.scheduler.config import Config as SchedulerConfig
from tiphys.scheduler.loop import Scheduler
from tiphys.simulation.node import NodeOptions
from tiphys.simulation.nodes import Nodes
from tiphys.store.interface import Event
from tiphys.store.memory import MemoryStore
from tiphys.testing import versions
from tiphys.testing.clock import EPOCH, HeartbeatClock, LoopClock
from tiphys.testing.invariants import Invariants
from tiphys.testing.loop import VirtualLoop
from tiphys.testing.transport import Faults, SimulatedTransport
from tiphys.testing.webhooks import Webhooks
from tiphys.wire.exchange import Handler, Request, Response, UserInfo

POD_RANGE = "10.128.0.0/9"
#: Nobody checks it: parts of one process trust each other.
ROOT_CA = "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----\n"
#: How long a new cluster takes to write what every cluster has.
BOOTSTRAP_SECONDS = 10.0
NEVER = 1e12
#: What can be stopped and started, in the order of starting.
COMPONENTS = ("apiserver", "controllers")

MANAGER = UserInfo("system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = UserInfo("system:kube-scheduler", groups=("system:authenticated",))


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen about a simulated cluster."""

    nodes: int = 1
    seed: int | str = 0
    node: NodeOptions = field(default_factory=NodeOptions)
    #: ``1.28`` to ``1.36``; see ``versions``.
    kubernetes_version: str = f"1.{versions.NEWEST}"
    #: Never leave out what nobody would see; see ``heartbeats``.
    every_heartbeat: bool = False
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    #: Feature gates and versions that are off by default and are wanted.
    feature_gates: tuple[str, ...] = ()
    runtime_config: tuple[str, ...] = ()


class Machine:
    """``async with``; ready once caches have synced and nodes are registered."""

    def __init__(self, loop: VirtualLoop, options: Options, template: MemoryStore | None) -> None:
        self.options = options
        self.faults = Faults()
        self.webhooks = Webhooks()
        #: Calls made so far, of all components.
        self.calls = 0
        minor = versions.parse(options.kubernetes_version)
        self._absence = versions.of(minor) if minor != versions.NEWEST else None
        #: What users speak to; components speak to the server itself.
        self.door: Handler = versions.Door(self._handle, self._absence) if self._absence else self._handle
        self._template = template
        epoch = EPOCH if template is not None else EPOCH - timedelta(seconds=BOOTSTRAP_SECONDS)
        self.clock = LoopClock(loop, epoch)
        self.heartbeats = HeartbeatClock(loop, self.clock)
        if not options.every_heartbeat:
            loop.heartbeats.quiet = self._is_quiet
        self._stack = AsyncExitStack()
        self.store: MemoryStore
        self.api: ApiServer
        self.nodes: Nodes
        self.invariants: Invariants
        self.scheduler: Scheduler
        self._ids = Ids(self.random("apiserver"))
        self._starts = 0
        self._listening = False
        self._stacks: dict[str, AsyncExitStack] = {}
        #: By component, tasks that end only by raising.
        self._failures: dict[str, list[asyncio.Task[None]]] = {}

    def random(self, what: str) -> random_module.Random:
        """A generator for one part: how much one draws changes nothing for the others."""
        return random_module.Random(f"{self.options.seed}/{what}")

    def client(self, component: str, user: UserInfo | None = None, *, is_part: bool = True) -> Client:
        handler = self._handle if is_part else self.door
        transport = SimulatedTransport(handler, user, component, self.faults, self._called)
        return Client(transport, user_agent=component, clock=self.clock)

    async def _handle(self, request: Request) -> Response:
        if not self._listening:
            raise TransportError(f"{request.method} {request.path}: nobody listens", sent=False)
        return await self.api.handle(request)

    def _called(self) -> None:
        self.calls += 1

    # Life

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _enter(self) -> None:
        self.store = self._template.fork(self.clock) if self._template else MemoryStore(self.clock)
        self._stack.push_async_callback(self.store.close)
        for component in COMPONENTS:
            self._stack.push_async_callback(self.stop, component)
        await (await self.start("apiserver"))
        # The kubelets' own watch, apart: a partition of the controllers is none of the nodes.
        watch = Informers(self.client("nodes"), self.clock, self.random("nodes' informers"))
        self.nodes = Nodes(self.options.node, self._node_client, watch, self.heartbeats, self.random("nodes"))
        self._node_objects = watch.of(core_v1.Node)
        self.invariants = Invariants(watch)
        watching = asyncio.ensure_future(self._watch_invariants())
        self._stack.callback(watching.cancel)
        await self._stack.enter_async_context(watch)
        await (await self.start("controllers"))
        await self._stack.enter_async_context(self.nodes)
        await watch.wait_synced()
        await self.nodes.add(self.options.nodes)

    async def _watch_invariants(self) -> None:
        watch = self.store.watch("/registry/", self.store.revision)
        try:
            async for events in watch:
                self.invariants.changed(events)
        finally:
            watch.close()

    async def start(self, component: str) -> "asyncio.Task[None]":
        """Begin to start ``apiserver`` or ``controllers`` (the process of controllers and scheduler).

        The task ends when it is ready, which may be never: it may be cut off.
        """
        await self.stop(component)
        stack = self._stacks[component] = AsyncExitStack()
        task = asyncio.ensure_future(self._run(component, stack))
        self._failures[component] = [task]
        return task

    async def _run(self, component: str, stack: AsyncExitStack) -> None:
        waits = await (self._start_server(stack) if component == "apiserver" else self._start_controllers(stack))
        self._failures[component] += [asyncio.ensure_future(wait) for wait in waits]

    async def crash(self, component: str) -> None:
        """Stop it as a machine does that loses power: what it was about to do is not done."""
        self._listening = self._listening and component != "apiserver"
        parts = {"controllers", "scheduler"} - self.faults.partitioned if component == "controllers" else set()
        self.faults.partitioned |= parts
        try:
            await self.stop(component)
        finally:
            self.faults.partitioned -= parts

    async def stop(self, component: str) -> None:
        """Stop it, unless it is stopped."""
        tasks = self._failures.pop(component, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if component == "apiserver":
            self._listening = False
        stack = self._stacks.pop(component, None)
        if stack is not None:
            await stack.aclose()

    async def _start_server(self, stack: AsyncExitStack) -> list[Coroutine[Any, Any, None]]:
        config = ApiServerConfig(
            watch_timeout_seconds_min=NEVER,
            bookmark_period_seconds=NEVER,
            webhooks=self.webhooks.ask,
            # One process serves itself: nothing ever queues, and every call and every start would pay for it.
            priority_and_fairness=False,
            requests_in_flight_max=0,
            mutating_in_flight_max=0,
            feature_gates=dict.fromkeys(self.options.feature_gates, True),
            runtime_config=dict.fromkeys(self.options.runtime_config, True),
        )
        self.api = await stack.enter_async_context(ApiServer(config, self.store, self.clock, self._ids, self._seams))
        self._listening = True
        return [self.api.wait()]

    def _seams(self, config: ApiServerConfig, objects: seams_of.Objects, clock: Clock, ids: Ids) -> seams_of.Seams:
        made = security.seams()(config, objects, clock, ids)
        if self._absence is not None:
            made.admission = versions.Dropping(made.admission, self._absence)
            made.catalog.hide(self._absence.lacks)
        return made

    async def _start_controllers(self, stack: AsyncExitStack) -> list[Coroutine[Any, Any, None]]:
        self._starts += 1
        random = self.random(f"controllers {self._starts}")
        manager = self.client("controllers", MANAGER)
        informers = Informers(manager, self.clock, random)
        clocks = {NodeLifecycleController.name: self.heartbeats}
        config = self._controllers_config()
        controllers = Controllers(config, manager, self.clock, Ids(random), random, informers, clocks)
        scheduling = self.client("scheduler", SCHEDULER)
        chance = self.random(f"scheduler {self._starts}")
        scheduler = self.scheduler = Scheduler(self.options.scheduler, scheduling, informers, self.clock, chance)
        await stack.enter_async_context(informers)
        await stack.enter_async_context(controllers)
        await stack.enter_async_context(scheduler)
        return [controllers.wait(), scheduler.wait()]

    def _controllers_config(self) -> ControllersConfig:
        return ControllersConfig(cluster_cidrs=(POD_RANGE,), root_ca=ROOT_CA)

    def _node_client(self, name: str) -> Client:
        groups = ("system:nodes", "system:authenticated")
        return self.client(name, UserInfo(f"system:node:{name}", groups=groups))

    def _is_quiet(self) -> bool:
        """All parts run, nothing goes wrong on purpose, and every node there is is one of ours, alive and Ready."""
        starting = any(tasks and not tasks[0].done() for tasks in self._failures.values())
        if starting or self.faults.any or len(self._stacks) < len(COMPONENTS):
            return False
        nodes = self.nodes.by_name
        return len(self._node_objects) == len(nodes) and all(
            node.alive and _is_ready(self._node_objects.get(name)) for name, node in nodes.items()
        )

    def check(self) -> None:
        """Raise what a component has failed of, or AssertionError for an invariant that does not hold."""
        for component in self._failures.values():
            for task in component:
                if task.done() and not task.cancelled():
                    task.result()
        if self.invariants.broken:
            raise AssertionError("; ".join(self.invariants.broken))

    async def history(self) -> list[Event]:
        """Every change since the cluster began, in order."""
        first = self._template.revision if self._template else 1
        if self.store.revision <= first:
            return []
        watch = self.store.watch("/", first)
        found: list[Event] = []
        try:
            async for batch in watch:
                found.extend(batch)
                if batch[-1].mod_revision >= self.store.revision:
                    break
        finally:
            watch.close()
        return found

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


@functools.cache
def template() -> MemoryStore:
    """What every new cluster has; each is a fork of it.

    The same for all seeds, so a test process makes it once.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_make_template(loop))
    finally:
        loop.close()
        # All that is there by now stays. Looking through it again and again took a third of a cluster's start.
        gc.collect()
        gc.freeze()


async def _make_template(loop: VirtualLoop) -> MemoryStore:
    async with Machine(loop, Options(nodes=0, seed="template"), None) as machine:
        await machine.client("test").of(storage_v1.StorageClass).create(addons.storage_class())
        namespaces = machine.client("test").of(core_v1.Namespace)
        known = {namespace.metadata.name for namespace in (await namespaces.list()).items}
        if "default" not in known:
            await namespaces.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
        await loop.advance(BOOTSTRAP_SECONDS)
        machine.check()
        return machine.store.fork()


def _is_ready(node: core_v1.Node | None) -> bool:
    return node is not None and any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
