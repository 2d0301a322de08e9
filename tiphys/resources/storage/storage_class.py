"""StorageClass."""

from tiphys.api import storage_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class StorageClassStrategy(Strategy[storage_v1.StorageClass]):
    """What the main endpoint allows."""


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    cls=storage_v1.StorageClass,
    strategy=StorageClassStrategy(),
    namespaced=False,
    short_names=("sc",),
    columns=columns.DEFAULT_COLUMNS,
)
