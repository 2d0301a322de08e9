"""What ``up`` chooses for a new cluster: a port, address ranges, a node name."""

import errno
import socket
from collections.abc import Container, Iterator
from contextlib import suppress
from ipaddress import IPv4Network

from tiphys.cli.cluster import Cluster, ClusterConfig, all_clusters, default_node_name
from tiphys.cli.errors import UserError
from tiphys.network import ranges

KUBELET_PORT = 10250
KUBELET_PORTS_MAX = 100
SCHEDULER_PORT = 10259


def new_config(cluster: Cluster, port: int) -> ClusterConfig:
    """A configuration that collides with nothing on this machine. Raises UserError if there is none."""
    # Stopped clusters count as well: they have no route and no port now, but will want theirs back.
    others = list(_others(cluster))
    taken = [IPv4Network(text) for other in others for text in (other.pod_range, other.service_range)]
    try:
        chosen = ranges.choose([*ranges.used_networks(), *taken])
    except (OSError, LookupError) as error:
        raise UserError(f"no address ranges for Pods and Services can be chosen: {error}") from error
    return ClusterConfig(
        name=cluster.name,
        id=cluster.id,
        port=port,
        kubelet_port=_free_port(KUBELET_PORT, {other.kubelet_port for other in others}),
        pod_range=str(chosen.pods),
        service_range=str(chosen.services),
        node_name=default_node_name(),
    )


def scheduler_port(cluster: Cluster) -> int:
    """A free port for what the scheduler tells of itself."""
    return _free_port(SCHEDULER_PORT, {other.scheduler_port for other in _others(cluster)}, "the scheduler")


def _others(cluster: Cluster) -> Iterator[ClusterConfig]:
    """Configurations of the machine's other clusters; one that cannot be read is nobody's rival."""
    for other in all_clusters():
        if other.data != cluster.data:
            with suppress(UserError):
                yield other.load()


def _free_port(first: int, taken: Container[int], purpose: str = "the kubelet") -> int:
    for port in range(first, first + KUBELET_PORTS_MAX):
        if port not in taken and port_problem(port) is None:
            return port
    raise UserError(f"none of the ports {first} to {first + KUBELET_PORTS_MAX - 1} is free for {purpose}")


def port_problem(port: int) -> str | None:
    """Why ``port`` cannot be listened on, or None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            return "in use by another process" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return None
