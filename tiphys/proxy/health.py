"""Health checks of load balancers: whether this node has endpoints of a Service whose traffic stays local.

Source: Kubernetes docs, "Create an External Load Balancer", health check node port.
"""

import asyncio
import json
import logging
from collections.abc import Mapping

from aiohttp import web

logger = logging.getLogger(__name__)


class HealthChecks:
    """One small HTTP server per health check node port."""

    def __init__(self, host: str = "0.0.0.0") -> None:
        self._host = host
        self._wanted: Mapping[str, tuple[int, int]] = {}
        self._servers: dict[tuple[str, int], asyncio.Server] = {}

    async def update(self, wanted: Mapping[str, tuple[int, int]]) -> None:
        """Serve ``namespace/name`` → (port, local endpoints), and nothing else."""
        self._wanted = wanted
        listening = {(key, port) for key, (port, _) in wanted.items()}
        for identity in [each for each in self._servers if each not in listening]:
            await _close(self._servers.pop(identity))
        for key, port in sorted(listening):
            if (key, port) not in self._servers:
                await self._listen(key, port)

    async def _listen(self, key: str, port: int) -> None:
        async def answer(request: web.BaseRequest) -> web.Response:
            return self._answer(key)

        loop = asyncio.get_running_loop()
        try:
            self._servers[key, port] = await loop.create_server(web.Server(answer), self._host, port)
        except OSError as error:
            logger.error("health check of service %s cannot listen on port %d: %s", key, port, error.strerror)

    def _answer(self, key: str) -> web.Response:
        namespace, _, name = key.partition("/")
        count = self._wanted.get(key, (0, 0))[1]
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": True,
        }
        headers = {"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": str(count)}
        return web.Response(
            status=200 if count else 503,
            text=json.dumps(body),
            content_type="application/json",
            headers=headers,
        )

    async def close(self) -> None:
        await self.update({})


async def _close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
