"""When something last happened that endpoints have to follow, for measuring how long that takes. Pure but for memory.

Source: Kubernetes' scalability objective "network programming latency" and its annotation
``endpoints.kubernetes.io/last-change-trigger-time``.
"""

from collections.abc import Iterable

import msgspec

from tiphys.api import core_v1, meta_v1
from tiphys.machinery.conditions import find_condition

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """Remembers, by key of the Service, the instants that were counted already."""

    def __init__(self) -> None:
        self._counted: dict[str, set[tuple[str, str]]] = {}

    def note(self, key: str, service: core_v1.Service, pods: Iterable[core_v1.Pod]) -> str:
        """The earliest instant that was not known at the last call; empty if there is none."""
        instants = {("", str(service.metadata.creationTimestamp or ""))}
        for pod in pods:
            ready = find_condition(pod.status.conditions or [], "Ready")
            if ready is not None and ready.lastTransitionTime:
                instants.add((pod.metadata.uid, str(ready.lastTransitionTime)))
        known = self._counted.get(key, set())
        self._counted[key] = instants
        return min((at for _, at in instants - known if at), default="")

    def forget(self, key: str) -> None:
        self._counted.pop(key, None)


def stamped(metadata: meta_v1.ObjectMeta, instant: str) -> meta_v1.ObjectMeta:
    """``metadata`` that tells of ``instant``, or of none if that is empty."""
    annotations = {name: text for name, text in metadata.annotations.items() if name != ANNOTATION}
    if instant:
        annotations[ANNOTATION] = instant
    return msgspec.structs.replace(metadata, annotations=annotations)
