"""LimitRange."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class LimitRangeStrategy(SpecStrategy[core_v1.LimitRange]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    cls=core_v1.LimitRange,
    strategy=LimitRangeStrategy(),
    short_names=("limits",),
    columns=columns.DEFAULT_COLUMNS,
)
