"""One HTTPS server is every simulated node's kubelet, and the resource metrics API.

Which node is meant shows in the name that the API server asks for in the TLS
handshake; a certificate for it is made when it is first asked for.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tiphys.machinery import codec, errors, times
from tiphys.machinery.goformat import quote
from tiphys.simulation import logs, setup
from tiphys.simulation.metrics import Metrics
from tiphys.simulation.nodes import Nodes
from tiphys.simulation.pod import SimulatedPod

#: Common name of the caller's certificate and of who signed it, by what it may ask for.
KUBELET_CLIENT: Final = ("kube-apiserver-kubelet-client", "kubernetes")
FRONT_PROXY: Final = ("front-proxy-client", "front-proxy-ca")
STREAMS: Final = frozenset({"exec", "attach", "portForward", "run"})
FOLLOW_SECONDS = 1.0
METRICS_SERVER: Final = f"{setup.SERVICE}.{setup.NAMESPACE}.svc"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """``certificate`` gives the files of a certificate and its key for a server's name."""

    address: str
    port: int
    client_cas: tuple[Path, ...]
    certificate: Callable[[str], tuple[Path, Path]]


class Fault(Exception):
    """Answered with ``status`` and this text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Serving:
    """Listens inside ``async with``."""

    def __init__(self, config: ServingConfig, nodes: Nodes) -> None:
        self._config = config
        self._nodes = nodes
        self._metrics = Metrics(nodes)
        self._contexts: dict[str, ssl.SSLContext] = {}
        # Cancelled when the client leaves: who follows a log that goes silent would be waited for for ever.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)

    async def __aenter__(self) -> "Serving":
        await self._runner.setup()
        context = self._context("localhost")
        context.sni_callback = self._named
        await web.TCPSite(self._runner, self._config.address, self._config.port, ssl_context=context).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _named(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        # Of nobody else: each name that is answered costs a certificate.
        if name and (name in self._nodes.by_name or name == METRICS_SERVER):
            connection.context = self._context(name)

    def _context(self, name: str) -> ssl.SSLContext:
        found = self._contexts.get(name)
        if found is None:
            found = self._contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            found.load_cert_chain(*self._config.certificate(name))
            found.verify_mode = ssl.CERT_OPTIONAL
            for ca in self._config.client_cas:
                found.load_verify_locations(ca)
        return found

    # Requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request, [part for part in request.path.split("/") if part])
        except Fault as fault:
            return web.Response(status=fault.status, text=str(fault), content_type="text/plain")
        except errors.StatusError as error:
            return web.Response(status=error.code, body=codec.encode(error.status()), content_type="application/json")

    async def _answer(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse:
        match path:
            case ["healthz" | "livez" | "readyz"]:
                return web.Response(text="ok")
            case ["apis", *rest]:
                _require(request, FRONT_PROXY)
                return web.Response(body=self._metrics.answer(rest, request.query), content_type="application/json")
        if path and path[0] == "openapi":
            raise Fault(404, "404 page not found\n")
        _require(request, KUBELET_CLIENT)
        match path:
            case ["containerLogs", namespace, name, container]:
                return await self._logs(request, self._pod(namespace, name), container)
            case [verb, *_] if verb in STREAMS:
                # Without ": ", which kubectl takes for a Status in YAML, and shows nothing.
                raise Fault(501, f"{verb} is not possible, because the container is simulated and nothing runs in it")
            case ["stats", "summary"]:
                return web.json_response(self._summary(request))
        raise Fault(404, "404 page not found\n")

    def _pod(self, namespace: str, name: str) -> SimulatedPod:
        for node in self._nodes.by_name.values():
            for pod in node.pods.values():
                if pod.pod.metadata.name == name and pod.pod.metadata.namespace == namespace:
                    return pod
        raise Fault(404, f"pod {quote(f'{name}_{namespace}')} not found\n")

    async def _logs(self, request: web.BaseRequest, pod: SimulatedPod, container: str) -> web.StreamResponse:
        facts = pod.worker.facts.of(container)
        where = f"container {quote(container)} in pod {quote(pod.pod.metadata.name)}"
        wanted = 1 if request.query.get("previous") == "true" else 0
        if len(facts) <= wanted:
            problem = f"previous terminated {where} not found" if wanted else f"{where} is waiting to start"
            raise Fault(400, problem if wanted else f"{problem}: ContainerCreating")
        fact = facts[wanted]
        plan = pod.plan_of(fact)
        if plan is None:
            raise Fault(404, f"{where} not found")
        options = _options(request.query, self._nodes.clock.now().timestamp())
        response = web.StreamResponse(headers={"Content-Type": TEXT})
        await response.prepare(request)
        told = 0.0
        async for until, over in self._moments(pod, fact.id, request.query.get("follow") == "true"):
            known = next((f for f in pod.worker.facts.containers if f.id == fact.id), fact)
            end = known.finished_at / 1e9 if known.finished_at else until
            found = list(logs.lines(pod.plan_of(fact) or plan, fact.started_at / 1e9, told, min(until, end)))
            first = logs.Options(timestamps=options.timestamps) if told else options
            await response.write(logs.rendered(found, first))
            told = until
            if over:
                break
        await response.write_eof()
        return response

    async def _moments(self, pod: SimulatedPod, container_id: str, follow: bool) -> AsyncIterator[tuple[float, bool]]:
        """Until when to tell, and whether that was all."""
        while True:
            running = any(fact.id == container_id for fact, _ in pod.running())
            yield self._nodes.clock.now().timestamp(), not (follow and running)
            await asyncio.sleep(FOLLOW_SECONDS)

    def _summary(self, request: web.BaseRequest) -> dict[str, Any]:
        """As metrics-server reads it of a node."""
        connection = request.transport.get_extra_info("ssl_object") if request.transport else None
        name = next((n for n, c in self._contexts.items() if connection and connection.context is c), "")
        node = self._nodes.by_name.get(name)
        if node is None:
            raise Fault(404, "404 page not found\n")
        now = times.format_time(self._nodes.clock.now())
        cpu, memory = node.usage()
        pods = []
        for pod in node.pods.values():
            meta = pod.pod.metadata
            containers = [
                {
                    "name": fact.name,
                    "cpu": {"time": now, "usageNanoCores": plan.cpu_milli * 10**6},
                    "memory": {"time": now, "workingSetBytes": plan.memory_bytes},
                }
                for fact, plan in pod.running()
            ]
            ref = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
            pods.append({"podRef": ref, "containers": containers})
        own = {
            "nodeName": node.name,
            "cpu": {"time": now, "usageNanoCores": cpu * 10**6},
            "memory": {"time": now, "workingSetBytes": memory},
        }
        return {"node": own, "pods": pods}


def _options(query: Mapping[str, str], now: float) -> logs.Options:
    try:
        since = now - int(query["sinceSeconds"]) if "sinceSeconds" in query else None
        if "sinceTime" in query:
            since = times.parse(query["sinceTime"]).timestamp()
        tail, limit = query.get("tailLines"), query.get("limitBytes")
        return logs.Options(
            tail_lines=int(tail) if tail else None,
            since=since,
            timestamps=query.get("timestamps") == "true",
            limit_bytes=int(limit) if limit else None,
        )
    except ValueError as error:
        raise Fault(400, f"unable to decode query: {error}") from error


def _require(request: web.BaseRequest, who: tuple[str, str]) -> None:
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    if not certificate:
        raise Fault(401, "Unauthorized")
    if (_common_name(certificate, "subject"), _common_name(certificate, "issuer")) != who:
        raise Fault(403, "Forbidden")


def _common_name(certificate: Mapping[str, Any], of: str) -> str:
    pairs = [pair for group in certificate.get(of, ()) for pair in group]
    return next((text for key, text in pairs if key == "commonName"), "")
