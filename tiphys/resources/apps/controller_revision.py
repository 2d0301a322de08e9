"""ControllerRevision."""

from tiphys.api import apps_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class ControllerRevisionStrategy(Strategy[apps_v1.ControllerRevision]):
    """What the main endpoint allows."""


ROW = Resource(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    cls=apps_v1.ControllerRevision,
    strategy=ControllerRevisionStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
