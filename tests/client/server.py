"""A real HTTPS server around a handler, and a handler that a test scripts."""

import asyncio
import datetime
import ipaddress
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.wire.exchange import Handler, Request, Response


class _ResponseSink:
    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._pieces.append(data)

    def buffered_bytes(self) -> int:
        return sum(map(len, self._pieces))

    async def drain(self) -> None:
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            await self._response.write(piece)

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def https(handler: Handler, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """URL and CA file of a server that answers with ``handler``."""
    certificate, key = _certificate(folder)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await handler(
            Request(
                request.method,
                request.path,
                {name: request.query.getall(name) for name in request.query},
                {name.lower(): text for name, text in request.headers.items()},
                await request.read(),
            )
        )
        if response.stream is None:
            return web.Response(status=response.status, body=response.body, headers=dict(response.headers))
        streamed = web.StreamResponse(status=response.status, headers=dict(response.headers))
        await streamed.prepare(request)
        sink = _ResponseSink(streamed)
        await response.stream(sink)
        await sink.drain()
        return streamed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"https://127.0.0.1:{port}", certificate
    finally:
        await runner.cleanup()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


class Script:
    """A handler that answers in the order given and remembers what was asked."""

    def __init__(self, *answers: Response | Callable[[Request], Awaitable[Response]]) -> None:
        self.answers = deque(answers)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if not self.answers:
            return Response(500, body=b"the script has ended")
        answer = self.answers.popleft()
        return answer if isinstance(answer, Response) else await answer(request)
