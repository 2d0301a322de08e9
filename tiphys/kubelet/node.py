"""Keeps the Node object and its Lease as they should be, and passes the node's Pod range to the runtime.

Everything that can be is an event: a new ``podCIDR`` or a runtime that becomes
ready is written at once. The timers find what nobody tells of.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tiphys.api import coordination_v1, core_v1, meta_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Recorder, TransportError
from tiphys.kubelet import machine, nodestatus
from tiphys.kubelet.config import KubeletConfig, MachineFacts
from tiphys.kubelet.cri import CriClient, RuntimeFault
from tiphys.kubelet.nodestatus import RuntimeState
from tiphys.machinery import codec, errors, times

logger = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
#: A lease is renewed four times within its duration.
RENEWALS = 4
RETRY_SECONDS = 0.2
#: While the runtime's network is not ready, how soon it is asked again. Its readiness follows the Pod range at
#: once; this is for the rest.
NOT_READY_SECONDS = 1.0


@dataclass(slots=True)
class Networking:
    """What the Pods' agents need to know of the node's network."""

    ready: asyncio.Event
    problem: Callable[[str], None]


class NodeKeeper:
    """``register`` once, then ``run`` and ``renew_lease`` as tasks; ``node_changed`` when the watch tells."""

    def __init__(
        self,
        config: KubeletConfig,
        client: Client,
        cri: CriClient,
        clock: Clock,
        recorder: Recorder,
        facts: MachineFacts,
        networking: Networking,
        port: Callable[[], int],
    ) -> None:
        self._config = config
        self._nodes = client.of(core_v1.Node)
        self._leases = client.of(coordination_v1.Lease)
        self._cri = cri
        self._clock = clock
        self._recorder = recorder
        self._facts = facts
        self._networking = networking
        self._port = port
        self.node = nodestatus.initial_node(config, facts)
        self._pod_cidr = ""
        self._reported_at = 0.0
        self._has_reported = False
        self._poke = asyncio.Event()
        self._lease: coordination_v1.Lease | None = None

    @property
    def reference(self) -> core_v1.ObjectReference:
        """The Node as Events name it: by name, also in place of the uid, as Kubernetes does."""
        name = self._config.node_name
        return core_v1.ObjectReference(apiVersion="v1", kind="Node", name=name, uid=name)

    async def register(self) -> core_v1.Node:
        """Return once the Node exists with this kubelet's labels."""
        while True:
            try:
                return await self._try_register()
            except (errors.StatusError, TransportError) as error:
                logger.info("registering node %s: %s", self._config.node_name, error)
                await self._clock.sleep(RETRY_SECONDS)

    async def _try_register(self) -> core_v1.Node:
        wanted = nodestatus.initial_node(self._config, self._facts)
        wanted.status = await self._status(wanted)
        try:
            self.node = await self._nodes.create(wanted)
        except errors.AlreadyExists:
            found = await self._nodes.get(self._config.node_name)
            labels = {**found.metadata.labels, **nodestatus.labels(self._config, self._facts)}
            if labels != found.metadata.labels:
                body = {"metadata": {"labels": nodestatus.labels(self._config, self._facts)}}
                found = await self._nodes.patch(self._config.node_name, "", body, "strategic")
            self.node = found
        self._take_range(self.node)
        return self.node

    def node_changed(self, node: core_v1.Node) -> None:
        self.node = node
        self._take_range(node)

    def _take_range(self, node: core_v1.Node) -> None:
        ranges = node.spec.podCIDRs or ([node.spec.podCIDR] if node.spec.podCIDR else [])
        if ranges and ",".join(ranges) != self._pod_cidr:
            self._pod_cidr = ",".join(ranges)
            self._poke.set()

    def poke(self) -> None:
        """Something that the status tells of has changed."""
        self._poke.set()

    async def run(self) -> None:
        """Keep the status up to date until cancelled."""
        told = ""
        while True:
            self._poke.clear()
            if self._pod_cidr and told != self._pod_cidr:
                try:
                    await self._cri.update_pod_cidr(self._pod_cidr)
                    told = self._pod_cidr
                except RuntimeFault as fault:
                    logger.warning("the runtime does not take Pod range %s: %s", self._pod_cidr, fault)
            try:
                await self._report()
            except (errors.StatusError, TransportError) as error:
                logger.info("status of node %s: %s", self._config.node_name, error)
                self._reported_at = 0.0
            ready = self._networking.ready.is_set()
            wait = self._config.node_status_seconds if ready and told == self._pod_cidr else NOT_READY_SECONDS
            await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        poked = asyncio.ensure_future(self._poke.wait())
        try:
            await asyncio.wait((sleeping, poked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            poked.cancel()

    async def _report(self) -> None:
        status = await self._status(self.node)
        now = self._clock.now().timestamp()
        due = now - self._reported_at >= self._config.node_report_seconds
        if not due and not nodestatus.differs(self.node.status, status):
            return
        before = self.node.status.conditions
        body = {"status": codec.to_builtins(status) | {"addresses": _replacing(codec.to_builtins(status))}}
        self.node = await self._nodes.patch(self._config.node_name, "", body, "strategic", subresource="status")
        self._reported_at = now
        for reason in nodestatus.changes(before, self.node.status.conditions, first=not self._has_reported):
            text = f"Node {self._config.node_name} status is now: {reason}"
            self._recorder.event(self.reference, "Normal", reason, text)
        self._has_reported = True

    async def _status(self, node: core_v1.Node) -> core_v1.NodeStatus:
        runtime, images = await self._runtime()
        if runtime.network_ready and not runtime.problem:
            self._networking.ready.set()
        else:
            self._networking.ready.clear()
        self._networking.problem(runtime.network_problem or runtime.problem)
        total = nodestatus.capacity(self._config, self._facts)
        load = machine.load(self._config.root_dir)
        return msgspec.structs.replace(
            node.status,
            capacity=total,
            allocatable=nodestatus.allocatable(self._config, total),
            addresses=nodestatus.addresses(self._config),
            conditions=nodestatus.conditions(node.status.conditions, self._facts, load, runtime, self._clock.now()),
            daemonEndpoints=core_v1.NodeDaemonEndpoints(kubeletEndpoint=core_v1.DaemonEndpoint(Port=self._port())),
            nodeInfo=nodestatus.node_info(self._config, self._facts, runtime),
            images=images,
            runtimeHandlers=[
                core_v1.NodeRuntimeHandler(
                    name=name,
                    features=core_v1.NodeRuntimeHandlerFeatures(recursiveReadOnlyMounts=rro, userNamespaces=userns),
                )
                for name, rro, userns in runtime.handlers
            ]
            or None,
            features=core_v1.NodeFeatures(supplementalGroupsPolicy=runtime.supplemental_groups_policy),
        )

    async def _runtime(self) -> tuple[RuntimeState, list[core_v1.ContainerImage] | None]:
        try:
            version = await self._cri.version()
            answer = await self._cri.status()
            listed = await self._cri.list_images()
        except RuntimeFault as fault:
            problem = f"container runtime is down: {fault}"
            return RuntimeState(problem=problem, network_problem=problem), self.node.status.images
        conditions = {c.type: c for c in answer.status.conditions}
        state = RuntimeState(
            name=version.runtime_name,
            version=version.runtime_version,
            problem=_problem(conditions.get("RuntimeReady"), "Runtime"),
            network_ready=bool(conditions["NetworkReady"].status) if "NetworkReady" in conditions else False,
            network_problem=_problem(conditions.get("NetworkReady"), "Network"),
            handlers=tuple(
                (h.name, h.features.recursive_read_only_mounts, h.features.user_namespaces)
                for h in answer.runtime_handlers
            ),
            supplemental_groups_policy=answer.features.supplemental_groups_policy,
        )
        images = nodestatus.images([([*i.repo_digests, *i.repo_tags], i.size) for i in listed])
        return state, images or None

    # Lease

    async def renew_lease(self) -> None:
        """Keep the Lease renewed until cancelled."""
        wait = RETRY_SECONDS
        while True:
            try:
                await self._renew()
                wait = RETRY_SECONDS
                await self._clock.sleep(self._config.lease_seconds / RENEWALS)
            except (errors.StatusError, TransportError) as error:
                logger.info("lease of node %s: %s", self._config.node_name, error)
                self._lease = None
                await self._clock.sleep(wait)
                wait = min(wait * 2, 7.0)

    async def _renew(self) -> None:
        name = self._config.node_name
        moment = times.format_micro(self._clock.now())
        if self._lease is None:
            try:
                self._lease = await self._leases.get(name, LEASE_NAMESPACE)
            except errors.NotFound:
                owner = meta_v1.OwnerReference(apiVersion="v1", kind="Node", name=name, uid=self.node.metadata.uid)
                spec = coordination_v1.LeaseSpec(
                    holderIdentity=name, leaseDurationSeconds=self._config.lease_seconds, renewTime=moment
                )
                meta = meta_v1.ObjectMeta(name=name, namespace=LEASE_NAMESPACE, ownerReferences=[owner])
                self._lease = await self._leases.create(coordination_v1.Lease(metadata=meta, spec=spec))
                return
        spec = msgspec.structs.replace(
            self._lease.spec,
            holderIdentity=name,
            leaseDurationSeconds=self._config.lease_seconds,
            renewTime=moment,
        )
        self._lease = await self._leases.update(msgspec.structs.replace(self._lease, spec=spec))


def _replacing(status: dict[str, object]) -> list[object]:
    """Addresses as a whole: a strategic patch would merge them by type."""
    found = status.get("addresses")
    return [*(found if isinstance(found, list) else []), {"$patch": "replace"}]


def _problem(condition: object, what: str) -> str:
    if condition is None:
        return f"container runtime status check may not have completed yet: {what}Ready is not reported"
    status, reason, message = (getattr(condition, name) for name in ("status", "reason", "message"))
    if status:
        return ""
    subject = "container runtime network not ready" if what == "Network" else "container runtime not ready"
    return f"{subject}: {what}Ready=false reason:{reason} message:{message}"
