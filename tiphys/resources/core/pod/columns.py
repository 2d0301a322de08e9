"""What ``kubectl get pods`` shows.

Source: Kubernetes, package printers/internalversion, by behaviour.
"""

from datetime import datetime
from typing import NamedTuple

from tiphys.api import core_v1
from tiphys.machinery import conditions
from tiphys.resources.columns import AGE, NAME, since
from tiphys.resources.rules import Column

ENDED = ("Failed", "Succeeded")


class Summary(NamedTuple):
    """What the columns READY, STATUS and RESTARTS say."""

    ready: int
    total: int
    reason: str
    restarts: int
    last_restart: str


def summary(pod: core_v1.Pod) -> Summary:
    status = pod.status
    sidecars = {init.name for init in pod.spec.initContainers or () if init.restartPolicy == "Always"}
    total = len(pod.spec.containers) + len(sidecars)
    reason, initializing, ready = _init_reason(pod, sidecars)
    statuses = status.containerStatuses or []
    inits = status.initContainerStatuses or []
    if not initializing or conditions.is_true(status.conditions, "Initialized"):
        counted = [*(each for each in inits if each.name in sidecars), *statuses]
        reason, running = _main_reason(reason or _base_reason(pod), pod, statuses)
        ready += running
    else:
        counted = inits
    return Summary(ready, total, _deleted_reason(pod, reason), *_restarts(counted))


def _base_reason(pod: core_v1.Pod) -> str:
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            return "SchedulingGated"
    return pod.status.reason or pod.status.phase or ""


def _restarts(statuses: list[core_v1.ContainerStatus]) -> tuple[int, str]:
    ended = [status.lastState.terminated for status in statuses]
    last = max((state.finishedAt or "" for state in ended if state is not None), default="")
    return sum(status.restartCount for status in statuses), last


def _init_reason(pod: core_v1.Pod, sidecars: set[str]) -> tuple[str, bool, int]:
    """What holds initialization up (empty: nothing), whether it is going on, and how many sidecars are ready."""
    ready = 0
    for index, container in enumerate(pod.status.initContainerStatuses or ()):
        ended, waiting = container.state.terminated, container.state.waiting
        if ended is not None and ended.exitCode == 0:
            continue
        if container.name in sidecars and container.started:
            ready += container.ready
            continue
        if ended is not None:
            return f"Init:{_end(ended)}", True, ready
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return f"Init:{waiting.reason}", True, ready
        return f"Init:{index}/{len(pod.spec.initContainers or ())}", True, ready
    return "", False, ready


def _end(state: core_v1.ContainerStateTerminated) -> str:
    if state.reason:
        return state.reason
    return f"Signal:{state.signal}" if state.signal else f"ExitCode:{state.exitCode}"


def _main_reason(reason: str, pod: core_v1.Pod, statuses: list[core_v1.ContainerStatus]) -> tuple[str, int]:
    """The first container that does not run gives the reason; and how many are ready."""
    ready = 0
    for container in reversed(statuses):
        state = container.state
        if state.waiting is not None and state.waiting.reason:
            reason = state.waiting.reason
        elif state.terminated is not None:
            reason = _end(state.terminated)
        elif container.ready and state.running is not None:
            ready += 1
    if reason == "Completed" and ready:
        reason = "Running" if conditions.is_true(pod.status.conditions, "Ready") else "NotReady"
    return reason, ready


def _deleted_reason(pod: core_v1.Pod, reason: str) -> str:
    if pod.metadata.deletionTimestamp is None:
        return reason
    if pod.status.reason == "NodeLost":
        return "Unknown"
    return reason if pod.status.phase in ENDED else "Terminating"


def _ready(pod: core_v1.Pod, now: datetime) -> str:
    found = summary(pod)
    return f"{found.ready}/{found.total}"


def _reason(pod: core_v1.Pod, now: datetime) -> str:
    return summary(pod).reason


def _restart_count(pod: core_v1.Pod, now: datetime) -> str:
    found = summary(pod)
    if found.restarts and found.last_restart:
        return f"{found.restarts} ({since(found.last_restart, now)} ago)"
    return str(found.restarts)


def _address(pod: core_v1.Pod, now: datetime) -> str:
    addresses = pod.status.podIPs
    return (addresses[0].ip if addresses else pod.status.podIP) or "<none>"


def _gates(pod: core_v1.Pod, now: datetime) -> str:
    gates = pod.spec.readinessGates
    if not gates:
        return "<none>"
    met = sum(conditions.is_true(pod.status.conditions, gate.conditionType) for gate in gates)
    return f"{met}/{len(gates)}"


COLUMNS = (
    NAME,
    Column("Ready", _ready, description="How many of the Pod's containers are ready, of all."),
    Column("Status", _reason, description="Phase of the Pod, or what keeps it from running."),
    Column("Restarts", _restart_count, description="Restarts of its containers, and when the last one was."),
    AGE,
    Column("IP", _address, priority=1, description="Address of the Pod."),
    Column("Node", lambda pod, now: pod.spec.nodeName or "<none>", priority=1, description="Node that runs it."),
    Column(
        "Nominated Node",
        lambda pod, now: pod.status.nominatedNodeName or "<none>",
        priority=1,
        description="Node on which preemption is making room for it.",
    ),
    Column("Readiness Gates", _gates, priority=1, description="Readiness gates that are met, of all."),
)
