"""DaemonSet."""

from tiphys.api import apps_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class DaemonSetStrategy(SpecStrategy[apps_v1.DaemonSet]):
    """What the main endpoint allows."""


class DaemonSetStatusStrategy(StatusStrategy[apps_v1.DaemonSet]):
    """What /status allows."""


ROW = Resource(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    cls=apps_v1.DaemonSet,
    strategy=DaemonSetStrategy(),
    short_names=("ds",),
    categories=("all",),
    subresources=(subresources.status(DaemonSetStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
