"""CSIDriver."""

from tiphys.api import storage_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class CSIDriverStrategy(SpecStrategy[storage_v1.CSIDriver]):
    """What the main endpoint allows."""


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    cls=storage_v1.CSIDriver,
    strategy=CSIDriverStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
