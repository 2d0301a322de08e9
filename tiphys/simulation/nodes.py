"""All simulated nodes of a process: they share one watch of Pods and one of Nodes."""

import asyncio
import random as random_module
from collections.abc import Callable
from contextlib import AsyncExitStack

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informers
from tiphys.simulation.node import NodeOptions, SimulatedNode
from tiphys.simulation.objects import Objects

_BY_NODE = "simulated-node"


class Nodes:
    """The simulated nodes of a cluster: ``async with``, then ``add``."""

    def __init__(
        self,
        options: NodeOptions,
        client: Callable[[str], Client],
        informers: Informers,
        clock: Clock,
        random: random_module.Random,
    ) -> None:
        self._options = options
        self._client = client
        self._clock = clock
        self._random = random
        self.by_name: dict[str, SimulatedNode] = {}
        self._stack = AsyncExitStack()
        self._pods = informers.of(core_v1.Pod)
        self._pods.add_index(_BY_NODE, lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])
        self._pods.add_handler(self._pod_changed, lambda _, new: self._pod_changed(new), self._pod_deleted)
        self._objects = Objects(informers, self._objects_changed)
        informers.of(core_v1.Node).add_handler(self._node_changed, lambda _, new: self._node_changed(new))

    async def __aenter__(self) -> "Nodes":
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.by_name.values():
            await node.close()

    async def add(self, count: int) -> None:
        """Register ``count`` more nodes."""
        first = len(self.by_name) + 1
        added = []
        for number in range(first, first + count):
            # A generator of its own for each node: what one does changes nothing for the others.
            random = random_module.Random(self._random.getrandbits(64))
            name = f"node-{number}"
            node = SimulatedNode(
                number, self._options, self._client(name), self._clock, random, self._objects, self._pods_of
            )
            self.by_name[name] = node
            added.append(node)
        await asyncio.gather(*(node.start() for node in added))

    def _objects_changed(self, namespace: str) -> None:
        for node in self.by_name.values():
            node.objects_changed(namespace)

    def _pods_of(self, name: str) -> list[core_v1.Pod]:
        return self._pods.by_index(_BY_NODE, name)

    def _pod_changed(self, pod: core_v1.Pod) -> None:
        node = self.by_name.get(pod.spec.nodeName or "")
        if node is not None:
            node.pod_changed(pod)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        node = self.by_name.get(pod.spec.nodeName or "")
        if node is not None:
            node.pod_deleted(pod)

    def _node_changed(self, node: core_v1.Node) -> None:
        ours = self.by_name.get(node.metadata.name)
        if ours is not None:
            ours.node_changed(node)
