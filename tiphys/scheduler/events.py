"""What happens in a cluster that may let a refused Pod pass: told to the plugins that refused it.

Source: KEP-4247 Per-plugin callback functions for efficient requeueing.
"""

from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.scheduler.pods import PodInfo


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node is new or different."""

    node: core_v1.Node


@dataclass(frozen=True, slots=True)
class PodPlaced:
    """A Pod has got a node, or its labels changed there."""

    info: PodInfo


@dataclass(frozen=True, slots=True)
class PodGone:
    """A Pod that had a node is gone or has finished."""

    info: PodInfo


@dataclass(frozen=True, slots=True)
class VolumesChanged:
    """A claim, volume or storage class is new or different."""


@dataclass(frozen=True, slots=True)
class NamespaceChanged:
    """A namespace's labels changed."""


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """A claim of devices, a slice or a class is new or different, or devices are free again."""


ClusterEvent = NodeChanged | PodPlaced | PodGone | VolumesChanged | NamespaceChanged | DevicesChanged
