"""NetworkPolicy."""

from tiphys.api import networking_v1
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy


class NetworkPolicyStrategy(SpecStrategy[networking_v1.NetworkPolicy]):
    """What the main endpoint allows."""


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    cls=networking_v1.NetworkPolicy,
    strategy=NetworkPolicyStrategy(),
    short_names=("netpol",),
    columns=columns.DEFAULT_COLUMNS,
)
