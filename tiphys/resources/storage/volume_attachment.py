"""VolumeAttachment."""

from tiphys.api import storage_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class VolumeAttachmentStrategy(SpecStrategy[storage_v1.VolumeAttachment]):
    """What the main endpoint allows."""


class VolumeAttachmentStatusStrategy(StatusStrategy[storage_v1.VolumeAttachment]):
    """What /status allows."""


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    cls=storage_v1.VolumeAttachment,
    strategy=VolumeAttachmentStrategy(),
    namespaced=False,
    subresources=(subresources.status(VolumeAttachmentStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
