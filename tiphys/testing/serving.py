"""A simulated cluster over real HTTPS on loopback, for clients of any kind, in this process or another.

The loop then lives in a thread, and its time follows the machine's, so that who
waits for a Pod sees it start; ``advance`` still jumps. What comes when is no
longer ours alone: the history of a cluster that is served may differ from run to run.
"""

import asyncio
import tempfile
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tiphys.apiserver import ApiServerConfig, kubeconfig, pki
from tiphys.apiserver.lifecycle import Lifecycle
from tiphys.apiserver.server import Listener
from tiphys.base.clock import RealClock
from tiphys.testing.loop import VirtualLoop
from tiphys.testing.machine import Machine
from tiphys.wire.exchange import Request, Response, UserInfo

T = TypeVar("T")

ADMIN = UserInfo("kubernetes-admin", groups=("system:masters", "system:authenticated"))
HOST = "127.0.0.1"
LULL_SECONDS = 0.03


class Serving:
    """Made, then ``start``; ``close`` gives the loop back."""

    def __init__(self, loop: VirtualLoop, machine: Machine) -> None:
        self._loop = loop
        self._machine = machine
        self._directory = tempfile.TemporaryDirectory(prefix="tiphys-testing-")
        self._thread = threading.Thread(target=loop.run_forever, name="simulated cluster", daemon=True)
        self._listener: Listener | None = None
        #: Requests from outside so far.
        self._asked = 0
        self.url = ""
        self.kubeconfig = Path(self._directory.name) / "kubeconfig"

    def start(self) -> None:
        """Return once it listens and the kubeconfig is written."""
        directory = Path(self._directory.name)
        files = pki.ensure(directory / "pki", pki.PkiOptions("simulated"), RealClock())
        # Before anything runs in it: time would jump as soon as nobody looks.
        self._loop.paced = True
        self._thread.start()
        self.run(self._listen(files))
        kubeconfig.merge(self.kubeconfig, "simulated", kubeconfig.Access.of(self.url, files.ca, files.admin))

    async def _listen(self, files: pki.Pki) -> None:
        config = ApiServerConfig(
            host=HOST,
            port=0,
            certificate=str(files.apiserver.cert),
            private_key=str(files.apiserver.key),
            client_ca=str(files.ca),
        )
        self._listener = Listener(self._handle, config, self._machine.clock, Lifecycle())
        await self._listener.start()
        self.url = f"https://{HOST}:{self._listener.port}"

    async def _handle(self, request: Request) -> Response:
        """Who has a certificate of ours has the administrator's; others are authenticated as everywhere.

        Certificates are of the machine's time and the server lives in another, so its own check would refuse them.
        """
        self._asked += 1
        if request.peer_certificate is not None:
            request = replace(request, user=ADMIN)
        return await self._machine.door(request)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def lull(self) -> None:
        """Return once nobody outside has asked for anything for a moment: they think while no time passes here."""
        seen = -1
        while seen != self._asked:
            seen = self._asked
            await asyncio.sleep(LULL_SECONDS)

    def close(self) -> None:
        """End connections and the thread; idempotent."""
        self._loop.paced = False
        if self._listener is not None:
            self.run(self._listener.close())
            self._listener = None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._directory.cleanup()
