"""What ``up`` chooses for a new cluster: a port, address ranges, a node name."""

import errno
import socket
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Network

from tiphys.cli.cluster import Cluster, ClusterConfig, all_clusters, default_node_name
from tiphys.cli.errors import UserError

KUBELET_PORT = 10250
KUBELET_PORTS_MAX = 100
SCHEDULER_PORT = 10259
#: Room for the /24 of 32,768 nodes, next to the Services' usual range; no packet is ever sent there.
SIMULATED_POD_RANGE = "10.128.0.0/9"
SIMULATED_SERVICE_RANGE = "10.96.0.0/16"
#: A real cluster's Pods have a /16, each node a /24 of it.
MIXED_NODES_MAX = 250


def new_config(cluster: Cluster, port: int) -> ClusterConfig:
    """A configuration that collides with nothing on this machine. Raises UserError if there is none."""
    # Stopped clusters count as well: they have no route and no port now, but will want theirs back.
    others = list(_others(cluster))
    # Late, because it speaks netlink, which only Linux has.
    from tiphys.network import ranges  # noqa: PLC0415

    real = [other for other in others if not other.simulate]
    taken = [IPv4Network(text) for other in real for text in (other.pod_range, other.service_range)]
    try:
        chosen = ranges.choose([*ranges.used_networks(), *taken])
    except (OSError, LookupError) as error:
        raise UserError(f"no address ranges for Pods and Services can be chosen: {error}") from error
    return ClusterConfig(
        name=cluster.name,
        id=cluster.id,
        port=port,
        kubelet_port=_free_port(KUBELET_PORT, _ports(others)),
        pod_range=str(chosen.pods),
        service_range=str(chosen.services),
        node_name=default_node_name(),
    )


def new_simulated_config(cluster: Cluster, port: int) -> ClusterConfig:
    """A configuration without a real node: only its ports must be free."""
    return ClusterConfig(
        name=cluster.name,
        id=cluster.id,
        port=port,
        kubelet_port=0,
        pod_range=SIMULATED_POD_RANGE,
        service_range=SIMULATED_SERVICE_RANGE,
        node_name=default_node_name(),
        simulate=True,
    )


def nodes_port(cluster: Cluster, config: ClusterConfig) -> int:
    """A free port for the simulated nodes."""
    return _free_port(KUBELET_PORT, _ports([*_others(cluster), config]))


def _ports(configs: Iterable[ClusterConfig]) -> set[int]:
    return {port for config in configs for port in (config.kubelet_port, config.nodes_port)}


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
