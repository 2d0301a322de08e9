"""Names that the local-path provisioner, its StorageClass and the kubelets share."""

from typing import Final

from tiphys.api import core_v1
from tiphys.resources.storage import volumes

PROVISIONER: Final = "tiphys.dev/local-path"
CLASS: Final = "local-path"
#: Held on a volume until the directory has been removed from its node.
FINALIZER: Final = "tiphys.dev/local-path"
#: On the Pod that removes a directory: whose it was.
VOLUME: Final = "tiphys.dev/local-path-volume"
#: Names the node that holds the directory.
NODE: Final = "tiphys.dev/local-path-node"


def is_on(volume: core_v1.PersistentVolume, node_name: str) -> bool:
    """Whether it is one of ours, with its directory on that node."""
    annotations = volume.metadata.annotations
    return annotations.get(volumes.PROVISIONED_BY) == PROVISIONER and annotations.get(NODE) == node_name
