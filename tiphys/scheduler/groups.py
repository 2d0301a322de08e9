"""Which Pods belong together by default: those of the same Services and the same owner.

Used for spreading Pods that have no constraints of their own.
Source: Kubernetes docs, "Pod Topology Spread Constraints", "Built-in default constraints".
"""

from collections.abc import Sequence

from tiphys.api import apps_v1, core_v1
from tiphys.client import Informer, Informers
from tiphys.machinery import meta, selectors
from tiphys.machinery.selectors import Requirement, Selector
from tiphys.scheduler.pods import PodInfo

Workload = apps_v1.ReplicaSet | apps_v1.StatefulSet


class Groups:
    """Reads Services and owners from informers; asks nothing of the API itself."""

    def __init__(self, informers: Informers) -> None:
        self._services: Informer[core_v1.Service] = informers.of(core_v1.Service)
        self._replica_sets: Informer[apps_v1.ReplicaSet] = informers.of(apps_v1.ReplicaSet)
        self._stateful_sets: Informer[apps_v1.StatefulSet] = informers.of(apps_v1.StatefulSet)
        self._controllers: Informer[core_v1.ReplicationController] = informers.of(core_v1.ReplicationController)
        self._services.add_index("scheduler/namespace", lambda service: [service.metadata.namespace])

    def selectors(self, info: PodInfo) -> Sequence[Selector]:
        """One selector that joins all of the Pod's groups; none if it belongs to nothing."""
        requirements = [
            requirement
            for service in self._services.by_index("scheduler/namespace", info.namespace)
            if service.spec.selector and (found := selectors.from_labels(service.spec.selector)).matches(info.labels)
            for requirement in found.requirements
        ]
        owner = meta.controller_of(info.pod)
        if owner is not None:
            requirements += self._owner_requirements(owner.kind, f"{info.namespace}/{owner.name}")
        return [Selector(dict.fromkeys(requirements))] if requirements else []

    def _owner_requirements(self, kind: str, key: str) -> Sequence[Requirement]:
        if kind == "ReplicationController":
            controller = self._controllers.get(key)
            labels = controller.spec.selector if controller is not None else None
            return selectors.from_labels(labels).requirements if labels else ()
        workload: Workload | None = None
        if kind == "ReplicaSet":
            workload = self._replica_sets.get(key)
        elif kind == "StatefulSet":
            workload = self._stateful_sets.get(key)
        return selectors.from_label_selector(workload.spec.selector).requirements if workload is not None else ()
