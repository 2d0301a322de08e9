"""The kubelet's own server: logs, streams into containers, and what the node can tell of itself.

HTTP/1.1 over TLS. A client is who its certificate says; whether that identity
may use the node is asked of the API, but for the API server itself.
Source: Kubernetes docs, "Kubelet authentication/authorization".
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tiphys.api import authorization_v1
from tiphys.kubelet import endpoints, streams
from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.context import Context
from tiphys.kubelet.endpoints import Answer, HttpFault
from tiphys.machinery import codec, errors
from tiphys.wire import http1

logger = logging.getLogger(__name__)

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
#: Who is trusted without a question: the API server, and whoever may do everything.
_TRUSTED_NAMES = frozenset({"kube-apiserver-kubelet-client"})
_TRUSTED_GROUPS = frozenset({"system:masters"})


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    groups: tuple[str, ...] = ()


class Server:
    """Listens from ``start`` to ``close``."""

    def __init__(self, context: Context, agents: Mapping[str, PodAgent]) -> None:
        self._context = context
        self._endpoints = endpoints.Endpoints(context, agents)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens; what was configured before that."""
        if self._server is None or not self._server.sockets:
            return self._context.config.port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        config = self._context.config
        self._server = await asyncio.start_server(
            self._connected, config.listen_address, config.port, ssl=self._tls(), limit=1 << 20
        )

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _tls(self) -> ssl.SSLContext | None:
        config = self._context.config
        if config.tls_cert is None:
            return None
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(config.tls_cert, config.tls_key)
        if config.client_ca is not None:
            tls.load_verify_locations(config.client_ca)
            tls.verify_mode = ssl.CERT_OPTIONAL
        return tls

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, http1.HttpError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            # The server closes. Nobody awaits this task, and asyncio would log its cancellation as a fault.
            pass
        except Exception:
            logger.exception("a request failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        while True:
            parser = http1.HeadParser("request")
            head = parser.receive(held)
            while head is None:
                data = await reader.read(64 * 1024)
                if not data:
                    return
                head = parser.receive(data)
            held = parser.rest
            length = int(head.headers.get("content-length") or 0)
            upgrading = "upgrade" in head.headers
            while len(held) < length and not upgrading:
                held += await reader.readexactly(length - len(held))
            body, held = (held[:length], held[length:]) if not upgrading else (b"", held)
            try:
                answer = await self._answer(head, writer)
            except HttpFault as fault:
                answer = Answer(fault.status, text=str(fault).encode())
            if answer.relay_url:
                await streams.relay(head, held, reader, writer, answer.relay_url)
                return
            await self._write(writer, answer, head)
            del body
            if head.headers.get("connection", "").lower() == "close":
                return

    async def _answer(self, head: http1.Head, writer: asyncio.StreamWriter) -> Answer:
        url = urlsplit(head.target)
        path = unquote(url.path)
        query = parse_qs(url.query, keep_blank_values=True)
        if path != "/healthz":
            await self._authorize(self._caller(writer), head.method, path)
        return await self._endpoints.answer(head, path, query)

    def _caller(self, writer: asyncio.StreamWriter) -> Caller | None:
        if self._context.config.client_ca is None:
            return Caller("system:unsecured", ("system:masters",))
        certificate = writer.get_extra_info("peercert")
        if not certificate:
            return None
        names = [pair for group in certificate.get("subject", ()) for pair in group]
        name = next((text for key, text in names if key == "commonName"), "")
        groups = tuple(text for key, text in names if key == "organizationName")
        return Caller(name, groups)

    async def _authorize(self, caller: Caller | None, method: str, path: str) -> None:
        if caller is None or not caller.name:
            raise HttpFault(401, "Unauthorized")
        if caller.name in _TRUSTED_NAMES or _TRUSTED_GROUPS.intersection(caller.groups):
            return
        verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update"}.get(method, method.lower())
        subresource = _subresource(path)
        attributes = authorization_v1.ResourceAttributes(
            verb=verb,
            version="v1",
            resource="nodes",
            subresource=subresource,
            name=self._context.config.node_name,
        )
        review = authorization_v1.SubjectAccessReview(
            spec=authorization_v1.SubjectAccessReviewSpec(
                user=caller.name, groups=[*caller.groups, "system:authenticated"], resourceAttributes=attributes
            )
        )
        path_of_reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        try:
            body = await self._context.client.request("POST", path_of_reviews, body=codec.encode(review))
            allowed = codec.decode(authorization_v1.SubjectAccessReview, body).status.allowed
        except (errors.StatusError, ConnectionError) as error:
            raise HttpFault(500, f"Authorization error: {error}") from error
        if not allowed:
            text = f"user={caller.name}, verb={verb}, resource=nodes, subresource={subresource}"
            raise HttpFault(403, f"Forbidden ({text})")

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer, head: http1.Head) -> None:
        reason = _REASONS.get(answer.status, "Error")
        headers = {"Content-Type": answer.content_type}
        if answer.chunks is None:
            headers["Content-Length"] = str(len(answer.text))
            body = b"" if head.method == "HEAD" else answer.text
            writer.write(http1.encode_response(answer.status, reason, headers) + body)
            await writer.drain()
            return
        headers["Transfer-Encoding"] = "chunked"
        writer.write(http1.encode_response(answer.status, reason, headers))
        await _write_chunks(writer, answer.chunks)


async def _write_chunks(writer: asyncio.StreamWriter, chunks: AsyncGenerator[bytes, None]) -> None:
    async with contextlib.aclosing(chunks) as pieces:
        async for piece in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            if writer.is_closing():
                return
            # A long log must not keep the loop from everybody else while the socket takes all of it.
            await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _subresource(path: str) -> str:
    first = path.lstrip("/").split("/")[0]
    return {"stats": "stats", "metrics": "metrics", "logs": "log", "pods": "pods", "configz": "configz"}.get(
        first, "proxy"
    )
