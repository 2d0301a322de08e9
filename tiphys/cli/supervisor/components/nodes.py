"""All simulated nodes: one process, one identity, one server."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tiphys.apiserver import pki
from tiphys.base.clock import RealClock
from tiphys.cli import addresses, identities
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.simulation.loop import Config, Simulation
from tiphys.simulation.names import LABEL
from tiphys.simulation.node import NodeOptions
from tiphys.simulation.serving import ServingConfig

IDENTITY = "simulation"
USER = "system:simulation"
#: As many as one kubelet may write, for all together.
EVENTS_PER_SECOND = 50.0
FEW_NODES = 100
#: A Pod that nobody has said anything of runs by then, and is written once.
PATIENCE_SECONDS = 1.0
#: Enough to keep the API server busy; each costs a handshake.
CONNECTIONS = 24


def _options(config: ClusterConfig) -> NodeOptions:
    return NodeOptions(
        # Beside a real node, Pods come to simulated ones only if they mean to.
        name_prefix="node-" if config.simulate else "simulated-",
        taints=() if config.simulate else (LABEL,),
        address=addresses.simulated_node_address(),
        port=config.nodes_port,
        events_per_second=EVENTS_PER_SECOND,
        # A kubelet renews every 10 s. Every 20 s is still twice within a lease, and half of what many idle nodes cost.
        renewal=0.25 if config.nodes <= FEW_NODES else 0.5,
        patience_seconds=0.0 if config.nodes <= FEW_NODES else PATIENCE_SECONDS,
    )


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Simulation]:
    files = pki.Pki(cluster.pki)
    # One for all nodes, which a kubelet's cannot be: it may change its own node and Pods only.
    pki.issue(cluster.pki, IDENTITY, USER, (pki.MASTERS,))

    def certificate(name: str) -> tuple[Path, Path]:
        pair = pki.issue(cluster.pki, f"simulated/{name}", name, server_names=(name,))
        return pair.cert, pair.key

    serving = ServingConfig("0.0.0.0", config.nodes_port, (files.ca, files.front_proxy_ca), certificate)
    settings = Config(config.nodes, _options(config), serving, files.ca.read_bytes())
    async with (
        identities.client(cluster, config, IDENTITY, "simulation", CONNECTIONS) as client,
        Simulation(settings, client, RealClock(), random.Random()) as simulation,
    ):
        yield simulation
