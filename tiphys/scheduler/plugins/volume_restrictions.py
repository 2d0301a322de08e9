"""VolumeRestrictions: volumes that only one Pod may use, on a node or anywhere.

Source: Kubernetes docs, "Persistent Volumes", "Access Modes"; KEP-2485 ReadWriteOncePod; the disks'
own rules by kube-scheduler's behaviour.
"""

from typing import Any

import numpy as np

from tiphys.api import core_v1
from tiphys.scheduler.events import PodGone, VolumesChanged
from tiphys.scheduler.nodes import Bools, NodeTable
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.volume_binding import NoVolumes, Volumes, claims_of
from tiphys.scheduler.pods import PodInfo

ONCE = "ReadWriteOncePod"
#: Disks that are mounted once, or by many who only read.
_DISKS = ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd")


class VolumeRestrictions(Plugin):
    """A disk that is written to is mounted by one Pod of a node."""

    name = "VolumeRestrictions"
    reads = "usage"
    filters = True
    unresolvable = False
    wakes = (PodGone,)

    def applies(self, info: PodInfo) -> bool:
        return bool(_disks(info))

    def class_part(self, info: PodInfo) -> Any:
        return _disks(info) or None

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        return np.array([not self._taken(info, nodes, row) for row in rows.tolist()], bool)

    def _taken(self, info: PodInfo, nodes: NodeTable, row: int) -> bool:
        ours = _disks(info)
        return nodes.nodes[row] is not None and any(
            _conflict(one, other) for there in nodes.here(row) for other in _disks(there) for one in ours
        )

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node(s) had no available disk"]


class OncePerClaim(Plugin):
    """A claim that one Pod may use at a time, wherever that Pod is."""

    name = "VolumeRestrictions"
    reads = "placement"
    filters = True
    unresolvable = False
    wakes = (PodGone, VolumesChanged)

    def __init__(self, volumes: Volumes | None = None) -> None:
        self._volumes: Volumes = volumes or NoVolumes()

    def applies(self, info: PodInfo) -> bool:
        return bool(self._exclusive(info))

    def class_part(self, info: PodInfo) -> Any:
        return self._exclusive(info) or None

    def _exclusive(self, info: PodInfo) -> list[str]:
        found = []
        for name, ephemeral in claims_of(info) if info.pod.spec.volumes else ():
            claim = None if ephemeral else self._volumes.find_claim(info.namespace, name)
            if claim is not None and ONCE in (claim.spec.accessModes or ()):
                found.append(f"{info.namespace}/{name}")
        return found

    def is_idle(self, info: PodInfo, nodes: NodeTable) -> bool:
        return not any(nodes.claims.get(key) for key in self._exclusive(info))

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        return np.full(len(rows), self.is_idle(info, nodes))

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return ["node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"]


def _disks(info: PodInfo) -> list[tuple[str, tuple[str, ...], tuple[str, ...], bool]]:
    """Kind, what names it exactly, monitors of which one must be shared, and whether it is only read."""
    return [made for volume in info.pod.spec.volumes or () if (made := _disk(volume)) is not None]


def _disk(volume: core_v1.Volume) -> tuple[str, tuple[str, ...], tuple[str, ...], bool] | None:
    kind = next((kind for kind in _DISKS if getattr(volume, kind) is not None), "")
    match kind:
        case "gcePersistentDisk":
            gce = volume.gcePersistentDisk
            assert gce is not None
            return kind, (gce.pdName,), (), bool(gce.readOnly)
        case "awsElasticBlockStore":
            aws = volume.awsElasticBlockStore
            assert aws is not None
            # Never by two, even if both only read.
            return kind, (aws.volumeID,), (), False
        case "iscsi":
            iscsi = volume.iscsi
            assert iscsi is not None
            return kind, (iscsi.iqn,), (), bool(iscsi.readOnly)
        case "rbd":
            rbd = volume.rbd
            assert rbd is not None
            return kind, (rbd.pool or "", rbd.image), tuple(rbd.monitors or ()), bool(rbd.readOnly)
    return None


def _conflict(
    one: tuple[str, tuple[str, ...], tuple[str, ...], bool], other: tuple[str, tuple[str, ...], tuple[str, ...], bool]
) -> bool:
    kind, names, monitors, reads = one
    other_kind, other_names, other_monitors, other_reads = other
    if (kind, names) != (other_kind, other_names) or (reads and other_reads):
        return False
    return kind != "rbd" or not set(monitors).isdisjoint(other_monitors)
