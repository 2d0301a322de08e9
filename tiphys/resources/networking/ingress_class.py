"""IngressClass."""

from tiphys.api import networking_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class IngressClassStrategy(SpecStrategy[networking_v1.IngressClass]):
    """What the main endpoint allows."""


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    cls=networking_v1.IngressClass,
    strategy=IngressClassStrategy(),
    namespaced=False,
    columns=columns.DEFAULT_COLUMNS,
)
