"""RuntimeClass."""

from tiphys.api import node_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class RuntimeClassStrategy(Strategy[node_v1.RuntimeClass]):
    """What the main endpoint allows."""


ROW = Resource(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    cls=node_v1.RuntimeClass,
    strategy=RuntimeClassStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
