"""The component: all simulated nodes of a cluster in one process.

Name: simulation
Watches: Pods that are bound, Nodes, ConfigMaps, Secrets, Simulations.
Writes: Nodes, Leases, Pod status, deletion of Pods that have ended, Simulation status, Events.
Emits: what a kubelet emits, BadSimulation.
Source: Kubernetes docs, "Nodes", "Pod Lifecycle".
"""

import asyncio
import random as random_module
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informers
from tiphys.client.tasks import Tasks
from tiphys.machinery import codec, errors
from tiphys.simulation import setup, simulations
from tiphys.simulation.names import LABEL
from tiphys.simulation.node import NodeOptions
from tiphys.simulation.nodes import Nodes
from tiphys.simulation.serving import Serving, ServingConfig
from tiphys.simulation.simulations import SimulationView, Status

#: Pods without a node are nobody's here.
BOUND = "spec.nodeName!="
#: Counting all Pods for each of their changes would cost more than they do.
STATUS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Config:
    """``serving`` is left out where nobody can call: then there are neither logs nor metrics."""

    nodes: int
    node: NodeOptions
    serving: ServingConfig | None = None
    ca: bytes = b""


class Simulation:
    """``async with``; ready once all nodes are registered."""

    def __init__(self, config: Config, client: Client, clock: Clock, random: random_module.Random) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._informers = Informers(client, clock, random)
        self.nodes = Nodes(config.node, lambda _: client, self._informers, clock, random, BOUND)
        self._tasks = Tasks()
        self._stack = AsyncExitStack()
        self._due = asyncio.Event()
        self.nodes.turned = self._due.set

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _enter(self) -> None:
        self._stack.push_async_callback(self._tasks.close)
        if self._config.serving is not None:
            await self._stack.enter_async_context(Serving(self._config.serving, self.nodes))
        port = self._config.serving.port if self._config.serving is not None else 0
        await setup.ensure(self._client, port, self._config.ca)
        await self._remove_surplus()
        informer = self._informers.of_resource(
            simulations.GROUP, simulations.VERSION, simulations.PLURAL, False, SimulationView
        )
        informer.add_handler(self._changed, lambda _, new: self._changed(new), self._removed)
        self._informers.of(core_v1.Pod, fields=BOUND).add_handler(
            lambda _: self._count(), lambda *_: None, lambda _: self._count()
        )
        await self._stack.enter_async_context(self._informers)
        await self._informers.wait_synced()
        await self._stack.enter_async_context(self.nodes)
        await self.nodes.add(self._config.nodes)
        self._simulations = informer
        self._tasks.start(self._keep_status(), name="status of Simulations")

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (self._tasks, self._informers, self.nodes):
                group.create_task(part.wait())

    async def _remove_surplus(self) -> None:
        """Nodes of an earlier start that had more of them."""
        wanted = {f"{self._config.node.name_prefix}{number}" for number in range(1, self._config.nodes + 1)}
        nodes = self._client.of(core_v1.Node)
        for node in (await nodes.list_all(labels=LABEL)).items:
            if node.metadata.name not in wanted:
                await nodes.delete(node.metadata.name)

    # Simulations

    def _changed(self, view: SimulationView) -> None:
        known = self.nodes.simulations.find(view.metadata.name)
        if known is None or known.view.metadata.generation != view.metadata.generation:
            self.nodes.simulation_changed(view)
            self._due.set()

    def _removed(self, view: SimulationView) -> None:
        self.nodes.simulation_removed(view)

    def _count(self) -> None:
        if self.nodes.simulations:
            self._due.set()

    async def _keep_status(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            for one in list(self.nodes.simulations):
                await self._write_status(one)
            await self._clock.sleep(STATUS_SECONDS)

    async def _write_status(self, one: simulations.Simulation) -> None:
        pods, nodes, failed = self.nodes.matching(one)
        wanted = Status(
            observedGeneration=one.view.metadata.generation,
            matchingPods=pods,
            matchingNodes=nodes,
            failedNodes=failed,
            message=one.message,
        )
        current = self._simulations.get(one.name)
        if current is None or current.status == wanted:
            return
        resource = self._client.resource(simulations.GROUP, simulations.VERSION, simulations.PLURAL, False)
        try:
            await resource.patch(one.name, "", {"status": codec.to_builtins(wanted)}, "merge", subresource="status")
        except errors.NotFound:
            return
        except (errors.StatusError, ConnectionError):
            self._due.set()
