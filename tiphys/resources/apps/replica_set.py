"""ReplicaSet."""

from tiphys.api import apps_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class ReplicaSetStrategy(SpecStrategy[apps_v1.ReplicaSet]):
    """What the main endpoint allows."""


class ReplicaSetStatusStrategy(StatusStrategy[apps_v1.ReplicaSet]):
    """What /status allows."""


ROW = Resource(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    cls=apps_v1.ReplicaSet,
    strategy=ReplicaSetStrategy(),
    short_names=("rs",),
    categories=("all",),
    subresources=(
        subresources.SCALE,
        subresources.status(ReplicaSetStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
