"""The conditions that the kubelet writes on a Pod, in Kubernetes' words.

Source: Kubernetes docs, "Pod Lifecycle", "Pod conditions" and "Pod readiness"; reasons and messages by behaviour.
"""

from collections.abc import Sequence

from tiphys.api import core_v1
from tiphys.api.scalars import Time
from tiphys.kubelet import resize, restart
from tiphys.machinery.goformat import quote

READY_TO_START = "PodReadyToStartContainers"
INITIALIZED = "Initialized"
READY = "Ready"
CONTAINERS_READY = "ContainersReady"
SCHEDULED = "PodScheduled"
#: In the order in which they stand in the status, behind those of others.
ALWAYS = (READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED)
OWNED = (resize.PENDING, resize.IN_PROGRESS, *ALWAYS)

Verdict = tuple[bool, str, str]


def conditions(
    pod: core_v1.Pod,
    phase: str,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
    sandbox_ready: bool,
    now: Time,
    resizing: resize.Progress,
) -> list[core_v1.PodCondition]:
    """All conditions of the Pod: others' as they are, then ours; ``lastTransitionTime`` moves with ``status``."""
    old = {c.type: c for c in pod.status.conditions or ()}
    containers_ready = _containers_ready(pod, phase, {s.name: s for s in (*init_statuses, *statuses)})
    verdicts: dict[str, Verdict] = {
        READY_TO_START: (sandbox_ready, "", ""),
        INITIALIZED: _initialized(pod, phase, init_statuses, statuses),
        READY: containers_ready if not containers_ready[0] else _gates(pod),
        CONTAINERS_READY: containers_ready,
        SCHEDULED: (True, "", ""),
    }
    kept = [c for c in pod.status.conditions or () if c.type not in OWNED]
    passing = resize.conditions(resizing, pod.metadata.generation or None)
    for condition in passing:
        before = old.get(condition.type)
        condition.lastTransitionTime = before.lastTransitionTime if before else now
    return kept + passing + [_condition(pod, name, verdicts[name], old.get(name), now) for name in ALWAYS]


def _condition(
    pod: core_v1.Pod, name: str, verdict: Verdict, old: core_v1.PodCondition | None, now: Time
) -> core_v1.PodCondition:
    status = "True" if verdict[0] else "False"
    moved = old is None or old.status != status
    return core_v1.PodCondition(
        type=name,
        status=status,
        reason=verdict[1] or None,
        message=verdict[2] or None,
        lastTransitionTime=now if moved or old is None else old.lastTransitionTime,
        observedGeneration=pod.metadata.generation or None,
    )


def _initialized(
    pod: core_v1.Pod,
    phase: str,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
) -> Verdict:
    by_name = {s.name: s for s in init_statuses}
    unknown: list[str] = []
    incomplete: list[str] = []
    for container in pod.spec.initContainers or ():
        status = by_name.get(container.name)
        if status is None:
            unknown.append(container.name)
        elif not (status.started if restart.is_sidecar(container) else status.ready):
            incomplete.append(container.name)
    if phase == "Succeeded" and not unknown:
        return True, "PodCompleted", ""
    if any(has_started(s) for s in statuses):
        return True, "", ""
    message = _listed(("unknown", unknown), ("incomplete", incomplete))
    return (False, "ContainersNotInitialized", message) if message else (True, "", "")


def has_started(status: core_v1.ContainerStatus) -> bool:
    """Whether the container runs or ever ran."""
    return bool(status.state.running or status.state.terminated or status.lastState.terminated)


def _containers_ready(pod: core_v1.Pod, phase: str, by_name: dict[str, core_v1.ContainerStatus]) -> Verdict:
    counted = [c.name for c in pod.spec.initContainers or () if restart.is_sidecar(c)]
    counted += [c.name for c in pod.spec.containers]
    unknown = [name for name in counted if name not in by_name]
    unready = [name for name in counted if name in by_name and not by_name[name].ready]
    if phase == "Succeeded" and not unknown:
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    message = _listed(("unknown", unknown), ("unready", unready))
    return (False, "ContainersNotReady", message) if message else (True, "", "")


def _listed(*groups: tuple[str, list[str]]) -> str:
    return ", ".join(f"containers with {word} status: [{' '.join(names)}]" for word, names in groups if names)


def _gates(pod: core_v1.Pod) -> Verdict:
    present = {c.type: c.status for c in pod.status.conditions or ()}
    messages: list[str] = []
    for gate in pod.spec.readinessGates or ():
        status = present.get(gate.conditionType)
        if status is None:
            messages.append(
                f"corresponding condition of pod readiness gate {quote(gate.conditionType)} does not exist."
            )
        elif status != "True":
            messages.append(f'the status of pod readiness gate {quote(gate.conditionType)} is not "True", but {status}')
    return (False, "ReadinessGatesNotReady", ", ".join(messages)) if messages else (True, "", "")
