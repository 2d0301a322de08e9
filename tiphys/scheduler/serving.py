"""What the scheduler tells of itself over HTTPS: health, metrics, configuration.

Who asks is a client certificate's subject or what a token review says; whether
they may is a subject access review on the path. Health is everybody's.
Source: Kubernetes docs, "Metrics For Kubernetes System Components"; kube-scheduler's flags
``--secure-port`` and ``--authorization-always-allow-paths``.
"""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tiphys.api import authentication_v1, authorization_v1
from tiphys.client import Client
from tiphys.machinery import codec, errors
from tiphys.wire import http1

logger = logging.getLogger(__name__)

PUBLIC = frozenset({"/healthz", "/livez", "/readyz"})
TEXT, JSON, METRICS = "text/plain; charset=utf-8", "application/json", "text/plain; version=0.0.4; charset=utf-8"
#: Heads beyond this end the connection; nobody needs a body here.
HEAD_BYTES_MAX = 64 * 1024
_REASONS = {200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Where to listen and as whom; without a certificate, in plain text and for everybody."""

    port: int
    host: str = "0.0.0.0"
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    #: What ``/configz`` tells.
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = TEXT


@dataclass(frozen=True, slots=True)
class _Caller:
    name: str
    groups: tuple[str, ...]


_NOBODY = _Caller("system:anonymous", ("system:unauthenticated",))


class Serving:
    """``async with`` it. A port that is taken is said in the log and keeps nobody from scheduling."""

    def __init__(self, config: ServingConfig, client: Client, metrics: Callable[[], bytes]) -> None:
        self._config = config
        self._client = client
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def __aenter__(self) -> "Serving":
        config = self._config
        try:
            self._server = await asyncio.start_server(
                self._connected, config.host, config.port, ssl=_tls(config), limit=HEAD_BYTES_MAX
            )
        except OSError as error:
            logger.warning("metrics are not served: port %s: %s", config.port, error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # A cancelled task is one that the server's end has ended: nobody awaits it.
            with contextlib.suppress(ConnectionError, http1.HttpError, asyncio.CancelledError):
                await self._serve(reader, writer)
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
                data = await reader.read(HEAD_BYTES_MAX)
                if not data:
                    return
                head = parser.receive(data)
            held = parser.rest
            answer = await self.answer(head, writer.get_extra_info("peercert"))
            # Whoever sends a body despite all is answered, and then left.
            last = "content-length" in head.headers or head.headers.get("connection", "").lower() == "close"
            headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
            body = b"" if head.method == "HEAD" else answer.body
            writer.write(http1.encode_response(answer.status, _REASONS.get(answer.status, "Error"), headers) + body)
            await writer.drain()
            if last:
                return

    async def answer(self, head: http1.Head, certificate: Mapping[str, Any] | None) -> Answer:
        path = head.target.partition("?")[0]
        if head.method not in ("GET", "HEAD"):
            return Answer(405, b"Method Not Allowed\n")
        if path in PUBLIC:
            return Answer(200, b"ok")
        if self._config.client_ca is not None and (refusal := await self._refusal(head, path, certificate)):
            return refusal
        if path == "/metrics":
            return Answer(200, self._metrics(), METRICS)
        if path == "/configz":
            return Answer(200, json.dumps({"componentconfig": self._config.document}).encode(), JSON)
        return Answer(404, b"404 page not found\n")

    async def _refusal(self, head: http1.Head, path: str, certificate: Mapping[str, Any] | None) -> Answer | None:
        try:
            caller = await self._caller(head, certificate)
            if caller is None:
                return Answer(401, b"Unauthorized\n")
            if await self._may(caller, path):
                return None
        except (errors.StatusError, ConnectionError) as error:
            return Answer(500, f"Internal Server Error: {head.target!r}: {error}\n".encode())
        return Answer(403, f'forbidden: User "{caller.name}" cannot get path "{path}"\n'.encode())

    async def _caller(self, head: http1.Head, certificate: Mapping[str, Any] | None) -> _Caller | None:
        """None for wrong credentials."""
        if certificate:
            names = [pair for group in certificate.get("subject", ()) for pair in group]
            name = next((text for key, text in names if key == "commonName"), "")
            groups = tuple(text for key, text in names if key == "organizationName")
            return _Caller(name, (*groups, "system:authenticated"))
        scheme, _, token = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _NOBODY
        review = authentication_v1.TokenReview(spec=authentication_v1.TokenReviewSpec(token=token.strip()))
        body = await self._client.request(
            "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=codec.encode(review)
        )
        status = codec.decode(authentication_v1.TokenReview, body).status
        if not status.authenticated or status.user is None:
            return None
        return _Caller(status.user.username or "", tuple(status.user.groups or ()))

    async def _may(self, caller: _Caller, path: str) -> bool:
        spec = authorization_v1.SubjectAccessReviewSpec(
            user=caller.name,
            groups=list(caller.groups),
            nonResourceAttributes=authorization_v1.NonResourceAttributes(path=path, verb="get"),
        )
        review = authorization_v1.SubjectAccessReview(spec=spec)
        path_of_reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        body = await self._client.request("POST", path_of_reviews, body=codec.encode(review))
        return codec.decode(authorization_v1.SubjectAccessReview, body).status.allowed


def _tls(config: ServingConfig) -> ssl.SSLContext | None:
    if config.cert is None:
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(config.cert, config.key)
    if config.client_ca is not None:
        tls.load_verify_locations(config.client_ca)
        tls.verify_mode = ssl.CERT_OPTIONAL
    return tls
