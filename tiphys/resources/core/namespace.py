"""Namespace."""

from tiphys.api import core_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource, Subresource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class NamespaceStrategy(SpecStrategy[core_v1.Namespace]):
    """What the main endpoint allows."""


class NamespaceStatusStrategy(StatusStrategy[core_v1.Namespace]):
    """What /status allows."""


class FinalizeStrategy(StatusStrategy[core_v1.Namespace]):
    """Thin."""


ROW = Resource(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    cls=core_v1.Namespace,
    strategy=NamespaceStrategy(),
    namespaced=False,
    short_names=("ns",),
    subresources=(
        subresources.status(NamespaceStatusStrategy()),
        Subresource("finalize", ("update",), strategy=FinalizeStrategy()),
    ),
    columns=columns.DEFAULT_COLUMNS,
)
