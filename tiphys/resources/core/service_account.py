"""ServiceAccount."""

from tiphys.api import core_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource, Strategy, Subresource


class ServiceAccountStrategy(Strategy[core_v1.ServiceAccount]):
    """What the main endpoint allows."""


ROW = Resource(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    cls=core_v1.ServiceAccount,
    strategy=ServiceAccountStrategy(),
    short_names=("sa",),
    subresources=(Subresource("token", ("create",), "authentication.k8s.io", "v1", "TokenRequest"),),
    columns=columns.DEFAULT_COLUMNS,
)
