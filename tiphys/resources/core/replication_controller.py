"""ReplicationController."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class ReplicationControllerStrategy(SpecStrategy[core_v1.ReplicationController]):
    """What the main endpoint allows."""


class ReplicationControllerStatusStrategy(StatusStrategy[core_v1.ReplicationController]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    cls=core_v1.ReplicationController,
    strategy=ReplicationControllerStrategy(),
    short_names=("rc",),
    categories=("all",),
    subresources=(
        subresources.SCALE,
        subresources.status(ReplicationControllerStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
