"""A real aggregated API server on loopback, and the objects that lead to it."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apiserver import pki

GROUP, VERSION, NAMESPACE, NAME = "wardle.example.com", "v1beta1", "default", "wardle"
ROOT = f"/apis/{GROUP}/{VERSION}"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
FLUNDERS = {
    "resource": "flunders",
    "responseKind": {"group": GROUP, "version": VERSION, "kind": "Flunder"},
    "scope": "Namespaced",
    "singularResource": "flunder",
    "verbs": ["get", "list"],
}
DEFINITION = "com.example.wardle.v1beta1.Flunder"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
OPENAPI = {
    "swagger": "2.0",
    "paths": {f"{ROOT}/flunders": {"get": {"responses": {"200": {"schema": {"$ref": f"#/definitions/{DEFINITION}"}}}}}},
    "definitions": {
        DEFINITION: {"type": "object", "properties": {"metadata": {"$ref": f"#/definitions/{OBJECT_META}"}}},
        OBJECT_META: {"type": "object", "description": "Not ours."},
        "Unrelated": {"type": "object"},
    },
}


def certificate(directory: Path, *names: str) -> tuple[Path, Path, bytes]:
    """A certificate signed by itself for some names: paths of it and its key, and its PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    made = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    cert_path, key_path = directory / f"{names[0]}.crt", directory / f"{names[0]}.key"
    cert_path.write_bytes(pem)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return cert_path, key_path, pem


class Extension:
    """Serves one group, and notes the headers of each request and the name in the client's certificate."""

    def __init__(self) -> None:
        self.bundle = ""
        self.port = 0
        self.seen: list[web.BaseRequest] = []
        self.clients: list[str] = []
        #: Answers this to discovery instead of what it should.
        self.broken = 0
        self.resources: list[dict[str, Any]] = [FLUNDERS]
        #: Whether aggregated discovery is spoken.
        self.modern = True

    def last(self) -> web.BaseRequest:
        """The last request that came through the proxy."""
        return next(one for one in reversed(self.seen) if one.headers.get("X-Remote-User") != "system:kube-aggregator")

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        transport = request.transport
        peer = transport.get_extra_info("peercert") if transport is not None else None
        names = dict(pair[0] for pair in peer["subject"]) if peer else {}
        self.clients.append(names.get("commonName", ""))
        path = request.path
        if self.broken and not path.startswith(f"{ROOT}/"):
            return web.Response(status=self.broken)
        if path == "/apis" and self.modern:
            version = {"version": VERSION, "resources": self.resources, "freshness": "Current"}
            items = [{"metadata": {"name": GROUP}, "versions": [version]}]
            return web.Response(text=json.dumps({"items": items}), headers={"Content-Type": AGGREGATED, "ETag": '"1"'})
        if path == ROOT:
            listed = [
                {
                    "name": "flunders",
                    "singularName": "flunder",
                    "namespaced": True,
                    "kind": "Flunder",
                    "verbs": ["get"],
                },
                {"name": "flunders/status", "namespaced": True, "kind": "Flunder", "verbs": ["get"]},
            ]
            return web.json_response({"kind": "APIResourceList", "resources": listed})
        if path == "/openapi/v3":
            url = f"/openapi/v3{ROOT}?hash=ABC"
            return web.json_response({"paths": {ROOT[1:]: {"serverRelativeURL": url}}})
        if path == f"/openapi/v3{ROOT}":
            return web.json_response({"openapi": "3.0.0", "asked": request.query_string})
        if path == "/openapi/v2":
            return web.json_response(OPENAPI)
        if path == f"{ROOT}/chat":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"echo {message.data}")
            return socket
        if request.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(request)
            for number in range(3):
                await response.write(b'{"type":"ADDED","object":{"n":%d}}\n' % number)
            return response
        body = await request.text()
        return web.json_response({"path": request.raw_path, "method": request.method, "body": body}, status=418)


@asynccontextmanager
async def https(
    directory: Path,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    name: str,
    files: pki.Pki | None,
) -> AsyncIterator[tuple[int, bytes]]:
    """A server under a name; with ``files`` it believes nobody but the front proxy. Its port and certificate."""
    cert, key, pem = certificate(directory, name)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    if files is not None:
        tls.load_verify_locations(str(files.front_proxy_ca))
        tls.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1], pem
    finally:
        await runner.cleanup()


@asynccontextmanager
async def extension(directory: Path, files: pki.Pki | None = None) -> AsyncIterator[Extension]:
    """Running."""
    found = Extension()
    async with https(directory, found.serve, f"{NAME}.{NAMESPACE}.svc", files) as (found.port, pem):
        found.bundle = base64.b64encode(pem).decode()
        yield found


def api_service(bundle: str | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "service": {"name": NAME, "namespace": NAMESPACE},
            **({"caBundle": bundle} if bundle is not None else {"insecureSkipTLSVerify": True}),
            **spec,
        },
    }


def service(port: int = 443, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "https", "port": port, "targetPort": 8443}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": {"ports": ports, **spec}}


def loopback(name: str = NAME) -> dict[str, Any]:
    """A Service that leads here: endpoints on loopback are refused."""
    spec = {"type": "ExternalName", "externalName": "localhost"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def slice_(port: int, address: str = "192.0.2.1", name: str = "wardle-1", ready: bool = True) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


class HandClock:
    """Wall time that moves when told; sleepers wait for it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sleeping: dict[float, int] = {}
        self._moved = asyncio.Event()
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        end = self.time + seconds
        self.sleeping[seconds] = self.sleeping.get(seconds, 0) + 1
        self._slept.set()
        try:
            while self.time < end:
                await self._moved.wait()
        finally:
            self.sleeping[seconds] -= 1

    async def pass_sleep(self, seconds: float) -> None:
        """Let somebody begin to sleep so long, and time pass until he has."""
        await self.asleep(seconds)
        self.time += seconds
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def asleep(self, seconds: float) -> None:
        """Return once somebody sleeps so long."""
        async with asyncio.timeout(5):
            while not self.sleeping.get(seconds):
                self._slept.clear()
                await self._slept.wait()
