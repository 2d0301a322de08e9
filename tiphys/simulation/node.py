"""Simulated nodes: to the API they are kubelets; below it there is nothing but time.

A node registers, waits for its Pod range, turns Ready, renews its Lease and
reports its status at Kubernetes' periods, and runs each Pod bound to it as
``pod.py`` says. ``fail`` makes it vanish as a machine does that loses power;
``recover`` boots it again, with nothing running.

All nodes share one watch of Pods and one of Nodes, so that a thousand of them
cost what they do and not what they are.
"""

import asyncio
import dataclasses
import ipaddress
import math
import random as random_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tiphys.api import coordination_v1, core_v1, meta_v1
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.client import Client, Recorder
from tiphys.client.tasks import Tasks
from tiphys.kubelet import admission, nodestatus
from tiphys.kubelet import protocol as w
from tiphys.kubelet.config import KubeletConfig, MachineFacts
from tiphys.kubelet.machine import Load
from tiphys.kubelet.nodestatus import RuntimeState
from tiphys.machinery import codec, errors, times
from tiphys.simulation import behaviour
from tiphys.simulation.names import LABEL
from tiphys.simulation.objects import Objects
from tiphys.simulation.pod import SimulatedPod

LEASE_NAMESPACE = "kube-node-lease"
RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 7.0
MERGE = "application/merge-patch+json"
#: From power on until the kubelet runs.
BOOT_SECONDS = 5.0
HEALTHY = Load(8 << 30, 80 << 30, 100 << 30, 1_000_000, 2_000_000, 100, 32768)


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the nodes of a cluster are like."""

    cpus: int = 8
    memory_bytes: int = 32 << 30
    max_pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Zones, given to nodes in turn.
    zones: tuple[str, ...] = ()
    lease_seconds: float = 40.0
    #: The part of that after which a lease is renewed.
    renewal: float = 0.25
    report_seconds: float = 300.0
    name_prefix: str = "node-"
    #: Where all of them are reached, and the port; without an address each has one of its own, where nobody is.
    address: str = ""
    port: int = 0
    #: Keys of taints that keep away Pods which do not tolerate them.
    taints: tuple[str, ...] = ()
    #: How many Events of each type all nodes together may write, on average; 0 is without limit.
    events_per_second: float = 0.0
    #: How long a Pod that starts is not written; 0 to write each step, as kubelets do.
    patience_seconds: float = 0.0

    @property
    def renew_seconds(self) -> float:
        return self.lease_seconds * self.renewal


class Shared(Protocol):
    """What the nodes of a process have together."""

    objects: Objects
    writes: asyncio.Semaphore

    def pods_of(self, node: str) -> list[core_v1.Pod]: ...

    def given(self, pod: core_v1.Pod, container: str) -> Mapping[str, str]: ...

    def may_tell(self, event_type: str) -> bool:
        """Whether there is room for one more Event."""


class SimulatedNode:
    """One node. ``start`` returns once it is registered; it becomes Ready by itself."""

    def __init__(
        self,
        number: int,
        options: NodeOptions,
        client: Client,
        clock: Clock,
        random: random_module.Random,
        shared: Shared,
    ) -> None:
        self.name = f"{options.name_prefix}{number}"
        self.client = client
        self.clock = clock
        self.ips: tuple[str, ...] = (options.address or str(ipaddress.IPv4Address("172.16.0.0") + number),)
        self.objects = shared.objects
        self.writes = shared.writes
        self.given = shared.given
        self.patience_seconds = options.patience_seconds
        self.alive = False
        self.tasks = Tasks()
        self.pods: dict[str, SimulatedPod] = {}
        self._random = random
        self._ids = Ids(random)
        self.recorder = Recorder(client, clock, self._ids, component="kubelet", host=self.name)
        self._options = options
        self._shared = shared
        self._nodes = client.of(core_v1.Node)
        self._leases = client.of(coordination_v1.Lease)
        self._lease_path = self._leases.path(LEASE_NAMESPACE, self.name)
        labels = {LABEL: "true", **options.labels}
        if options.zones:
            labels["topology.kubernetes.io/zone"] = options.zones[(number - 1) % len(options.zones)]
        here = Path()
        self._config = KubeletConfig(
            self.name,
            here,
            here,
            here,
            self.ips,
            max_pods=options.max_pods,
            node_labels=labels,
            taints=tuple((key, "true", "NoSchedule") for key in options.taints),
        )
        self._facts = MachineFacts(
            cpus=options.cpus,
            memory_bytes=options.memory_bytes,
            machine_id=f"{number:032x}",
            system_uuid=f"{number:032x}",
            boot_id=self._ids.uid(),
            kernel_version="6.0.0-simulated",
            os_image="tiphys simulated node",
            disk_bytes=100 << 30,
            disk_free_bytes=80 << 30,
        )
        self._capacity = nodestatus.capacity(self._config, self._facts)
        self._allocatable = nodestatus.allocatable(self._config, self._capacity)
        self.node = nodestatus.initial_node(self._config, self._facts)
        self._range = ""
        self._taken: set[str] = set()
        self._last = 1
        self._ready_told = False

    async def start(self) -> None:
        """Register and begin to live."""
        self.alive = True
        await self._retried(self._register)
        if self.node.spec.podCIDR:
            self.node_changed(self.node)
        # Real kubelets start at different times; so do ours, lest all leases be renewed at one instant.
        phase = self._random.random() * self._options.renew_seconds
        self.tasks.start(self._renew_lease(phase), name=f"lease {self.name}")
        self.tasks.start(self._report_often(), name=f"status {self.name}")
        for pod in self._shared.pods_of(self.name):
            self.pod_changed(pod)

    async def fail(self) -> None:
        """Vanish: nothing here runs any more, and nobody is told."""
        self.alive = False
        for pod in self.pods.values():
            pod.close()
        self.pods.clear()
        await self.tasks.close()
        self.tasks = Tasks()

    async def recover(self) -> None:
        """Boot again."""
        await self.clock.sleep(BOOT_SECONDS)
        self._facts = dataclasses.replace(self._facts, boot_id=self._ids.uid())
        self._ready_told = False
        await self.start()

    async def close(self) -> None:
        await self.fail()
        await self.recorder.close(0.0)

    # What the watches tell

    def node_changed(self, node: core_v1.Node) -> None:
        self.node = node
        if node.spec.podCIDR and not self._range:
            self._range = node.spec.podCIDR
        if self._range and self.alive and not self._ready_told:
            self._ready_told = True
            self.tasks.start(self._become_ready(), name=f"ready {self.name}")

    def pod_changed(self, pod: core_v1.Pod) -> None:
        if not self.alive:
            return
        uid = pod.metadata.uid
        running = self.pods.get(uid)
        if running is not None:
            running.changed(pod)
            return
        if pod.status.phase in ("Succeeded", "Failed") and pod.metadata.deletionTimestamp is None:
            return
        running = self.pods[uid] = SimulatedPod(pod, self, self._pod_gone)
        for problem in behaviour.problems(pod.metadata.annotations):
            self.event(pod, "Warning", "BadSimulation", problem)
        others = [p.pod for p in self.pods.values() if p is not running and p.worker.stage == "active"]
        refused = admission.refusal(pod, others, self._allocatable, self.node)
        if refused is not None:
            self.event(pod, "Warning", refused[0], refused[1])
            running.post(w.Rejected(*refused))
        else:
            running.post(w.Admitted())

    def pod_deleted(self, pod: core_v1.Pod) -> None:
        running = self.pods.get(pod.metadata.uid)
        if running is not None:
            running.post(w.Removed())

    def objects_changed(self, namespace: str) -> None:
        for pod in list(self.pods.values()):
            if pod.pod.metadata.namespace == namespace:
                pod.objects_changed()

    def _pod_gone(self, pod: SimulatedPod) -> None:
        self.pods.pop(pod.pod.metadata.uid, None)

    # What Pods need

    def event(self, obj: Any, event_type: str, reason: str, message: str, field_path: str = "") -> None:
        if self._shared.may_tell(event_type):
            self.recorder.event(obj, event_type, reason, message, field_path=field_path)

    def usage(self) -> tuple[int, int]:
        """Thousandths of a CPU and bytes of memory that its containers use."""
        plans = [plan for pod in self.pods.values() for _, plan in pod.running()]
        return sum(plan.cpu_milli for plan in plans), sum(plan.memory_bytes for plan in plans)

    def pod_address(self) -> str:
        if not self._range:
            return ""
        network = ipaddress.IPv4Network(self._range)
        for _ in range(network.num_addresses):
            # Not the one that was freed last: whoever still knows it would meet a stranger.
            self._last = self._last + 1 if self._last < network.num_addresses - 2 else 2
            address = str(network[self._last])
            if address not in self._taken:
                self._taken.add(address)
                return address
        return ""

    def free_address(self, address: str) -> None:
        self._taken.discard(address)

    def container_id(self) -> str:
        return f"{self._random.getrandbits(256):064x}"

    # Node and Lease

    async def _retried(self, work: Callable[[], Any]) -> None:
        wait = RETRY_SECONDS
        while True:
            try:
                await work()
                return
            except (errors.StatusError, ConnectionError):
                await self.clock.sleep(wait)
                wait = min(wait * 2, RETRY_SECONDS_MAX)

    async def _register(self) -> None:
        wanted = nodestatus.initial_node(self._config, self._facts)
        wanted.status = self._status(wanted)
        try:
            self.node = await self._nodes.create(wanted)
        except errors.AlreadyExists:
            self.node = await self._nodes.get(self.name)

    async def _become_ready(self) -> None:
        await self._retried(self._report)
        reference = core_v1.ObjectReference(apiVersion="v1", kind="Node", name=self.name, uid=self.name)
        self.event(reference, "Normal", "NodeReady", f"Node {self.name} status is now: NodeReady")

    async def _report_often(self) -> None:
        while True:
            await self.clock.sleep(self._options.report_seconds)
            await self._retried(self._report)

    async def _report(self) -> None:
        status = codec.to_builtins(self._status(self.node))
        status["addresses"] = [*status["addresses"], {"$patch": "replace"}]
        self.node = await self._nodes.patch(self.name, "", {"status": status}, "strategic", subresource="status")

    def _status(self, node: core_v1.Node) -> core_v1.NodeStatus:
        problem = "" if self._range else "container runtime network not ready: the node has no Pod range"
        runtime = RuntimeState(version="0.0.0", network_ready=bool(self._range), network_problem=problem)
        return msgspec.structs.replace(
            node.status,
            capacity=self._capacity,
            allocatable=self._allocatable,
            addresses=nodestatus.addresses(self._config),
            conditions=nodestatus.conditions(node.status.conditions, self._facts, HEALTHY, runtime, self.clock.now()),
            nodeInfo=nodestatus.node_info(self._config, self._facts, runtime),
            daemonEndpoints=core_v1.NodeDaemonEndpoints(kubeletEndpoint=core_v1.DaemonEndpoint(Port=self._options.port))
            if self._options.port
            else None,
        )

    async def _renew_lease(self, phase: float) -> None:
        await self._retried(self._renew)
        await self.clock.sleep(phase)
        while True:
            await self._retried(self._renew)
            # At whole seconds: those that are renewed together share commits of the store.
            now = self.clock.monotonic()
            await self.clock.sleep(max(math.floor(now + self._options.renew_seconds) - now, 0.5))

    async def _renew(self) -> None:
        moment = times.format_micro(self.clock.now())
        # Bytes out, and the answer unread: this is most of what idle nodes do.
        body = b'{"spec":{"holderIdentity":"%s","leaseDurationSeconds":%d,"renewTime":"%s"}}' % (
            self.name.encode(),
            int(self._options.lease_seconds),
            moment.encode(),
        )
        try:
            await self.client.request("PATCH", self._lease_path, body=body, content_type=MERGE)
        except errors.NotFound:
            owner = meta_v1.OwnerReference(apiVersion="v1", kind="Node", name=self.name, uid=self.node.metadata.uid)
            lease = coordination_v1.Lease(
                metadata=meta_v1.ObjectMeta(name=self.name, namespace=LEASE_NAMESPACE, ownerReferences=[owner]),
                spec=coordination_v1.LeaseSpec(
                    holderIdentity=self.name,
                    leaseDurationSeconds=int(self._options.lease_seconds),
                    renewTime=moment,
                ),
            )
            await self._leases.create(lease)
