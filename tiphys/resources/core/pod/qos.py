"""The quality-of-service class of a Pod.

Source: Kubernetes docs, "Pod Quality of Service Classes", by behaviour.
"""

from collections.abc import Mapping

from tiphys.api import core_v1
from tiphys.machinery import quantity
from tiphys.resources.core.pod.defaults import containers_of

COMPUTE = ("cpu", "memory")


def qos_class(pod: core_v1.Pod) -> str:
    """Guaranteed, Burstable or BestEffort."""
    spec = pod.spec
    if spec.resources is not None:
        requirements = [spec.resources]
    else:
        requirements = [container.resources for container in containers_of(spec)]
    if not any(_positive(each.requests) or _positive(each.limits) for each in requirements):
        return "BestEffort"
    return "Guaranteed" if all(_guaranteed(each) for each in requirements) else "Burstable"


def _positive(amounts: Mapping[str, str] | None) -> bool:
    return any((amounts or {}).get(name, "0") != "0" for name in COMPUTE)


def _guaranteed(resources: core_v1.ResourceRequirements) -> bool:
    limits, requests = resources.limits or {}, resources.requests or {}
    return all(
        limits.get(name, "0") != "0" and quantity.compare(limits[name], requests.get(name, limits[name])) == 0
        for name in COMPUTE
    )
