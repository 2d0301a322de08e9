"""The real API server over the store in memory, and a few words to talk to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.seams import Seams
from tiphys.store.interface import Store
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, Response, Sink

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Lines:
    """A sink that keeps what it is given, as decoded lines. ``stuck`` ones are never read."""

    def __init__(self, stuck: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.writes = 0
        self._rest = b""
        self._arrived = asyncio.Event()
        self._stuck = stuck
        self._buffered = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._buffered += len(data) if self._stuck else 0
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        self._arrived.set()

    def buffered_bytes(self) -> int:
        return self._buffered

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def wait(self, count: int) -> list[dict[str, Any]]:
        """The first ``count`` events, once they are there."""
        async with asyncio.timeout(5):
            while len(self.events) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.events[:count]


class Api:
    """Requests in, decoded answers out."""

    def __init__(self, server: ApiServer, store: Any) -> None:
        self.server = server
        self.store = store

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str | Sequence[str]] | None = None,
        **headers: str,
    ) -> Response:
        fields = {"content-type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        asked = {name: [v] if isinstance(v, str) else list(v) for name, v in (query or {}).items()}
        return await self.server.handle(Request(method, path, asked, fields, data))

    async def call(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and decoded body."""
        response = await self.raw(method, path, body, query, **headers)
        return response.status, json.loads(response.body)

    async def ok(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None, **headers: str
    ) -> Any:
        """The decoded body of an answer that must be a success."""
        status, found = await self.call(method, path, body, query, **headers)
        assert 200 <= status < 300, found
        return found

    @asynccontextmanager
    async def watching(self, path: str, sink: Lines | None = None, **query: str) -> AsyncIterator[Lines]:
        """A watch; its lines arrive in what is given."""
        response = await self.raw("GET", path, query={"watch": "true", **query})
        assert response.stream is not None, response.body
        lines = sink or Lines()
        checked: Sink = lines
        task = asyncio.create_task(response.stream(checked))
        try:
            yield lines
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def serving(seams: Seams | None = None, store: Store | None = None, **config: Any) -> AsyncIterator[Api]:
    """A running server."""
    used = store or MemoryStore()
    async with ApiServer(ApiServerConfig(**config), used, seams=seams) as server:
        yield Api(server, used)


def config_map(name: str, data: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data or {}}


def pod(name: str, node: str = "", **metadata: Any) -> dict[str, Any]:
    """A Pod, bound if ``node`` is given."""
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
