"""PodTemplate."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class PodTemplateStrategy(Strategy[core_v1.PodTemplate]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    cls=core_v1.PodTemplate,
    strategy=PodTemplateStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
