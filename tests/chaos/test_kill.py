"""Every process of a real cluster is killed, at moments that a seed decides, while Deployments roll.

Afterwards the cluster heals by itself, or by ``up`` where the supervisor was
killed: no Pod is stuck, no address is given twice, nothing is left of Pods that
are gone, and containers that nothing was asked of still are the same processes.
"""

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from tests.chaos.cluster import Place, place
from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.client import Client
from tiphys.machinery import errors

pytestmark = [pytest.mark.root, pytest.mark.acceptance, pytest.mark.xdist_group("acceptance")]
COMPONENTS = ("apiserver", "controllers", "node", "runtime", "spawner", "supervisor")
ROUND_SECONDS = 1.5
HEAL_SECONDS = 40.0
SEED = int(os.environ.get("CHAOS_SEED", "7"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deployment(name: str, replicas: int) -> apps_v1.Deployment:
    container = core_v1.Container(
        name="c", image="tiphys.dev/host", imagePullPolicy="Never", command=["sleep", "100000"]
    )
    return apps_v1.Deployment(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=apps_v1.DeploymentSpec(
            replicas=replicas,
            selector=meta_v1.LabelSelector(matchLabels={"app": name}),
            template=core_v1.PodTemplateSpec(
                metadata=meta_v1.ObjectMeta(labels={"app": name}),
                spec=core_v1.PodSpec(containers=[container], terminationGracePeriodSeconds=1),
            ),
        ),
    )


async def try_until(action: Callable[[], object], seconds: float, what: str) -> object:
    """Repeat what may fail while processes are dead, until it gives something true."""
    last: object = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    last = await action()  # type: ignore[misc]
                    if last:
                        return last
                except (errors.StatusError, ConnectionError, TimeoutError) as error:
                    last = error
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"{what}: {last}")


class Load:
    """Something is always being rolled, scaled and deleted; refusals while the server is dead are part of it."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self._deployments = client.of(apps_v1.Deployment)
        self._pods = client.of(core_v1.Pod)
        self._chance = chance

    async def run(self) -> None:
        turn = 0
        while True:
            turn += 1
            with suppress(errors.StatusError, ConnectionError, TimeoutError):
                await self._one(turn)
            await asyncio.sleep(0.1)

    async def _one(self, turn: int) -> None:
        match self._chance.randrange(4):
            case 0:
                await self._patch(f'{{"spec":{{"replicas":{self._chance.randrange(1, 7)}}}}}')
            case 1:
                await self._patch(f'{{"spec":{{"template":{{"metadata":{{"annotations":{{"turn":"{turn}"}}}}}}}}}}')
            case _:
                page = await self._pods.list("default", labels="app=rolling")
                if page.items:
                    await self._pods.delete(self._chance.choice(page.items).metadata.name, "default")

    async def _patch(self, body: str) -> None:
        await self._deployments.patch("rolling", "default", body.encode(), "merge")


@pytest.fixture
async def running() -> AsyncIterator[Place]:
    with place("chaos-kill", free_port()) as made:
        made.up()
        yield made


def containers(pods: list[core_v1.Pod]) -> dict[str, str | None]:
    """The container of each Pod."""
    return {
        pod.metadata.name: (pod.status.containerStatuses or [core_v1.ContainerStatus()])[0].containerID for pod in pods
    }


async def healed(client: Client) -> list[core_v1.Pod] | None:
    """All Pods, once each Deployment has what it asks for and nothing else exists."""
    wanted = 0
    for found in (await client.of(apps_v1.Deployment).list("default")).items:
        status = found.status
        replicas = found.spec.replicas or 0
        if found.metadata.generation != status.observedGeneration:
            return None
        if not status.availableReplicas == status.updatedReplicas == status.replicas == replicas:
            return None
        wanted += replicas
    pods = (await client.of(core_v1.Pod).list("default")).items
    ready = [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletionTimestamp]
    return pods if len(pods) == len(ready) == wanted else None


async def test_it_heals_whatever_is_killed(running: Place) -> None:
    chance = random.Random(SEED)
    async with running.client() as client:
        for name, replicas in (("steady", 3), ("rolling", 4)):
            await client.of(apps_v1.Deployment).create(deployment(name, replicas))
        await try_until(lambda: healed(client), HEAL_SECONDS, "never ready")
        steady = containers((await client.of(core_v1.Pod).list("default", labels="app=steady")).items)
        load = asyncio.create_task(Load(client, chance).run())
        for sure in COMPONENTS:
            await asyncio.sleep(chance.uniform(0.0, ROUND_SECONDS))
            victims = chance.sample(COMPONENTS, chance.choice((1, 1, 2, 3)))
            for victim in (sure, *victims):
                running.kill(victim)
                if victim == "supervisor":
                    await asyncio.to_thread(running.up)
        load.cancel()
        await asyncio.to_thread(running.up)
        pods = await try_until(lambda: healed(client), HEAL_SECONDS, f"did not heal, seed {SEED}")
        assert isinstance(pods, list)
        after = containers([p for p in pods if p.metadata.labels["app"] == "steady"])
        assert after == steady, f"seed {SEED}"
        assert [p.status.containerStatuses[0].restartCount for p in pods if p.metadata.name in steady] == [0, 0, 0]
        addresses = [pod.status.podIP for pod in pods]
        assert len(set(addresses)) == len(addresses) and all(addresses)

        async def nothing_left() -> bool:
            return set(running.pods_in_kernel().values()) == {len(pods)}

        try:
            await try_until(nothing_left, 10, "left behind")
        except BaseException:
            print(len(pods), running.pods_in_kernel())
            raise
    began = time.monotonic()
    running.down()
    assert time.monotonic() - began < 20
    assert {kind: found for kind, found in running.traces().items() if found} == {}
