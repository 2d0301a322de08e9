"""What the scheduler knows besides Pods and nodes: volumes, disruption budgets and namespaces, from informers."""

import asyncio
from collections.abc import Callable, Sequence

from tiphys.api import core_v1, policy_v1, storage_v1
from tiphys.client import Informer, Informers
from tiphys.machinery import selectors
from tiphys.scheduler.events import ClusterEvent, NamespaceChanged, VolumesChanged
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.preemption import Budget, Budgets

Happened = Callable[[ClusterEvent], None]


class InformedVolumes:
    """``Volumes`` of the informers' caches."""

    def __init__(self, informers: Informers, happened: Happened) -> None:
        self._claims: Informer[core_v1.PersistentVolumeClaim] = informers.of(core_v1.PersistentVolumeClaim)
        self._volumes: Informer[core_v1.PersistentVolume] = informers.of(core_v1.PersistentVolume)
        self._classes: Informer[storage_v1.StorageClass] = informers.of(storage_v1.StorageClass)
        self._volumes.add_index("scheduler/class", lambda volume: [volume.spec.storageClassName or ""])
        self._drivers = informers.of(storage_v1.CSIDriver)
        self._capacities = informers.of(storage_v1.CSIStorageCapacity)
        self._capacities.add_index("scheduler/class", lambda capacity: [capacity.storageClassName])
        self._csi_nodes = informers.of(storage_v1.CSINode)
        self._attachments = informers.of(storage_v1.VolumeAttachment)
        self._attachments.add_index("scheduler/node", lambda attachment: [attachment.spec.nodeName])
        self.attachments_version = 0
        self._happened = happened
        self._waiting: list[asyncio.Future[None]] = []
        for informer in (self._claims, self._volumes, self._classes, self._drivers, self._capacities):
            informer.add_handler(lambda _: self._changed(), lambda _, __: self._changed(), lambda _: self._changed())
        for other in (self._csi_nodes, self._attachments):
            other.add_handler(lambda _: self._attached(), lambda _, __: self._attached(), lambda _: self._attached())

    def _attached(self) -> None:
        self.attachments_version += 1
        self._changed()

    def _changed(self) -> None:
        self._happened(VolumesChanged())
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait_changed(self) -> None:
        """Return after the next change of any claim, volume or class."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def find_claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim | None:
        return self._claims.get(f"{namespace}/{name}")

    def find_volume(self, name: str) -> core_v1.PersistentVolume | None:
        return self._volumes.get(name)

    def find_class(self, name: str) -> storage_v1.StorageClass | None:
        return self._classes.get(name)

    def volumes_of_class(self, name: str) -> Sequence[core_v1.PersistentVolume]:
        return self._volumes.by_index("scheduler/class", name)

    def find_driver(self, name: str) -> storage_v1.CSIDriver | None:
        return self._drivers.get(name)

    def capacities_of_class(self, name: str) -> Sequence[storage_v1.CSIStorageCapacity]:
        return self._capacities.by_index("scheduler/class", name)

    def find_csi_node(self, name: str) -> storage_v1.CSINode | None:
        return self._csi_nodes.get(name)

    def attached_to(self, node: str) -> Sequence[core_v1.PersistentVolume]:
        names = (a.spec.source.persistentVolumeName for a in self._attachments.by_index("scheduler/node", node))
        found = (self._volumes.get(name) for name in names if name)
        return [volume for volume in found if volume is not None]


def follow_budgets(informers: Informers) -> Budgets:
    """Disruption budgets, kept up to date."""
    budgets = Budgets()

    def put(budget: policy_v1.PodDisruptionBudget) -> None:
        meta, status = budget.metadata, budget.status
        selector = selectors.from_label_selector(budget.spec.selector)
        disrupted = frozenset(status.disruptedPods or ())
        budgets.put(meta.name, Budget(meta.namespace, selector, status.disruptionsAllowed or 0, disrupted))

    informers.of(policy_v1.PodDisruptionBudget).add_handler(
        put, lambda _, new: put(new), lambda old: budgets.remove(old.metadata.namespace, old.metadata.name)
    )
    return budgets


def follow_namespaces(informers: Informers, nodes: NodeTable, happened: Happened) -> None:
    """Tell the table the labels of namespaces, which selectors of Pod affinity look at."""

    def put(namespace: core_v1.Namespace) -> None:
        if nodes.terms.labels_of(namespace.metadata.name) != namespace.metadata.labels:
            nodes.terms.set_namespace(namespace.metadata.name, namespace.metadata.labels)
            happened(NamespaceChanged())

    informers.of(core_v1.Namespace).add_handler(
        put, lambda _, new: put(new), lambda old: nodes.terms.set_namespace(old.metadata.name, None)
    )
