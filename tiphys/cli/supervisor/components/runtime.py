"""The container runtime with the built-in network."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.network.bridge import Bridge
from tiphys.network.config import NetworkConfig
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.linux import syscalls
from tiphys.runtime.loop import Runtime


def network(cluster: Cluster, config: ClusterConfig) -> Bridge:
    """The bridge of this node's sandboxes."""
    settings = NetworkConfig(
        tag=config.id,
        state_dir=cluster.data / "network",
        cluster_cidr=config.pod_range,
        service_cidr=config.service_range,
    )
    return Bridge(settings, setns=syscalls.setns)


def runtime(cluster: Cluster, config: ClusterConfig) -> Runtime:
    settings = RuntimeConfig(
        tag=config.id,
        data=cluster.data / "runtime",
        run=cluster.run,
        spawner_socket=cluster.spawner_socket,
        socket=cluster.runtime_socket,
    )
    return Runtime(settings, network(cluster, config), RealClock(), Ids())


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Runtime]:
    async with runtime(cluster, config) as made:
        yield made
