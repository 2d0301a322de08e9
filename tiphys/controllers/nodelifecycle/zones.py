"""How fast nodes of a zone may be emptied, given how many of them fail. Pure.

One failing node is the node's fault; when most of a zone fails, the network is
suspected, and when everything fails, ourselves: then nobody is driven off.
"""

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


class Tallies:
    """How many nodes of each zone are ready, counted as nodes come, change and go: a look at all costs too much."""

    def __init__(self) -> None:
        self._zones: dict[str, Tally] = {}
        self._nodes: dict[str, tuple[str, bool]] = {}

    def put(self, node: core_v1.Node) -> None:
        self.remove(node.metadata.name)
        zone, ready = zone_of(node), ready_status(node) == "True"
        self._nodes[node.metadata.name] = (zone, ready)
        self._count(zone, ready, 1)

    def remove(self, name: str) -> None:
        if (known := self._nodes.pop(name, None)) is not None:
            self._count(*known, -1)

    def of(self, node: core_v1.Node) -> Tally:
        """The tally of the node's zone."""
        return self._zones.get(zone_of(node)) or Tally()

    @property
    def all_lost(self) -> bool:
        return all(tally.is_lost for tally in self._zones.values())

    def _count(self, zone: str, ready: bool, number: int) -> None:
        tally = self._zones.setdefault(zone, Tally())
        if ready:
            tally.ready += number
        else:
            tally.unready += number
        if not (tally.ready or tally.unready):
            del self._zones[zone]


def rate(tally: Tally, normal: float) -> float:
    """Nodes a second that may begin to be emptied; 0 for none."""
    if tally.is_lost or not tally.is_failing:
        return normal
    return SECONDARY_RATE if tally.ready + tally.unready > LARGE_ZONE else 0.0
