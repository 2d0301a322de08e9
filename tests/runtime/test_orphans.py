"""Containers whose spawner was killed run on; their end is noticed, and they can be stopped."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import tiphys.runtime.spawner
from tests.runtime.conftest import Spawned, eventually, running
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.records import Records, Sandbox

pytestmark = pytest.mark.root


@asynccontextmanager
async def another_spawner(folder: Path) -> AsyncIterator[Spawned]:
    socket = folder / "spawner.sock"
    socket.unlink()
    place = Path(tiphys.runtime.spawner.__file__).parent
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", str(place), str(socket))
    try:
        await eventually(socket.exists)
        yield Spawned(process, socket)
    finally:
        process.kill()
        await process.wait()


async def test_containers_outlive_the_spawner(folder: Path, spawner: Spawned, busybox: Path) -> None:
    async with running(folder, spawner) as first:
        await first.load(busybox)
        sandbox = await first.sandbox()
        containers = [await first.started(sandbox, "sleep 1000", name=name) for name in ("dies", "stopped", "gone")]
        dies, stopped, _ = containers
        pids = [await first.pid(container) for container in containers]
        os.kill(spawner.pid, signal.SIGKILL)
        await spawner.process.wait()
    os.kill(pids[2], signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{pids[2]}").exists())
    async with another_spawner(folder) as next_spawner, running(folder, next_spawner) as second:
        states = [(await second.status(container)).state for container in containers]
        assert states == [api_pb2.CONTAINER_RUNNING, api_pb2.CONTAINER_RUNNING, api_pb2.CONTAINER_EXITED]
        assert (await second.execute(dies, "echo", "hi")) == (0, "hi\n", "")
        os.kill(pids[0], signal.SIGKILL)
        ended = await second.ended(dies)
        assert (ended.exit_code, ended.reason) == (255, "Unknown")
        await second.stop(stopped)
        assert (await second.status(stopped)).exit_code == 255
        await eventually(lambda: not Path(f"/proc/{pids[1]}").exists())
        await second.runtime.purge()


def test_what_a_kill_left_half_made_is_removed(tmp_path: Path) -> None:
    whole = Records(tmp_path, Sandbox)
    whole.save(Sandbox(id="whole", created_at=1, config=b""))
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_bytes(b'{"id": "to')
    assert [record.id for record in Records(tmp_path, Sandbox)] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


async def test_a_sandbox_half_made_lets_go_of_its_namespaces(folder: Path, spawner: Spawned, busybox: Path) -> None:
    async with running(folder, spawner) as first:
        sandbox = await first.sandbox()
        made = first.runtime.sandboxes.get(sandbox)
        made.ready = False
        first.runtime.sandboxes.records.save(made)
    async with running(folder, spawner) as second:
        assert not any(Path(path).exists() for path in made.pins.values())
        answer = await second.cri.PodSandboxStatus(api_pb2.PodSandboxStatusRequest(pod_sandbox_id=sandbox))
        assert answer.status.state == api_pb2.SANDBOX_NOTREADY
        await second.runtime.purge()
