"""A kubelet that goes and comes back: containers live on, and it takes them over."""

import asyncio
import dataclasses
import random
from pathlib import Path

from tests.kubelet.conftest import config_for, container, eventually, is_ready, pod
from tests.kubelet.fake_cri import FakeRuntime
from tests.kubelet.test_worker import Driver, kinds, reported
from tiphys.api import core_v1
from tiphys.apiserver import ApiServer
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet import protocol as w
from tiphys.kubelet.loop import Kubelet
from tiphys.kubelet.worker import PodWorker
from tiphys.runtime.cri import api_pb2


async def until_ready(client: Client, restarts: int = 0) -> core_v1.Pod:
    async with asyncio.timeout(5):
        while True:
            found = await client.of(core_v1.Pod).get("web", "default")
            statuses = found.status.containerStatuses or []
            if is_ready(found) and statuses[0].restartCount == restarts:
                return found
            await asyncio.sleep(0.005)


async def test_containers_survive_and_are_adopted(api: ApiServer, runtime: FakeRuntime, tmp_path: Path) -> None:
    client = Client(InProcessTransport(api.handle))
    config = config_for(tmp_path)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)):
        await client.of(core_v1.Pod).create(pod(containers=[container()]))
        await until_ready(client)
        runtime.exit("main", 1)
        before = await until_ready(client, restarts=1)
    calls = len(runtime.calls)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as second:
        await second.pods.wait_synced()
        await asyncio.sleep(0.2)
        after = await until_ready(client, restarts=1)
        assert after.status == before.status
        assert runtime.calls[calls:] == []
        runtime.exit("main", 1)
        await until_ready(client, restarts=2)


async def test_what_ended_meanwhile_is_noticed(api: ApiServer, runtime: FakeRuntime, tmp_path: Path) -> None:
    client = Client(InProcessTransport(api.handle))
    config = config_for(tmp_path)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)):
        await client.of(core_v1.Pod).create(pod(containers=[container()]))
        await until_ready(client)
    runtime.exit("main", 7)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)):
        found = await until_ready(client, restarts=1)
        last = (found.status.containerStatuses or [])[0].lastState.terminated
        assert last and last.exitCode == 7


async def test_pods_that_the_api_does_not_know_are_removed(
    api: ApiServer, runtime: FakeRuntime, tmp_path: Path
) -> None:
    client = Client(InProcessTransport(api.handle))
    config = config_for(tmp_path)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)):
        await client.of(core_v1.Pod).create(pod(containers=[container()]))
        found = await until_ready(client)
    await client.of(core_v1.Pod).delete("web", "default", grace_period_seconds=0)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)):
        directory = config.root_dir / "pods" / found.metadata.uid
        await eventually(lambda: not runtime.sandboxes and not directory.exists())


async def test_a_sandbox_that_shows_up_later_is_removed_too(
    api: ApiServer, runtime: FakeRuntime, tmp_path: Path
) -> None:
    client = Client(InProcessTransport(api.handle))
    config = config_for(tmp_path, relist_seconds=0.02, housekeeping_seconds=0.01)
    async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as kubelet:
        await client.of(core_v1.Pod).create(pod(containers=[container()]))
        await until_ready(client)
        await kubelet.pods.wait_synced()
        (kept,) = runtime.sandboxes.values()
        metadata = api_pb2.PodSandboxMetadata(name="late", namespace="default", uid="late-uid")
        late = dataclasses.replace(kept, id="late", config=api_pb2.PodSandboxConfig(metadata=metadata))
        runtime.sandboxes["late"] = late
        await eventually(lambda: list(runtime.sandboxes) == [kept.id])
        await until_ready(client)


def test_a_container_that_is_gone_with_its_node_counts_as_restarted() -> None:
    d = Driver()
    d.begin()
    before = reported(d.run("main"))
    again = Driver()
    again.pod.status = before
    again.worker = PodWorker(again.pod)
    found = again.post(w.Admitted())
    [told] = reported(found).containerStatuses or []
    assert told.restartCount == 1
    assert told.lastState.terminated is not None and told.lastState.terminated.reason == "ContainerStatusUnknown"
    again.post(w.VolumesReady())
    assert kinds(again.sandbox("s2", attempt=1)) == ["start main 1"]
