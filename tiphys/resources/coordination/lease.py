"""Lease."""

from tiphys.api import coordination_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class LeaseStrategy(SpecStrategy[coordination_v1.Lease]):
    """What the main endpoint allows."""


ROW = Resource(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    cls=coordination_v1.Lease,
    strategy=LeaseStrategy(),
    columns=columns.DEFAULT_COLUMNS,
)
