"""Which endpoints of a service port get connections. Pure.

Sources: Kubernetes docs, "Virtual IPs and Service Proxies", traffic policies
and traffic distribution; KEP-1669 Proxy Terminating Endpoints; KEP-2433
Topology Aware Routing; KEP-3015 PreferSameZone and PreferSameNode.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tiphys.proxy.services import Endpoint


class Choice(NamedTuple):
    """``cluster``: for traffic that may go anywhere; ``local``: only this node's. ``any``: whether one is usable."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    any: bool


def choose(endpoints: Sequence[Endpoint], node_name: str = "", zone: str = "") -> Choice:
    """Ready endpoints, or, where there is none, those that still serve while they terminate."""
    usable = _usable(endpoints)
    near = _near([each for each in endpoints if each.ready], node_name, zone)
    cluster = near or usable
    local = _usable([each for each in endpoints if each.local])
    return Choice(cluster, local, bool(usable or local))


def _usable(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    endpoints = tuple(endpoints)
    ready = tuple(each for each in endpoints if each.ready)
    return ready or tuple(each for each in endpoints if each.serving and each.terminating)


def _near(ready: Sequence[Endpoint], node_name: str, zone: str) -> tuple[Endpoint, ...]:
    """Those that hints assign to this node, or else to its zone; empty if any endpoint lacks such hints."""
    if ready and all(each.nodes for each in ready):
        same_node = tuple(each for each in ready if node_name in each.nodes)
        if same_node:
            return same_node
    if ready and zone and all(each.zones for each in ready):
        return tuple(each for each in ready if zone in each.zones)
    return ()
