"""All simulated nodes of a process: they share one watch of Pods and one of Nodes, and obey Simulations."""

import asyncio
import random as random_module
from collections.abc import Callable

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Informers
from tiphys.client.tasks import Tasks
from tiphys.simulation.allowance import Allowance
from tiphys.simulation.names import DOWN
from tiphys.simulation.node import NodeOptions, SimulatedNode
from tiphys.simulation.objects import Objects
from tiphys.simulation.simulations import Simulation, Simulations, SimulationView

_BY_NODE = "simulated-node"
#: Statuses of Pods that are written at once, of all nodes.
WRITES_MAX = 32
EVENTS_BURST_SECONDS = 10.0


class Nodes:
    """The simulated nodes of a cluster: ``async with``, then ``add``. ``pod_fields`` is which Pods to follow."""

    def __init__(
        self,
        options: NodeOptions,
        client: Callable[[str], Client],
        informers: Informers,
        clock: Clock,
        random: random_module.Random,
        pod_fields: str = "",
    ) -> None:
        self._options = options
        self._client = client
        self.clock = clock
        self._random = random
        self.by_name: dict[str, SimulatedNode] = {}
        self.simulations = Simulations()
        self.given = self.simulations.given
        self.writes = asyncio.Semaphore(WRITES_MAX)
        self._events = {
            kind: Allowance(options.events_per_second, EVENTS_BURST_SECONDS, clock) for kind in ("Normal", "Warning")
        }
        self._pods = informers.of(core_v1.Pod, fields=pod_fields)
        self._pods.add_index(_BY_NODE, lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])
        self._pods.add_handler(self._pod_changed, lambda _, new: self._pod_changed(new), self._pod_deleted)
        self.objects = Objects(informers, self._objects_changed)
        informers.of(core_v1.Node).add_handler(
            self._node_changed, lambda _, new: self._node_changed(new), self._node_deleted
        )
        self._tasks = Tasks()
        self._turn: asyncio.TimerHandle | None = None
        #: Names of nodes that failed because somebody said so in the API.
        self._down: set[str] = set()
        #: Names of nodes that were deleted.
        self._left: set[str] = set()
        #: Called when nodes fail or come back by themselves.
        self.turned: Callable[[], None] = lambda: None

    async def __aenter__(self) -> "Nodes":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._turn is not None:
            self._turn.cancel()
        await self._tasks.close()
        for node in self.by_name.values():
            await node.close()

    async def wait(self) -> None:
        await self._tasks.wait()

    async def add(self, count: int) -> None:
        """Register ``count`` more nodes."""
        first = len(self.by_name) + 1
        added = []
        for number in range(first, first + count):
            # A generator of its own for each node: what one does changes nothing for the others.
            random = random_module.Random(self._random.getrandbits(64))
            name = f"{self._options.name_prefix}{number}"
            node = SimulatedNode(number, self._options, self._client(name), self.clock, random, self)
            self.by_name[name] = node
            added.append(node)
        await asyncio.gather(*(node.start() for node in added))

    # What nodes share

    def pods_of(self, node: str) -> list[core_v1.Pod]:
        return self._pods.by_index(_BY_NODE, node)

    def all_pods(self) -> list[core_v1.Pod]:
        """Those on our nodes."""
        return [pod for pod in self._pods.list() if (pod.spec.nodeName or "") in self.by_name]

    def may_tell(self, event_type: str) -> bool:
        return self._events[event_type].take()

    # Simulations

    def simulation_changed(self, view: SimulationView) -> None:
        self.simulations.put(view)
        self._obey()

    def simulation_removed(self, view: SimulationView) -> None:
        self.simulations.remove(view.metadata.name)
        self._obey()

    def _obey(self) -> None:
        for node in self.by_name.values():
            for pod in list(node.pods.values()):
                pod.behaviour_changed()
        self._judge_nodes()

    def _judge_nodes(self) -> None:
        """Let nodes fail and come back, and look again when that changes by itself."""
        now = self.clock.now()
        for node in self.by_name.values():
            self._judge(node)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        turn = self.simulations.next_turn(now)
        if turn is not None:
            self._turn = asyncio.get_running_loop().call_later(turn + 0.001, self._turned)

    def _turned(self) -> None:
        self._judge_nodes()
        self.turned()

    def _judge(self, node: SimulatedNode) -> None:
        down = node.node.metadata.annotations.get(DOWN) == "true" or (
            bool(self.simulations) and self.simulations.down(node.node, self.clock.now())
        )
        if down and node.alive and node.name not in self._down:
            self._down.add(node.name)
            self._tasks.start(node.fail(), name=f"{node.name} fails")
        elif not down and node.name in self._down:
            self._down.discard(node.name)
            self._tasks.start(node.recover(), name=f"{node.name} recovers")

    def matching(self, one: Simulation) -> tuple[int, int, int]:
        """Pods and nodes that match, and how many of these have failed by it."""
        matched = sum(one.of_node(node.node) for node in self.by_name.values())
        return sum(map(one.of_pod, self.all_pods())), matched, matched if one.down(self.clock.now()) else 0

    # What the watches tell

    def _objects_changed(self, namespace: str) -> None:
        for node in self.by_name.values():
            node.objects_changed(namespace)

    def _pod_changed(self, pod: core_v1.Pod) -> None:
        node = self.by_name.get(pod.spec.nodeName or "")
        if node is not None:
            node.pod_changed(pod)

    def _pod_deleted(self, pod: core_v1.Pod) -> None:
        node = self.by_name.get(pod.spec.nodeName or "")
        if node is not None:
            node.pod_deleted(pod)

    def _node_deleted(self, node: core_v1.Node) -> None:
        """Who is taken out of the cluster is silent until somebody makes the Node anew."""
        ours = self.by_name.get(node.metadata.name)
        if ours is not None and ours.alive:
            self._left.add(ours.name)
            self._tasks.start(ours.fail(), name=f"{ours.name} leaves")

    def _node_changed(self, node: core_v1.Node) -> None:
        ours = self.by_name.get(node.metadata.name)
        if ours is not None:
            ours.node_changed(node)
            if ours.name in self._left:
                self._left.discard(ours.name)
                self._tasks.start(ours.recover(), name=f"{ours.name} returns")
            self._judge(ours)
