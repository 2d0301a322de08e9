"""The real API server with all of its security, over TLS on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tiphys.apiserver import ApiServer, ApiServerConfig, pki, security
from tiphys.store.memory import MemoryStore


class Secure:
    """A running server, a session of its administrator, and what tests need most."""

    def __init__(self, server: ApiServer, files: pki.Pki, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.files = files
        self.session = session

    def url(self, path: str) -> Any:
        return yarl_raw(f"https://127.0.0.1:{self.server.port}{path}")

    def tls(self, pair: pki.Pair | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.files.ca))
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection as the administrator."""
        return await asyncio.open_connection("127.0.0.1", self.server.port, ssl=self.tls(self.files.admin))

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        pair: pki.Pair | None = None,
        anonymous: bool = False,
    ) -> tuple[int, Any]:
        """Status and decoded body; as the administrator unless said otherwise."""
        tls = self.tls(None if anonymous else pair) if pair is not None or anonymous else None
        extra: dict[str, Any] = {"ssl": tls} if tls is not None else {}
        async with self.session.request(
            method, self.url(path), json=body, params=query, headers=headers, **extra
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        status, found = await self.call(method, path, body, **more)
        assert 200 <= status < 300, found
        return found

    async def add_account(self, name: str = "default", namespace: str = "default") -> Any:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        return await self.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)

    async def add_node(self, name: str, port: int = 10250) -> Any:
        node = await self.ok("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        node["status"] = {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        return await self.ok("PUT", f"/api/v1/nodes/{name}/status", node)

    async def add_pod(self, name: str, node: str = "", containers: Sequence[str] = ("c",), **spec: Any) -> Any:
        status, _ = await self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        if status == 404:
            await self.add_account()
        listed = [{"name": container, "image": "i"} for container in containers]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": listed, **spec} | ({"nodeName": node} if node else {}),
        }
        return await self.ok("POST", "/api/v1/namespaces/default/pods", pod)

    async def pod_status(self, name: str, status: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"/api/v1/namespaces/default/pods/{name}/status"
        return await self.ok("PATCH", path, {"status": status}, headers=headers)


def yarl_raw(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)


@asynccontextmanager
async def secured(directory: Path, **config: Any) -> AsyncIterator[Secure]:
    files = pki.ensure(directory / "pki", pki.PkiOptions("n1"))
    settings = ApiServerConfig(
        port=0,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(files.ca),
        **config,
    )
    made = security.seams(security.config_of(files))
    async with ApiServer(settings, MemoryStore(), seams=made) as server:
        await server.serve()
        tls = ssl.create_default_context(cafile=str(files.ca))
        tls.load_cert_chain(files.admin.cert, files.admin.key)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            yield Secure(server, files, session)
