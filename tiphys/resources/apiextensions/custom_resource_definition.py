"""CustomResourceDefinition: a list that is always empty, because custom resources are not served yet.

kubectl reads the list to tell a kind that nobody knows from one that was just
defined; without it, it cannot say ``no matches for kind``.
"""

from datetime import datetime

from tiphys.api import apiextensions_v1
from tiphys.resources.columns import NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy


def _created(each: apiextensions_v1.CustomResourceDefinition, now: datetime) -> str:
    return each.metadata.creationTimestamp or "<unknown>"


ROW = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    cls=apiextensions_v1.CustomResourceDefinition,
    strategy=FunctionStrategy(),
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    verbs=("get", "list", "watch"),
    columns=(NAME, Column("Created At", _created, type="date", description="When it was defined.")),
)
