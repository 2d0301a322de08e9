"""What this kernel offers to the network, found by asking it and changing nothing."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tiphys.network.sockets import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkError, NetlinkSocket
from tiphys.wire import nftables as nft
from tiphys.wire import rtnetlink

_TABLE = "tiphys-probe"


class Feature(NamedTuple):
    """One ability. ``required`` ones are needed to run Pods; ``detail`` says what is lost or why it is missing."""

    name: str
    present: bool
    required: bool
    detail: str = ""


def probe() -> list[Feature]:
    """All features, in a fixed order."""
    return [*_links(), *_nftables(), *_files()]


def _links() -> Iterator[Feature]:
    for kind, required, lost in (
        ("veth", True, "Pods cannot be linked to the node"),
        ("bridge", True, "Pods cannot be linked to each other"),
        ("vxlan", False, "nodes must reach each other's Pods by routes"),
    ):
        try:
            with NetlinkSocket(NETLINK_ROUTE) as kernel:
                # A port of a link that cannot exist: EINVAL for a kind that the kernel knows.
                kernel.run(f"ask for {kind}", [rtnetlink.ask_for_kind(kind, "tpprobe")])
        except OSError as error:
            present = error.errno == errno.EINVAL
            yield Feature(kind, present, required, "" if present else f"{lost} ({error.strerror})")


def _nftables() -> Iterator[Feature]:
    lost = "Services are served by a slower proxy in user space"
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as kernel:
            kernel.get("list tables", nft.ask(nft.NFT_MSG_GETTABLE, nft.NFPROTO_IPV4))
    except OSError as error:
        yield Feature("nftables", False, False, f"{lost} ({error.strerror})")
        return
    yield Feature("nftables", True, False)
    for name, rule in _expressions():
        problem = _try_rule(rule)
        yield Feature(f"nftables {name}", not problem, False, f"{lost} ({problem})" if problem else "")


def _expressions() -> Iterator[tuple[str, nft.Rule]]:
    yield "nat", (nft.immediate(bytes(4)), nft.immediate(bytes(2), nft.REG + 1), _dnat())
    yield "numgen", (nft.random_number(2),)
    yield "fib", nft.destination_is_local()
    yield "ct", (nft.connection(nft.NFT_CT_STATE),)


def _dnat() -> bytes:
    return nft.dnat(nft.NFPROTO_IPV4, nft.REG, nft.REG + 1)


def _try_rule(rule: nft.Rule) -> str:
    """Why the kernel refuses the rule; empty if it does not. The transaction always fails at its end."""
    batch = nft.Batch(nft.NFPROTO_IPV4, _TABLE)
    batch.add_table()
    batch.add_base_chain(nft.BaseChain("probe", "nat", nft.NF_INET_PRE_ROUTING, nft.NF_IP_PRI_NAT_DST))
    batch.add_rule("probe", rule)
    batch.delete_chain("does-not-exist")
    datagram, last = batch.finish()
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as kernel:
            kernel.transact("try a rule", datagram, last)
    except NetlinkError as error:
        return "" if error.index == last else str(error.strerror)
    raise AssertionError("a transaction that must fail went through")


def _files() -> Iterator[Feature]:
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    try:
        forward.write_text(forward.read_text())
        yield Feature("forwarding", True, True)
    except OSError as error:
        yield Feature("forwarding", False, True, f"packets between Pods cannot be forwarded ({error.strerror})")
    connections = Path("/proc/sys/net/netfilter/nf_conntrack_max").exists()
    yield Feature("conntrack", connections, False, "" if connections else "Services and masquerading need it")
