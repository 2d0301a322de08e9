"""UDP connection tracking entries that lead nowhere any more. Pure.

Rules are asked only for a flow's first packet, and a UDP client that goes on
sending from one port keeps its flow alive. When its endpoint goes away, or when
the Service had none as the flow began, the entry must be removed by hand.
"""

from collections.abc import Iterable

from tiphys.proxy.desired import Plan
from tiphys.wire.conntrack import Flow

_UDP = 17


def concerned(old: Plan | None, new: Plan | None) -> bool:
    """Whether a change of plan can leave stale entries."""
    before = old.udp_endpoints if old else frozenset()
    after = new.udp_endpoints if new else frozenset()
    return bool(before - after) or bool(after and not before)


def stale(flows: Iterable[Flow], changes: Iterable[tuple[Plan | None, Plan | None]]) -> list[Flow]:
    """The flows to an address or node port of these Services that none of their endpoints answers."""
    addresses: dict[tuple[str, int], frozenset[tuple[str, int]]] = {}
    node_ports: dict[int, frozenset[tuple[str, int]]] = {}
    for old, new in changes:
        answering = new.udp_endpoints if new else frozenset()
        for plan in (old, new):
            if plan is not None:
                addresses.update(dict.fromkeys(plan.udp_addresses, answering))
                node_ports.update(dict.fromkeys(plan.udp_node_ports, answering))
    found = []
    for flow in flows:
        wanted = addresses.get(flow.destination)
        if wanted is None:
            wanted = node_ports.get(flow.destination[1])
        if flow.protocol == _UDP and wanted is not None and flow.answered_by not in wanted:
            found.append(flow)
    return found
