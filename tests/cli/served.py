"""A real API server with controllers on the loopback, in a thread, and the commands that are pointed at it."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiphys.apiserver import ApiServer, ApiServerConfig, kubeconfig, pki
from tiphys.apiserver.security import config_of, seams
from tiphys.base.clock import RealClock
from tiphys.client import Client, InProcessTransport
from tiphys.controllers.config import Config
from tiphys.controllers.loop import Controllers
from tiphys.store.memory import MemoryStore

READY_SECONDS = 20.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A server that runs, and the kubeconfig that leads to it."""

    kubeconfig: Path

    def tiphys(self, verb: str, *arguments: str, stdin: str = "") -> Done:
        command = [sys.executable, "-c", "from tiphys.cli import main; main()", verb]
        return run([*command, "--kubeconfig", str(self.kubeconfig), *arguments], stdin)

    def kubectl(self, *arguments: str, stdin: str = "") -> Done:
        cache = f"--cache-dir={self.kubeconfig.parent / 'cache'}"
        return run(["kubectl", "--kubeconfig", str(self.kubeconfig), cache, *arguments], stdin)


def run(command: list[str], stdin: str = "") -> Done:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def serving(folder: Path) -> Iterator[Place]:
    """The server lives while the context does."""
    files = pki.ensure(folder / "pki", pki.PkiOptions("n1"))
    settings = ApiServerConfig(
        port=0,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(files.ca),
    )
    place = Place(folder / "kubeconfig")
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        store = MemoryStore()
        async with ApiServer(settings, store, seams=seams(config_of(files))) as api:
            await api.serve()
            access = kubeconfig.Access.of(f"https://127.0.0.1:{api.port}", files.ca, files.admin)
            kubeconfig.merge(place.kubeconfig, "test", access)
            client = Client(InProcessTransport(api.handle))
            async with Controllers(Config(root_ca=files.ca.read_text()), client, RealClock()):
                ready.set()
                await stop.wait()
        await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="apiserver")
    thread.start()
    try:
        assert ready.wait(READY_SECONDS), "the server did not start"
        yield place
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
