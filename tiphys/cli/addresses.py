"""Addresses that follow from a cluster's ranges, and those of this machine."""

import socket
from ipaddress import IPv4Network

from tiphys.cli.cluster import ClusterConfig

#: Nodes get /24 ranges in order, so the first node's bridge has the first address of the Pod range.
DNS_SERVICE_INDEX = 10


def bridge_address(config: ClusterConfig) -> str:
    """Where Pods reach their node: its bridge, which also answers DNS."""
    return str(IPv4Network(config.pod_range)[1])


def dns_service_address(config: ClusterConfig) -> str:
    """The kube-dns Service's cluster IP: the tenth of the range, as kubeadm has it."""
    return str(IPv4Network(config.service_range)[DNS_SERVICE_INDEX])


def host_address(config: ClusterConfig) -> str:
    """This machine's address towards others; its bridge's where it has no route to anybody."""
    return _routed_address() or bridge_address(config)


def simulated_node_address() -> str:
    """Where simulated nodes are reached, all of them: this machine."""
    return _routed_address() or "127.0.0.1"


def _routed_address() -> str:
    """The address that this machine would use towards others; empty if it has no route to anybody.

    Connecting a datagram socket sends nothing: it only asks the kernel which
    address it would use. The destination is a documentation address (RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
        return address
