"""The process of simulated nodes, whole but for its server, in virtual time beside a real control plane."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from tiphys.simulation.loop import Config, Simulation
from tiphys.simulation.node import NodeOptions
from tiphys.testing import Cluster


class Simulated:
    """A cluster whose only nodes are those of the component."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.component: Simulation

    def start(self, nodes: int = 2, **options: object) -> None:
        ready: asyncio.Future[Simulation] = self.cluster.run(_future())

        async def hold() -> None:
            settings = Config(nodes, NodeOptions(**options))  # type: ignore[arg-type]
            clock = self.cluster._machine.clock
            async with Simulation(settings, self.cluster.client(), clock, random.Random(1)) as component:
                ready.set_result(component)
                await component.wait()

        self.task = self.cluster.spawn(hold())
        self.component = self.cluster.run(_result(ready))
        self.cluster.advance(1)

    def stop(self) -> None:
        self.task.cancel()
        self.cluster.run(_ended(self.task))


async def _future() -> "asyncio.Future[Simulation]":
    return asyncio.get_running_loop().create_future()


async def _result(future: "asyncio.Future[Simulation]") -> Simulation:
    return await future


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    with Cluster(nodes=0) as cluster:
        yield Simulated(cluster)
