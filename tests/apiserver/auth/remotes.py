"""Servers on loopback that the API server asks, over TLS with certificates of their own authority."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import yaml
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.apiserver.server import Api
from tiphys.apiserver import ApiServer, ApiServerConfig, pki, security
from tiphys.apiserver.authentication import keys
from tiphys.apiserver.config import SecurityConfig
from tiphys.base.clock import Clock, RealClock
from tiphys.store.memory import MemoryStore

Answer = Callable[[str, Any], Awaitable[tuple[int, Any]]]


class ShiftedClock(RealClock):
    """The real clock, which a test may move forward."""

    shift = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.shift)

    def monotonic(self) -> float:
        return super().monotonic() + self.shift

    def advance(self, seconds: float) -> None:
        self.shift += seconds


class Remote:
    """One server; ``asked`` are the bodies (or paths) it was asked with."""

    def __init__(self, url: str, ca: Path, files: pki.Pki) -> None:
        self.url = url
        self.ca = ca
        self.files = files
        self.asked: list[Any] = []
        #: Common names of the clients that showed a certificate.
        self.clients: list[str] = []

    def kubeconfig(self, path: Path, **user: Any) -> str:
        """A file that says how this server is reached."""
        cluster = {"server": f"{self.url}/hook", "certificate-authority": str(self.ca)}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return str(path)


@asynccontextmanager
async def remote(directory: Path, answer: Answer) -> AsyncIterator[Remote]:
    files = pki.ensure(directory / "remote-pki", pki.PkiOptions("n1"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.apiserver.cert, files.apiserver.key)
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_verify_locations(files.ca)
    made: Remote

    async def serve(request: web.Request) -> web.Response:
        body = await request.read()
        asked = json.loads(body) if body else request.path
        made.asked.append(asked)
        peer = request.transport.get_extra_info("peercert") if request.transport else None
        made.clients += [
            value for part in (peer or {}).get("subject", ()) for name, value in part if name == "commonName"
        ]
        status, found = await answer(request.path, asked)
        return web.json_response(found, status=status)

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    made = Remote(f"https://localhost:{port}", files.ca, files)
    try:
        yield made
    finally:
        await runner.cleanup()


class IdentityProvider:
    """An OpenID Connect issuer: its keys, and tokens signed with them."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("first")

    def rotate(self, name: str) -> None:
        self.keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    async def answer(self, path: str, asked: Any) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            listed = [
                {**keys.web_key(keys.Key(key.public_key(), name, "RS256")), "kid": name}
                for name, key in self.keys.items()
            ]
            return 200, {"keys": [*listed, {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, "nonsense"]}
        return 404, {}

    def token(self, clock: Clock, key: str = "", **claims: Any) -> str:
        now = int(clock.now().timestamp())
        name, private = next(iter(self.keys.items()))
        facts = {"iss": self.url, "aud": "tiphys", "sub": "jane", "exp": now + 3600, **claims}
        facts = {claim: value for claim, value in facts.items() if value is not None}
        return jwt.encode(facts, private, "RS256", headers={"kid": key or name})


@asynccontextmanager
async def secured(config: SecurityConfig, clock: Clock | None = None, **server: Any) -> AsyncIterator[Api]:
    """The API server in memory, with this security."""
    store = MemoryStore()
    async with ApiServer(ApiServerConfig(**server), store, clock=clock, seams=security.seams(config)) as running:
        yield Api(running, store)


def signing(directory: Path) -> SecurityConfig:
    """With a key for service account tokens."""
    files = pki.ensure(directory / "pki", pki.PkiOptions("n1"))
    return SecurityConfig(service_account_key=str(files.service_account_key))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def whoami(api: Api, **headers: str) -> Any:
    """The user as the server knows him; the status code where it does not."""
    status, found = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **headers)
    return found["status"]["userInfo"] if status == 201 else status


__all__ = ["IdentityProvider", "Remote", "ShiftedClock", "basic", "remote", "secured", "signing", "whoami"]
