"""Service."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource, Subresource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class ServiceStrategy(SpecStrategy[core_v1.Service]):
    """What the main endpoint allows."""


class ServiceStatusStrategy(StatusStrategy[core_v1.Service]):
    """What /status allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    cls=core_v1.Service,
    strategy=ServiceStrategy(),
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource("proxy", subresources.PROXY_VERBS, "", "v1", "ServiceProxyOptions"),
        subresources.status(ServiceStatusStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
