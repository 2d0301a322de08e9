"""In-place resize: a running Pod's containers get other CPU and memory without being made anew. Pure.

Three states of a container's resources: what the spec asks for (desired), what the node has granted
(allocated; decides about other Pods and about containers that start), and what the runtime was last told
(actuated). A resize moves the first to the second at once or, while the node is too full, later; the second to
the third container by container.

Source: KEP-1287 In-place Update of Pod Resources; Kubernetes docs, "Resize CPU and Memory Resources assigned to
Containers"; words of conditions and events by behaviour.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tiphys.api import core_v1
from tiphys.api.scalars import Quantity
from tiphys.kubelet import admission, qos, restart
from tiphys.machinery import quantity

PENDING = "PodResizePending"
IN_PROGRESS = "PodResizeInProgress"
#: What can be resized.
RESOURCES = ("cpu", "memory")

Resources = core_v1.ResourceRequirements


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason and message of the condition, and the word that the event has for it."""

    reason: str
    message: str
    word: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What the status tells of a resize."""

    pending: Refusal | None = None
    under_way: bool = False
    #: Why the runtime has not done it yet.
    error: str = ""
    #: By container name: what the runtime was told last, where that differs from what is allocated.
    actuated: Mapping[str, Resources] = field(default_factory=dict)


def same(a: Resources, b: Resources) -> bool:
    """Whether both mean the same CPU and memory."""
    return all(
        _equal((getattr(a, which) or {}).get(name), (getattr(b, which) or {}).get(name))
        for which in ("requests", "limits")
        for name in RESOURCES
    )


def _equal(a: str | None, b: str | None) -> bool:
    return a == b or (a is not None and b is not None and quantity.compare(a, b) == 0)


def needs_restart(container: restart.AnyContainer, actuated: Resources) -> bool:
    """Whether what changes can only be given to a new container, by its ``resizePolicy``."""
    by_restart = {p.resourceName for p in container.resizePolicy or () if p.restartPolicy == "RestartContainer"}
    wanted = container.resources
    return any(
        not _equal((getattr(actuated, which) or {}).get(name), (getattr(wanted, which) or {}).get(name))
        for which in ("requests", "limits")
        for name in RESOURCES
        if name in by_restart
    )


def is_same_size(a: core_v1.Pod, b: core_v1.Pod) -> bool:
    others = {c.name: c.resources for c in _resizable(b)}
    return all(same(c.resources, others.get(c.name, c.resources)) for c in _resizable(a)) and _level(a) == _level(b)


def _level(pod: core_v1.Pod) -> dict[str, dict[str, str] | None]:
    level = pod.spec.resources
    return {} if level is None else {"requests": level.requests or None, "limits": level.limits or None}  # type: ignore[dict-item]


def _resizable(pod: core_v1.Pod) -> list[core_v1.Container]:
    return [*(pod.spec.initContainers or ()), *pod.spec.containers]


def with_size_of(pod: core_v1.Pod, allocated: core_v1.Pod) -> core_v1.Pod:
    """``pod`` with the resources of ``allocated``, for containers that both have."""
    sizes = {c.name: c.resources for c in _resizable(allocated)}
    return _sized(pod, sizes, allocated.spec.resources)


def as_reported(pod: core_v1.Pod) -> core_v1.Pod:
    """``pod`` with the size that its status tells: what an earlier kubelet had granted."""
    status = pod.status
    sizes: dict[str, Resources] = {}
    for found in (*(status.initContainerStatuses or ()), *(status.containerStatuses or ())):
        if found.resources is None:
            continue
        granted = {**(found.resources.requests or {}), **(found.allocatedResources or {})}
        sizes[found.name] = Resources(limits=found.resources.limits, requests=granted or None)
    return _sized(pod, sizes, pod.spec.resources) if sizes else pod


def actuated(status: core_v1.PodStatus) -> dict[str, Resources]:
    """What an earlier kubelet had told the runtime, by container name."""
    every = (*(status.initContainerStatuses or ()), *(status.containerStatuses or ()))
    return {s.name: s.resources for s in every if s.resources is not None and s.state.running}


def _sized(pod: core_v1.Pod, sizes: Mapping[str, Resources], level: Resources | None) -> core_v1.Pod:
    def sized(containers: Sequence[core_v1.Container]) -> list[core_v1.Container]:
        return [
            c
            if c.name not in sizes or same(c.resources, sizes[c.name])
            else msgspec.structs.replace(c, resources=_merged(c.resources, sizes[c.name]))
            for c in containers
        ]

    init = pod.spec.initContainers
    spec = msgspec.structs.replace(
        pod.spec,
        containers=sized(pod.spec.containers),
        initContainers=sized(init) if init else init,
        resources=level,
    )
    if _is_made_of(spec, pod.spec):
        # The usual case; whoever asks whether there is something to do need not compare.
        return pod
    return msgspec.structs.replace(pod, spec=spec)


def _is_made_of(spec: core_v1.PodSpec, old: core_v1.PodSpec) -> bool:
    pairs = zip(
        [*spec.containers, *(spec.initContainers or ())], [*old.containers, *(old.initContainers or ())], strict=True
    )
    return spec.resources == old.resources and all(a is b for a, b in pairs)


def _merged(wanted: Resources, size: Resources) -> Resources:
    """``wanted`` with CPU and memory of ``size``; all other resources are as they were when the Pod was made."""

    def merged(which: str) -> dict[str, Quantity] | None:
        kept = {n: a for n, a in (getattr(wanted, which) or {}).items() if n not in RESOURCES}
        taken = {n: a for n, a in (getattr(size, which) or {}).items() if n in RESOURCES}
        return {**taken, **kept} or None

    return msgspec.structs.replace(wanted, requests=merged("requests"), limits=merged("limits"))


def refusal(desired: core_v1.Pod, others: Iterable[core_v1.Pod], allocatable: Mapping[str, str]) -> Refusal | None:
    """Why the resize has to wait; None if the node has room."""
    asked = qos.pod_requests(desired)
    for name in reversed(RESOURCES):
        text = allocatable.get(name, "0")
        capacity = quantity.milli(text) if name == "cpu" else quantity.value(text)
        if asked.get(name, 0) > capacity:
            message = f"Node didn't have enough capacity: {name}, requested: {asked[name]}, capacity: {capacity}"
            return Refusal("Infeasible", message, "infeasible")
    short = admission.lacks(desired, list(others), allocatable, RESOURCES)
    return Refusal("Deferred", short[1], short[0]) if short is not None else None


def conditions(progress: Progress, generation: int | None) -> list[core_v1.PodCondition]:
    """Without times; the caller keeps those of conditions that were there before."""
    found: list[core_v1.PodCondition] = []
    if progress.pending is not None:
        found.append(
            core_v1.PodCondition(
                type=PENDING,
                status="True",
                reason=progress.pending.reason,
                message=progress.pending.message,
                observedGeneration=generation,
            )
        )
    if progress.under_way:
        found.append(
            core_v1.PodCondition(
                type=IN_PROGRESS,
                status="True",
                reason="Error" if progress.error else None,
                message=progress.error or None,
                observedGeneration=generation,
            )
        )
    return found


def event_text(what: str, pod: core_v1.Pod, error: str = "") -> str:
    """``Pod resize <what>: {…}`` with the containers' resources and the generation, as JSON."""
    story: dict[str, object] = {}
    for key, containers in (("initContainers", pod.spec.initContainers or ()), ("containers", pod.spec.containers)):
        told = [
            {"name": c.name, "resources": _told(c.resources)}
            for c in containers
            if key == "containers" or restart.is_sidecar(c)
        ]
        if told:
            story[key] = told
    story["generation"] = pod.metadata.generation or 0
    if error:
        story["error"] = error
    return f"Pod resize {what}: {json.dumps(story, separators=(',', ':'), ensure_ascii=False)}"


def _told(resources: Resources) -> dict[str, dict[str, str]]:
    amounts = {"limits": resources.limits or {}, "requests": resources.requests or {}}
    picked = {which: {n: str(each[n]) for n in RESOURCES if n in each} for which, each in amounts.items()}
    return {which: each for which, each in picked.items() if each}
