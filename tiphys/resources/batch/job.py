"""Job."""

from tiphys.api import batch_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class JobStrategy(SpecStrategy[batch_v1.Job]):
    """What the main endpoint allows."""


class JobStatusStrategy(StatusStrategy[batch_v1.Job]):
    """What /status allows."""


ROW = Resource(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    cls=batch_v1.Job,
    strategy=JobStrategy(),
    categories=("all",),
    subresources=(subresources.status(JobStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
