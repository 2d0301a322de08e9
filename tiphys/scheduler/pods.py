"""What of a Pod matters to the scheduler, taken from it once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import codec, quantity
from tiphys.machinery.conditions import find_condition

# What scoring assumes of a container that requests nothing, so that such Pods spread as well.
# Source: Kubernetes docs, "Scheduler configuration"; kube-scheduler's non-zero requests.
ASSUMED_CPU_MILLICORES = 100
ASSUMED_MEMORY_BYTES = 200 * 1024 * 1024

AmountsOf = Callable[[core_v1.Container], dict[str, int]]
#: Host ports as (address, protocol, port).
Ports = tuple[tuple[str, str, int], ...]


@dataclass(slots=True)
class PodInfo:
    """One Pod. ``requests`` are millicores of CPU and units of all else, largest of init and app phase."""

    key: str
    uid: str
    namespace: str
    labels: Mapping[str, str]
    priority: int
    requests: dict[str, int]
    assumed_cpu: int
    assumed_memory: int
    ports: Ports
    pod: core_v1.Pod
    node_name: str = ""
    #: On its way out: still takes resources, no longer counts for spreading.
    terminating: bool = False
    #: Images of init and app containers.
    images: tuple[str, ...] = ()
    #: When the kubelet took it on; empty before.
    started: str = ""
    #: Being evicted to make room for a more important Pod.
    preempted: bool = False
    #: The node that was cleared for it, as its status says.
    nominated_node: str = ""
    #: Claims of volumes, by ``namespace/name``; those made for the Pod alone left out.
    claims: tuple[str, ...] = ()

    def counts_like(self, other: "PodInfo") -> bool:
        """Whether it weighs on a node exactly as ``other`` does."""
        return (
            self.requests == other.requests
            and self.labels == other.labels
            and self.terminating == other.terminating
            and self.ports == other.ports
        )


def pod_info(pod: core_v1.Pod) -> PodInfo:
    meta, spec = pod.metadata, pod.spec
    requests = pod_requests(spec, _requests)
    assumed = pod_requests(spec, _assumed)
    return PodInfo(
        key=f"{meta.namespace}/{meta.name}",
        uid=meta.uid,
        namespace=meta.namespace,
        labels=meta.labels,
        priority=spec.priority or 0,
        requests={resource: wanted for resource, wanted in requests.items() if wanted},
        assumed_cpu=assumed.get("cpu", 0),
        assumed_memory=assumed.get("memory", 0),
        ports=host_ports(spec),
        pod=pod,
        node_name=spec.nodeName or "",
        terminating=meta.deletionTimestamp is not None,
        images=tuple(container.image or "" for container in (*(spec.initContainers or ()), *spec.containers)),
        started=pod.status.startTime or "",
        preempted=_is_preempted(pod),
        nominated_node=pod.status.nominatedNodeName or "",
        claims=tuple(
            f"{meta.namespace}/{volume.persistentVolumeClaim.claimName}"
            for volume in spec.volumes or ()
            if volume.persistentVolumeClaim is not None
        ),
    )


def _is_preempted(pod: core_v1.Pod) -> bool:
    if pod.metadata.deletionTimestamp is None:
        return False
    condition = find_condition(pod.status.conditions, "DisruptionTarget")
    return condition is not None and condition.status == "True" and condition.reason == "PreemptionByScheduler"


def _amounts(requests: Mapping[str, str] | None) -> dict[str, int]:
    if not requests:
        return {}
    return {name: quantity.milli(q) if name == "cpu" else quantity.value(q) for name, q in requests.items()}


def _requests(container: core_v1.Container) -> dict[str, int]:
    return _amounts(container.resources.requests)


def _assumed(container: core_v1.Container) -> dict[str, int]:
    amounts = _requests(container)
    return {
        "cpu": amounts.get("cpu", ASSUMED_CPU_MILLICORES),
        "memory": amounts.get("memory", ASSUMED_MEMORY_BYTES),
    }


def pod_requests(spec: core_v1.PodSpec, amounts_of: AmountsOf) -> dict[str, int]:
    """What a Pod needs at its neediest moment.

    App containers and restartable init containers run together; an ordinary init
    container runs beside the restartable ones started before it.
    Source: Kubernetes docs, "Sidecar Containers", "Resource sharing within containers"; KEP-753; KEP-2837
    for requests of the Pod itself; "Pod Overhead".
    """
    app: dict[str, int] = {}
    for container in spec.containers:
        _add(app, amounts_of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.initContainers or ():
        amounts = amounts_of(container)
        if container.restartPolicy == "Always":
            _add(sidecars, amounts)
            _raise(peak, sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, amounts)
            _raise(peak, moment)
    _add(app, sidecars)
    _raise(app, peak)
    if spec.resources is not None and spec.resources.requests:
        app.update(_amounts(spec.resources.requests))
    _add(app, _amounts(spec.overhead))
    return app


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, wanted in more.items():
        total[resource] = total.get(resource, 0) + wanted


def _raise(total: dict[str, int], other: Mapping[str, int]) -> None:
    for resource, wanted in other.items():
        if wanted > total.get(resource, 0):
            total[resource] = wanted


def host_ports(spec: core_v1.PodSpec) -> Ports:
    """Host ports of app containers and restartable init containers; an empty address means all."""
    sidecars = [c for c in spec.initContainers or () if c.restartPolicy == "Always"]
    return tuple(
        (port.hostIP or "0.0.0.0", port.protocol or "TCP", port.hostPort)
        for container in (*spec.containers, *sidecars)
        for port in container.ports or ()
        if port.hostPort
    )


def class_key(info: PodInfo, label_keys: Collection[str], plugin_parts: Sequence[Any]) -> bytes:
    """What must be equal for two Pods to share results: all that any plugin reads.

    Of the labels only those matter that the Pod's own terms or another Pod's
    (``label_keys``) may look at, so that Pods with a label of their own each,
    as those of a StatefulSet, share results all the same.
    """
    spec = info.pod.spec
    affinity = spec.affinity
    own = bool(spec.topologySpreadConstraints) or (
        affinity is not None and (affinity.podAffinity is not None or affinity.podAntiAffinity is not None)
    )
    labels = info.labels if own else {key: info.labels[key] for key in label_keys if key in info.labels}
    parts = [
        spec.nodeSelector,
        affinity,
        spec.tolerations,
        spec.topologySpreadConstraints,
        sorted(info.requests.items()),
        info.assumed_cpu,
        info.assumed_memory,
        info.ports,
        info.images,
        info.namespace,
        info.priority,
        sorted(labels.items()),
        plugin_parts,
    ]
    return codec.encode(parts)
