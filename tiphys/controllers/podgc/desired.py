"""Which Pods are removed. Pure."""

from collections.abc import Iterable

from tiphys.api import core_v1
from tiphys.controllers import pods as podfacts


def superfluous(pods: Iterable[core_v1.Pod], threshold: int) -> list[core_v1.Pod]:
    """Finished Pods beyond ``threshold``: evicted ones first, then the oldest; none if it is not positive."""
    if threshold <= 0:
        return []
    finished = [pod for pod in pods if podfacts.is_finished(pod)]
    excess = len(finished) - threshold
    if excess <= 0:
        return []
    return sorted(finished, key=_age)[:excess]


def _age(pod: core_v1.Pod) -> tuple[bool, str, str]:
    evicted = pod.status.phase == "Failed" and pod.status.reason == "Evicted"
    return (not evicted, pod.metadata.creationTimestamp or "", pod.metadata.name)


def is_abandoned(pod: core_v1.Pod) -> bool:
    """Asked to go before it had a node: no kubelet will confirm its end."""
    return pod.metadata.deletionTimestamp is not None and not pod.spec.nodeName
