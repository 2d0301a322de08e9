"""How fast nodes of a zone may be emptied, given how many of them fail. Pure.

One failing node is the node's fault; when most of a zone fails, the network is
suspected, and when everything fails, ourselves: then nobody is driven off.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.controllers.nodelifecycle.desired import ready_status

UNHEALTHY_SHARE = 0.55
LARGE_ZONE = 50
SECONDARY_RATE = 0.01
_REGION = "topology.kubernetes.io/region"
_ZONE = "topology.kubernetes.io/zone"


def zone_of(node: core_v1.Node) -> str:
    labels = node.metadata.labels
    return f"{labels.get(_REGION, '')}/{labels.get(_ZONE, '')}"


@dataclass(slots=True)
class Tally:
    ready: int = 0
    unready: int = 0

    @property
    def is_lost(self) -> bool:
        return self.ready == 0 and self.unready > 0

    @property
    def is_failing(self) -> bool:
        return self.unready > 2 and self.unready / (self.ready + self.unready) >= UNHEALTHY_SHARE


def tallies(nodes: Iterable[core_v1.Node]) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for node in nodes:
        tally = found.setdefault(zone_of(node), Tally())
        if ready_status(node) == "True":
            tally.ready += 1
        else:
            tally.unready += 1
    return found


def all_lost(found: Mapping[str, Tally]) -> bool:
    return all(tally.is_lost for tally in found.values())


def rate(tally: Tally, normal: float) -> float:
    """Nodes a second that may begin to be emptied; 0 for none."""
    if tally.is_lost or not tally.is_failing:
        return normal
    return SECONDARY_RATE if tally.ready + tally.unready > LARGE_ZONE else 0.0
