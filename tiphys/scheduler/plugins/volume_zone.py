"""VolumeZone: a volume that says in its labels where it is can be used on nodes of that place.

Source: Kubernetes docs, "Well-Known Labels", "topology.kubernetes.io/zone".
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tiphys.api import core_v1
from tiphys.scheduler.events import NodeChanged, VolumesChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.volume_binding import NoVolumes, Volumes, claims_of
from tiphys.scheduler.pods import PodInfo

#: Labels of places, each with what it has been called since.
PLACES: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
}
#: Between the zones of a volume that is in several.
SEPARATOR: Final = "__"


class VolumeZone(Plugin):
    name = "VolumeZone"
    filters = True
    wakes = (VolumesChanged, NodeChanged)

    def __init__(self, volumes: Volumes | None = None) -> None:
        self._volumes: Volumes = volumes or NoVolumes()

    def applies(self, info: PodInfo) -> bool:
        return any(True for _ in self._places(info))

    def class_part(self, info: PodInfo) -> Any:
        return list(self._places(info)) if info.pod.spec.volumes else None

    def _places(self, info: PodInfo) -> Iterator[tuple[str, list[str]]]:
        """Labels that a node must have one of these values of, if it says at all where it is."""
        for name, ephemeral in claims_of(info):
            claim = None if ephemeral else self._volumes.find_claim(info.namespace, name)
            volume = self._volumes.find_volume(claim.spec.volumeName or "") if claim is not None else None
            for label in PLACES if volume is not None else ():
                if volume is not None and label in volume.metadata.labels:
                    yield label, volume.metadata.labels[label].split(SEPARATOR)

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        places = list(self._places(info))
        found = (nodes.nodes[row] for row in rows.tolist())
        return np.fromiter((node is not None and _within(node, places) for node in found), bool, len(rows))

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) had no available volume zone"]


def _within(node: core_v1.Node, places: list[tuple[str, list[str]]]) -> bool:
    labels = node.metadata.labels
    if not any(label in labels for label in PLACES):
        return True
    return all(labels.get(label, labels.get(PLACES[label])) in values for label, values in places)
