"""Endpoints."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class EndpointsStrategy(Strategy[core_v1.Endpoints]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    cls=core_v1.Endpoints,
    strategy=EndpointsStrategy(),
    short_names=("ep",),
    columns=columns.DEFAULT_COLUMNS,
)
