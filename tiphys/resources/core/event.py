"""Event."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class EventStrategy(Strategy[core_v1.Event]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    cls=core_v1.Event,
    strategy=EventStrategy(),
    short_names=("ev",),
    columns=columns.DEFAULT_COLUMNS,
)
