"""ConfigMap."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class ConfigMapStrategy(Strategy[core_v1.ConfigMap]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    cls=core_v1.ConfigMap,
    strategy=ConfigMapStrategy(),
    short_names=("cm",),
    columns=columns.DEFAULT_COLUMNS,
)
