"""Quality of service: a Pod's class, and what its requests and limits become in the kernel's units.

Source: Kubernetes docs, "Pod Quality of Service Classes" and "Resource Management for Pods and Containers";
KEP-2837 Pod level resource specifications.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from tiphys.api import core_v1
from tiphys.api.scalars import Quantity
from tiphys.kubelet import restart
from tiphys.machinery import quantity

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]

SHARES_MIN: Final = 2
SHARES_MAX: Final = 262144
SHARES_PER_CPU: Final = 1024
QUOTA_PERIOD_MICROSECONDS: Final = 100_000
QUOTA_MICROSECONDS_MIN: Final = 1000


def qos_class(pod: core_v1.Pod) -> QosClass:
    level = pod.spec.resources
    if level is not None and (level.requests or level.limits):
        sources = [level]
    else:
        sources = [c.resources for kind, c in restart.containers_of(pod) if kind != "ephemeral"]
    any_set, guaranteed = False, True
    for resources in sources:
        limits = _compute(resources.limits)
        requests = _compute(resources.requests)
        any_set = any_set or bool(limits or requests)
        equal = all(not quantity.compare(requests.get(name, limit), limit) for name, limit in limits.items())
        guaranteed = guaranteed and equal and set(limits) == {"cpu", "memory"}
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: Mapping[str, Quantity] | None) -> dict[str, Quantity]:
    return {
        name: amount
        for name, amount in (amounts or {}).items()
        if name in ("cpu", "memory") and quantity.parse(amount) > 0
    }


def shares(milli_cpu: int) -> int:
    """cgroup v1 CPU shares."""
    if milli_cpu == 0:
        return SHARES_MIN
    return min(max(milli_cpu * SHARES_PER_CPU // 1000, SHARES_MIN), SHARES_MAX)


def quota(milli_cpu: int) -> int:
    """Microseconds per period; 0 for no limit."""
    if milli_cpu == 0:
        return 0
    return max(milli_cpu * QUOTA_PERIOD_MICROSECONDS // 1000, QUOTA_MICROSECONDS_MIN)


def oom_score_adj(pod: core_v1.Pod, container: restart.AnyContainer, memory_capacity: int) -> int:
    """How willingly the kernel kills it: the less it asked for, the sooner.

    Source: Kubernetes docs, "Node-pressure Eviction", "Node out of memory behavior".
    """
    if (pod.spec.priority or 0) >= 2_000_000_000 + 1000 and pod.spec.priorityClassName == "system-node-critical":
        return -997
    found = qos_class(pod)
    if found == "Guaranteed":
        return -997
    if found == "BestEffort":
        return 1000
    request = amount(container.resources.requests, "memory")
    score = 1000 - 1000 * request // max(1, memory_capacity)
    # Never as protected as a Guaranteed one, never as exposed as a BestEffort one.
    return 3 if score < 3 else 999 if score == 1000 else score


def amount(amounts: Mapping[str, Quantity] | None, name: str) -> int:
    """Whole units; 0 where it is not named."""
    text = (amounts or {}).get(name)
    return quantity.value(text) if text else 0


def milli(amounts: Mapping[str, Quantity] | None, name: str) -> int:
    text = (amounts or {}).get(name)
    return quantity.milli(text) if text else 0


def pod_requests(pod: core_v1.Pod) -> dict[str, int]:
    """What the Pod asks of the node: CPU in millicores, all else in whole units.

    The larger of what runs at once: app containers with sidecars, or one init container with the sidecars
    before it; plus overhead. Source: KEP-753 Sidecar containers, "Resources calculation for scheduling".
    """
    return _aggregate(pod, "requests")


def pod_limits(pod: core_v1.Pod) -> dict[str, int]:
    return _aggregate(pod, "limits")


def _aggregate(pod: core_v1.Pod, which: Literal["requests", "limits"]) -> dict[str, int]:
    total: dict[str, int] = {}
    for container in pod.spec.containers:
        _add(total, _amounts(container.resources, which))
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in pod.spec.initContainers or ():
        asked = _amounts(container.resources, which)
        if restart.is_sidecar(container):
            _add(sidecars, asked)
            _add(total, asked)
            _raise(peak, sidecars)
        else:
            _raise(peak, _sum(asked, sidecars))
    _raise(total, peak)
    if pod.spec.resources is not None:
        total.update(_amounts(pod.spec.resources, which))
    overhead = pod.spec.overhead or {}
    if which == "requests" or total:
        _add(total, {name: _unit(name, text) for name, text in overhead.items()})
    return total


def _unit(name: str, text: str) -> int:
    return quantity.milli(text) if name == "cpu" else quantity.value(text)


def _amounts(resources: core_v1.ResourceRequirements, which: Literal["requests", "limits"]) -> dict[str, int]:
    chosen = resources.requests if which == "requests" else resources.limits
    return {name: _unit(name, text) for name, text in (chosen or {}).items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    total = dict(a)
    _add(total, b)
    return total


def _raise(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, number in floor.items():
        total[name] = max(total.get(name, 0), number)


def all_limited(containers: Iterable[restart.AnyContainer], name: str) -> bool:
    """Whether each container has a limit of ``name``: only then is the sum a limit of the Pod."""
    return all((c.resources.limits or {}).get(name) for c in containers)
