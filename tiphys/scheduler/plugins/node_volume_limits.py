"""NodeVolumeLimits: a node attaches as many volumes of a driver as the driver says it can.

Source: Kubernetes docs, "Node-specific Volume Limits".
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from tiphys.api import core_v1, storage_v1
from tiphys.resources.storage import volumes as rules
from tiphys.scheduler.events import NodeChanged, PodGone, VolumesChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.volume_binding import NoVolumes, Volumes, claims_of
from tiphys.scheduler.pods import PodInfo


class NodeVolumeLimits(Plugin):
    name = "NodeVolumeLimits"
    reads = "usage"
    filters = True
    unresolvable = False
    wakes = (VolumesChanged, NodeChanged, PodGone)

    def __init__(self, volumes: Volumes | None = None) -> None:
        self._volumes: Volumes = volumes or NoVolumes()

    def applies(self, info: PodInfo) -> bool:
        return bool(self._volumes_of(info))

    def class_part(self, info: PodInfo) -> Any:
        """Results hold until a driver says something else of a node, or a volume is attached."""
        if not info.pod.spec.volumes or not (found := self._volumes_of(info)):
            return None
        return sorted(found.items()), self._volumes.attachments_version

    def _volumes_of(self, info: PodInfo) -> dict[str, str]:
        """The driver of each volume that will have to be attached, by a name of the volume's own."""
        if not info.pod.spec.volumes:
            return {}
        return dict(self._attachable(info))

    def _attachable(self, info: PodInfo) -> Iterator[tuple[str, str]]:
        for name, _ in claims_of(info):
            claim = self._volumes.find_claim(info.namespace, name)
            if claim is None:
                continue
            volume = self._volumes.find_volume(claim.spec.volumeName) if claim.spec.volumeName else None
            if volume is not None:
                if volume.spec.csi is not None:
                    yield _name(volume), volume.spec.csi.driver
            elif (found := self._volumes.find_class(rules.class_of(claim))) is not None:
                # What is yet to be provisioned will be attached as well.
                yield f"{found.provisioner}/{info.namespace}/{name}", found.provisioner

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        wanted = self._volumes_of(info)
        return np.array([self._fits(wanted, nodes, row) for row in rows.tolist()], bool)

    def _fits(self, wanted: dict[str, str], nodes: NodeTable, row: int) -> bool:
        node = nodes.nodes[row]
        csi_node = self._volumes.find_csi_node(node.metadata.name) if node is not None else None
        limits = _limits(csi_node) if csi_node is not None else {}
        if node is None or limits.keys().isdisjoint(wanted.values()):
            return True
        attached: dict[str, str] = {}
        for other in nodes.here(row):
            attached |= self._volumes_of(other)
        for volume in self._volumes.attached_to(node.metadata.name):
            if volume.spec.csi is not None:
                attached[_name(volume)] = volume.spec.csi.driver
        counts = Counter((attached | wanted).values())
        added = {driver for name, driver in wanted.items() if name not in attached}
        return all(counts[driver] <= limits[driver] for driver in added if driver in limits)

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) exceed max volume count"]


def _name(volume: core_v1.PersistentVolume) -> str:
    assert volume.spec.csi is not None
    return f"{volume.spec.csi.driver}/{volume.spec.csi.volumeHandle}"


def _limits(csi_node: storage_v1.CSINode) -> dict[str, int]:
    return {
        driver.name: driver.allocatable.count
        for driver in csi_node.spec.drivers
        if driver.allocatable is not None and driver.allocatable.count is not None
    }
