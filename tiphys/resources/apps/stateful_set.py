"""StatefulSet."""

from tiphys.api import apps_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class StatefulSetStrategy(SpecStrategy[apps_v1.StatefulSet]):
    """What the main endpoint allows."""


class StatefulSetStatusStrategy(StatusStrategy[apps_v1.StatefulSet]):
    """What /status allows."""


ROW = Resource(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    cls=apps_v1.StatefulSet,
    strategy=StatefulSetStrategy(),
    short_names=("sts",),
    categories=("all",),
    subresources=(
        subresources.SCALE,
        subresources.status(StatefulSetStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
