"""PriorityClass."""

from tiphys.api import scheduling_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class PriorityClassStrategy(Strategy[scheduling_v1.PriorityClass]):
    """What the main endpoint allows."""


ROW = Resource(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    cls=scheduling_v1.PriorityClass,
    strategy=PriorityClassStrategy(),
    namespaced=False,
    short_names=("pc",),
    columns=columns.DEFAULT_COLUMNS,
)
