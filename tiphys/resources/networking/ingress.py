"""Ingress."""

from tiphys.api import networking_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class IngressStrategy(SpecStrategy[networking_v1.Ingress]):
    """What the main endpoint allows."""


class IngressStatusStrategy(StatusStrategy[networking_v1.Ingress]):
    """What /status allows."""


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    cls=networking_v1.Ingress,
    strategy=IngressStrategy(),
    short_names=("ing",),
    subresources=(subresources.status(IngressStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
