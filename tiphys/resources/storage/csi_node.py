"""CSINode."""

from tiphys.api import storage_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class CSINodeStrategy(SpecStrategy[storage_v1.CSINode]):
    """What the main endpoint allows."""


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    cls=storage_v1.CSINode,
    strategy=CSINodeStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
