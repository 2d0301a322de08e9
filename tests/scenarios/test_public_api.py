"""Our controllers and scheduler against an API server that is another process, by its public API alone.

They speak HTTPS, each with its own certificate and no more rights than RBAC gives it. Another implementation's
server is not to be had here: it is our own, apart. What controllers may do is in tests/controllers/test_rights.py.
"""

import asyncio
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.testing.manifests import deployment, job
from tiphys.api import apps_v1, batch_v1, core_v1, meta_v1
from tiphys.apiserver import pki
from tiphys.base.clock import RealClock
from tiphys.client import Client, HttpTransport, Informers
from tiphys.controllers.config import Config as ControllersConfig
from tiphys.controllers.loop import Controllers
from tiphys.machinery import codec, errors
from tiphys.scheduler.config import Config as SchedulerConfig
from tiphys.scheduler.loop import Scheduler

PATIENCE_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server(files: pki.Pki, port: int) -> AsyncIterator[str]:
    """``tiphys apiserver`` in a process of its own; its address."""
    flags = {
        "secure-port": port,
        "bind-address": "127.0.0.1",
        "tls-cert-file": files.apiserver.cert,
        "tls-private-key-file": files.apiserver.key,
        "client-ca-file": files.ca,
        "service-account-signing-key-file": files.service_account_key,
    }
    start = "import sys; from tiphys.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "apiserver", *(f"--{name}={value}" for name, value in flags.items())]
    process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def eventually(what):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if found := await what():
                    return found
            except (ConnectionError, errors.StatusError):
                pass
            await asyncio.sleep(0.05)


async def test_controllers_and_scheduler_need_nothing_but_the_api(tmp_path: Path) -> None:
    files = pki.ensure(tmp_path, pki.PkiOptions("n1"), RealClock())
    async with server(files, free_port()) as url:

        def client(pair: pki.Pair) -> Client:
            return Client(HttpTransport(url, ca=files.ca, cert=pair.cert, key=pair.key))

        async with client(files.admin) as admin, client(files.controllers) as manager, client(files.scheduler) as own:
            await eventually(lambda: admin.request("GET", "/readyz"))
            node = core_v1.Node(
                metadata=meta_v1.ObjectMeta(name="n1"),
                status=core_v1.NodeStatus(
                    capacity={"cpu": "4", "memory": "8Gi", "pods": "110"},
                    allocatable={"cpu": "4", "memory": "8Gi", "pods": "110"},
                    conditions=[core_v1.NodeCondition(type="Ready", status="True")],
                ),
            )
            config = ControllersConfig(root_ca=files.ca.read_text())
            async with (
                Controllers(config, manager, RealClock()),
                Informers(own) as informers,
                Scheduler(SchedulerConfig(), own, informers, RealClock(), random.Random(1)),
            ):
                await admin.of(core_v1.Node).create(node)
                # A patch: the controllers write to the Node at the same time.
                status = {"status": codec.to_builtins(node.status)}
                await admin.of(core_v1.Node).patch("n1", "", status, "merge", subresource="status")
                await eventually(lambda: admin.of(core_v1.ServiceAccount).get("default", "default"))
                await admin.of(apps_v1.Deployment).create(codec.convert(apps_v1.Deployment, deployment(3)), "default")
                await admin.of(batch_v1.Job).create(codec.convert(batch_v1.Job, job(parallelism=2)), "default")

                async def bound() -> bool:
                    pods = (await admin.of(core_v1.Pod).list("default")).items
                    return len(pods) == 5 and all(pod.spec.nodeName == "n1" for pod in pods)

                await eventually(bound)
            # Least privilege: the scheduler may not do the controllers' work, nor they his.
            assert await _is_forbidden(own.of(core_v1.Secret).list(""))
            assert await _is_forbidden(own.of(apps_v1.Deployment).delete("web", "default"))


async def _is_forbidden(call) -> bool:
    try:
        await call
    except errors.Forbidden:
        return True
    return False
