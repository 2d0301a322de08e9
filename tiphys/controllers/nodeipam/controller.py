"""Wires node IPAM."""

from tiphys.api import core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.nodeipam.ranges import Exhausted, Ranges
from tiphys.machinery import errors

#: Until a node that got no range asks again.
EXHAUSTED_SECONDS = 60.0


class NodeIpamController(Controller):
    name = "node-ipam"
    component = "cidrAllocator"
    concurrency = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        config = context.config
        self._ranges = [
            Ranges(cidr, config.node_cidr_mask_size_ipv6 if ":" in cidr else config.node_cidr_mask_size_ipv4)
            for cidr in config.cluster_cidrs
        ]
        self._client = self.client.of(core_v1.Node)
        self.nodes = self.informers.of(core_v1.Node)
        #: What was given to a node and is not in the cache yet.
        self._given: dict[str, list[str]] = {}
        self.nodes.add_handler(self._added, self._updated, self._deleted)

    def _added(self, node: core_v1.Node) -> None:
        for text in _cidrs(node):
            for ranges in self._ranges:
                ranges.occupy(text)
        self._settle(node)

    def _updated(self, _: core_v1.Node, new: core_v1.Node) -> None:
        self._added(new)

    def _settle(self, node: core_v1.Node) -> None:
        if _cidrs(node):
            self._given.pop(node.metadata.name, None)
        elif self._ranges and node.metadata.deletionTimestamp is None:
            self.enqueue(node)

    def _deleted(self, node: core_v1.Node) -> None:
        for text in [*_cidrs(node), *self._given.pop(node.metadata.name, ())]:
            self._release(text)

    def _release(self, text: str) -> None:
        for ranges in self._ranges:
            ranges.release(text)

    async def reconcile(self, key: str) -> Result:
        node = self.nodes.get(key)
        if node is None or _cidrs(node) or key in self._given:
            return Done()
        chosen: list[str] = []
        try:
            # One by one: what was taken before one is exhausted must be given back.
            chosen.extend(ranges.take() for ranges in self._ranges)
        except Exhausted:
            for text in chosen:
                self._release(text)
            self.recorder.event(node, "Normal", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            # No fault of ours, and a range gets free only when a node goes.
            return RequeueAfter(EXHAUSTED_SECONDS)
        await self._write(node, chosen)
        return Done()

    async def _write(self, node: core_v1.Node, chosen: list[str]) -> None:
        name = node.metadata.name
        self._given[name] = chosen
        body = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": chosen[0], "podCIDRs": chosen}}
        try:
            await self._client.patch(name, "", body, "strategic")
        except errors.StatusError as error:
            # Refused, hence not written: the node is gone, or has ranges that the cache does not show yet.
            self._given.pop(name, None)
            for text in chosen:
                self._release(text)
            if not isinstance(error, errors.NotFound):
                raise
        # A lost connection leaves it open whether they are written, so they stay taken: a later
        # event shows which, and the next start counts anew.


def _cidrs(node: core_v1.Node) -> list[str]:
    return node.spec.podCIDRs or ([node.spec.podCIDR] if node.spec.podCIDR else [])
