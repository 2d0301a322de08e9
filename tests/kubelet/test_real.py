"""The kubelet with real containers: our runtime, our spawner, the host's own /usr as image."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import tiphys.runtime.spawner
from tests.kubelet.conftest import Node, config_for, eventually, is_ready
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import ApiServer
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet.loop import Kubelet
from tiphys.kubelet.volumes.manager import mounts_below
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.interfaces import NoNetwork
from tiphys.runtime.loop import Runtime

pytestmark = pytest.mark.root
IMAGE = "tiphys.dev/host"


def shell(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        **fields,
    }


@asynccontextmanager
async def spawner(socket: Path) -> AsyncIterator[None]:
    folder = Path(tiphys.runtime.spawner.__file__).parent
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", str(folder), str(socket))
    try:
        await eventually(socket.exists)
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def real(api: ApiServer) -> AsyncIterator[Node]:
    directory = Path(tempfile.mkdtemp(prefix="tk-"))
    settings = RuntimeConfig(
        tag=directory.name,
        data=directory / "runtime",
        run=directory / "run",
        spawner_socket=directory / "spawner.sock",
        socket=directory / "cri.sock",
    )
    try:
        async with spawner(settings.spawner_socket), Runtime(settings, NoNetwork(), RealClock(), Ids()) as runtime:
            client = Client(InProcessTransport(api.handle))
            config = config_for(directory, privileged=True)
            async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as kubelet:
                yield Node(kubelet, client, runtime, config)  # type: ignore[arg-type]  # no test asks it for anything
            await runtime.purge()
    finally:
        remove_leftovers(directory)


def remove_leftovers(directory: Path) -> None:
    """What a failed test leaves: mounts and cgroups as well."""
    for mounted in mounts_below(directory):
        subprocess.run(["umount", "-l", mounted], check=False)
    shutil.rmtree(directory, ignore_errors=True)
    for group in Path("/sys/fs/cgroup").glob(f"*/tiphys-{directory.name}"):
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


async def logs(node: Node, name: str, query: str = "") -> str:
    url = f"http://127.0.0.1:{node.kubelet.server.port}/containerLogs/default/{name}/main{query}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def run(node: Node, script: str, name: str = "web", **fields: Any) -> core_v1.Pod:
    """A Pod that runs ``script`` once; in its end state."""
    spec = {key: fields.pop(key) for key in ("volumes", "securityContext", "hostAliases") if key in fields}
    await node.create(name, restartPolicy="Never", containers=[shell(script, **fields)], **spec)
    return await node.until(lambda p: p.status.phase in ("Succeeded", "Failed"), name, seconds=10)


async def test_it_runs_logs_and_ends(real: Node) -> None:
    found = await run(real, "echo out; echo err >&2; echo why > /dev/termination-log; exit 3")
    [status] = found.status.containerStatuses or []
    ended = status.state.terminated
    assert ended and (ended.exitCode, ended.reason, ended.message) == (3, "Error", "why\n")
    assert sorted((await logs(real, "web")).splitlines()) == ["err", "out"]


async def test_environment_volumes_and_hosts(real: Node) -> None:
    meta = meta_v1.ObjectMeta(name="cm", namespace="default")
    await real.client.of(core_v1.ConfigMap).create(core_v1.ConfigMap(metadata=meta, data={"k": "v"}))
    volumes = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    found = await run(
        real,
        'cat /cm/k; echo; echo "$POD"; echo x > /tmp2/f; cat /tmp2/f; stat -f -c %T /tmp2; tail -1 /etc/hosts',
        env=[{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumes=volumes,
        volumeMounts=[{"name": "cm", "mountPath": "/cm"}, {"name": "tmp", "mountPath": "/tmp2"}],
        hostAliases=[{"ip": "1.2.3.4", "hostnames": ["alias"]}],
    )
    assert found.status.phase == "Succeeded", await logs(real, "web")
    assert (await logs(real, "web")).splitlines()[:5] == ["v", "web", "x", "tmpfs", "1.2.3.4\talias"]
    await real.client.of(core_v1.Pod).delete("web", "default")
    await real.until_gone()
    # The API lets an ended Pod go at once; its directory follows.
    await eventually(lambda: not (real.config.root_dir / "pods" / found.metadata.uid).exists())


async def test_graceful_stop_runs_its_hook_and_follows_the_log(real: Node) -> None:
    script = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    await real.create(containers=[shell(script, lifecycle=hook)], terminationGracePeriodSeconds=10)
    await real.until(is_ready)
    follow = asyncio.ensure_future(logs(real, "web", "?follow=true"))
    await asyncio.sleep(0.2)
    await real.client.of(core_v1.Pod).delete("web", "default")
    await real.until_gone(seconds=8)
    assert await follow == "up\nhook\nstopped\n"


async def test_probes_and_restart(real: Node) -> None:
    check = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "trap 'exit 1' TERM; touch /tmp/alive; sleep 1.5; rm /tmp/alive; sleep 60 & wait"
    await real.create(containers=[shell(script, livenessProbe=check, readinessProbe=check)])
    await real.until(is_ready)
    await real.until(lambda p: p.status.containerStatuses[0].restartCount == 1, seconds=10)
    await real.until_event("Killing", "Container main failed liveness probe, will be restarted")


async def test_command_that_does_not_exist(real: Node) -> None:
    await real.create(containers=[{"name": "main", "image": IMAGE, "command": ["/no/such"]}])
    found = await real.until(
        lambda p: p.status.containerStatuses and p.status.containerStatuses[0].lastState.terminated
    )
    last = _last(found)
    assert last and (last.exitCode, last.reason) == (128, "StartError")


def _last(found: core_v1.Pod) -> core_v1.ContainerStateTerminated | None:
    statuses = found.status.containerStatuses
    return statuses[0].lastState.terminated if statuses else None
