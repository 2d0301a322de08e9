"""EndpointSlice."""

from tiphys.api import discovery_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy


class EndpointSliceStrategy(Strategy[discovery_v1.EndpointSlice]):
    """What the main endpoint allows."""


ROW = Resource(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    cls=discovery_v1.EndpointSlice,
    strategy=EndpointSliceStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
