"""The proxy's edge to the kernel. Blocking; one thread at a time."""

import errno
from collections.abc import Callable, Iterable

from tiphys.network.sockets import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    NFNLGRP_NFTABLES,
    NetlinkError,
    NetlinkSocket,
    NotificationSocket,
)
from tiphys.proxy.ruleset import Existing
from tiphys.wire import conntrack, rtnetlink
from tiphys.wire import nftables as nft
from tiphys.wire.conntrack import Flow

_UDP = 17
_ENOENT = 2
#: What a kernel without nftables says, at one step or another.
UNSUPPORTED = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP)
_LOOPBACK_INDEX = 1


class Kernel:
    """One netlink socket and one table."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        self._socket.close()

    def existing(self) -> Existing:
        """What an earlier process has left."""
        return Existing(
            frozenset(self._names(nft.NFT_MSG_GETCHAIN)),
            frozenset(self._names(nft.NFT_MSG_GETSET)),
        )

    def _names(self, kind: int) -> Iterable[str]:
        request = nft.ask(kind, nft.NFPROTO_IPV4, self._table)
        try:
            bodies = self._socket.get(f"list table {self._table}", request)
        except NetlinkError as error:
            if error.errno == _ENOENT:
                return
            raise
        for body in bodies:
            table, name = nft.name_in(body, kind)
            if table == self._table and not name.startswith("__map"):
                yield name

    def commit(self, batch: nft.Batch) -> None:
        """All of the batch or, raising NetlinkError, none of it."""
        if len(batch):
            self._socket.transact(f"write table {self._table}", *batch.finish())

    def delete_flows(self, choose: Callable[[Iterable[Flow]], list[Flow]]) -> int:
        """Delete the UDP flows that ``choose`` returns; their number."""
        bodies = self._socket.get("list connections", conntrack.list_flows())
        flows = (flow for body in bodies if (flow := conntrack.flow(body, _UDP)) is not None)
        chosen = choose(flows)
        if chosen:
            # Some may have ended by themselves meanwhile.
            self._socket.run("delete connections", [conntrack.delete_flow(flow) for flow in chosen], (_ENOENT,))
        return len(chosen)


class Watch:
    """Notices when somebody else deletes the table, as ``nft flush ruleset`` does."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._socket = NotificationSocket(NETLINK_NETFILTER, NFNLGRP_NFTABLES)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def take(self) -> bool:
        """Whether the table may be gone since the last call."""
        found = self._socket.take()
        if found is None:
            return True
        return any(nft.is_deletion_of(each.type, each.body, nft.NFPROTO_IPV4, self._table) for each in found)


def make_local(cidr: str) -> None:
    """Deliver what is sent to these addresses to this host's own sockets."""
    with NetlinkSocket(NETLINK_ROUTE) as routes:
        routes.run(f"make {cidr} local", [rtnetlink.add_local_route(cidr, _LOOPBACK_INDEX)])
