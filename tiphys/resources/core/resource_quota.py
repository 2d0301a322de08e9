"""ResourceQuota."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class ResourceQuotaStrategy(SpecStrategy[core_v1.ResourceQuota]):
    """What the main endpoint allows."""


class ResourceQuotaStatusStrategy(StatusStrategy[core_v1.ResourceQuota]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    cls=core_v1.ResourceQuota,
    strategy=ResourceQuotaStrategy(),
    short_names=("quota",),
    subresources=(subresources.status(ResourceQuotaStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
