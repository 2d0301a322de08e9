"""CronJob."""

from tiphys.api import batch_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class CronJobStrategy(SpecStrategy[batch_v1.CronJob]):
    """What the main endpoint allows."""


class CronJobStatusStrategy(StatusStrategy[batch_v1.CronJob]):
    """What /status allows."""


ROW = Resource(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    cls=batch_v1.CronJob,
    strategy=CronJobStrategy(),
    short_names=("cj",),
    categories=("all",),
    subresources=(subresources.status(CronJobStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
