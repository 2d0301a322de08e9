"""A webhook server over TLS on loopback, and an API server with all of its admission, in memory."""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.apiserver.server import Api
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.apiserver.config import SecurityConfig
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, Response, UserInfo

ADMIN = UserInfo("kubernetes-admin", groups=("system:masters", "system:authenticated"))
GROUP = "/apis/admissionregistration.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"

Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Hooks:
    """The server of webhooks: what it answers below each path, and what it was asked there."""

    port: int = 0
    bundle: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: Paths that answer with something else than a review.
    raw: dict[str, Callable[[], Awaitable[web.Response]]] = field(default_factory=dict)
    connections: set[Any] = field(default_factory=set)
    queries: list[str] = field(default_factory=list)
    #: Values of the Authorization header.
    credentials: list[str | None] = field(default_factory=list)
    #: Where set, that many requests must have come before the first is answered.
    together: asyncio.Barrier | None = None

    def config(self, path: str) -> dict[str, Any]:
        return {"url": f"https://127.0.0.1:{self.port}/{path}", "caBundle": self.bundle}

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path.strip("/")
        self.connections.add(request.transport)
        self.queries.append(request.query_string)
        self.credentials.append(request.headers.get("Authorization"))
        if path in self.raw:
            return await self.raw[path]()
        review = await request.json()
        if self.together is not None:
            await asyncio.wait_for(self.together.wait(), 5)
        self.asked.setdefault(path, []).append(review["request"])
        response = {"uid": review["request"]["uid"], "allowed": True}
        if path in self.answers:
            response |= self.answers[path](review["request"])
        return web.json_response({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """The part of an answer that changes the object."""
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(list(operations)).encode()).decode()}


def label(name: str, value: str) -> dict[str, Any]:
    """A patch that adds a label, whether there are others or not."""
    return {"op": "add", "path": "/metadata/labels", "value": {name: value}}


def certificate(directory: Path, *names: str) -> tuple[Path, bytes]:
    """A file with a key and a certificate that signs itself, for 127.0.0.1 and ``names``; and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    now = datetime.datetime.now(datetime.UTC)
    found = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *(x509.DNSName(one) for one in names)]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = found.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "webhook.pem"
    file.write_bytes(secret + pem)
    return file, pem


@asynccontextmanager
async def hooks(directory: Path, *names: str) -> AsyncIterator[Hooks]:
    file, pem = certificate(directory, *names)
    found = Hooks(bundle=base64.b64encode(pem).decode())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    # A handler that never answers need not be waited for.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()


class Admitting(Api):
    """Asks as the administrator, unless ``user`` says otherwise."""

    user = ADMIN

    async def raw(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None, **headers: str
    ) -> Response:
        fields = {"content-type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        asked = {name: [v] if isinstance(v, str) else list(v) for name, v in (query or {}).items()}
        return await self.server.handle(Request(method, path, asked, fields, data, user=self.user))

    async def configure(self, kind: str, name: str, *webhooks: dict[str, Any]) -> Any:
        """Write a configuration of ``mutating`` or ``validating`` webhooks, or replace it."""
        plural = f"{kind}webhookconfigurations"
        body = {"metadata": {"name": name}, "webhooks": list(webhooks)}
        status, old = await self.call("GET", f"{GROUP}/{plural}/{name}")
        if status == 200:
            body["metadata"] = old["metadata"]
            return await self.ok("PUT", f"{GROUP}/{plural}/{name}", body)
        return await self.ok("POST", f"{GROUP}/{plural}", body)


def webhook(config: dict[str, Any], name: str = "a.example.com", **more: Any) -> dict[str, Any]:
    """A webhook for everything that happens to ConfigMaps, unless ``more`` says otherwise."""
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    return {
        "name": name,
        "clientConfig": config,
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    } | more


@asynccontextmanager
async def admitting(**settings: Any) -> AsyncIterator[Admitting]:
    """A server that authenticates, authorizes and admits; settings are those of ``SecurityConfig``."""
    store = MemoryStore()
    made = security.seams(SecurityConfig(**settings))
    async with ApiServer(ApiServerConfig(port=0), store, seams=made) as server:
        api = Admitting(server, store)
        account = {"metadata": {"name": "default"}}
        await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", account)
        yield api
