"""Node."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource, Subresource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class NodeStrategy(SpecStrategy[core_v1.Node]):
    """What the main endpoint allows."""


class NodeStatusStrategy(StatusStrategy[core_v1.Node]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    cls=core_v1.Node,
    strategy=NodeStrategy(),
    namespaced=False,
    short_names=("no",),
    subresources=(
        Subresource("proxy", subresources.PROXY_VERBS, "", "v1", "NodeProxyOptions"),
        subresources.status(NodeStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
