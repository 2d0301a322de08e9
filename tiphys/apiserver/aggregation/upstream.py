"""One aggregated server: how it is reached, who we are to it, and who the caller is.

The caller's own words about who he is never pass: what trusts our client
certificate must read nothing but what was authenticated here.
Source: Kubernetes docs, "Configure the Aggregation Layer"; kube-aggregator's
proxy handler, by behaviour.
"""

import random
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from tiphys.api import apiregistration_v1
from tiphys.apiserver.aggregation.services import Address
from tiphys.apiserver.relay.connect import Peer, Unreachable, relay
from tiphys.wire.exchange import Request, Response, Sink, UserInfo

TEXT_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
PATH_SAFE: Final = "/!$&'()*+,;=:@~-._"
#: Characters of an extra's key that may stand in a header's name as they are (RFC 9110 token, without "%").
KEY_SAFE: Final = "!#$&'*+-.^_`|~"
OWN_HEADERS: Final = "x-remote-"
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
MASTER: Final = UserInfo("system:kube-aggregator", groups=("system:masters",))


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to aggregated servers: paths of PEM files, empty for nobody; and headers that name callers."""

    certificate: str = ""
    key: str = ""
    #: Lower-case names and prefixes that only we may send, besides our own.
    reserved: tuple[str, ...] = ()

    def reserves(self, header: str) -> bool:
        return header.startswith((OWN_HEADERS, *self.reserved))


def unavailable(text: str = "service unavailable") -> Response:
    """Not a Status: clients have words of their own for it."""
    return Response(503, TEXT_HEADERS, f"{text}\n".encode())


def identity(user: UserInfo) -> list[tuple[str, str]]:
    """The headers that say who asks."""
    found = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        name = f"X-Remote-Extra-{quote(key.lower(), safe=KEY_SAFE)}"
        found += [(name, value) for value in values]
    return found


@dataclass(slots=True)
class Upstream:
    """The server of one APIService. ``addresses`` and ``available`` are kept up to date by its keeper."""

    spec: apiregistration_v1.APIServiceSpec
    credentials: Credentials
    chance: random.Random
    addresses: Sequence[Address] = ()
    available: bool = False
    _tls: ssl.SSLContext | None = None
    _tls_of: tuple[int, ...] = field(default=())

    @property
    def server_name(self) -> str:
        service = self.spec.service
        assert service is not None
        return f"{service.name}.{service.namespace}.svc"

    def peer(self, address: Address | None = None) -> Peer:
        """Raises Unreachable if nobody is there to be asked or what was configured makes no TLS."""
        if address is None:
            if not self.addresses:
                raise Unreachable("service unavailable")
            address = self.chance.choice(self.addresses)
        return Peer(*address, self._context(), self.server_name)

    def _context(self) -> ssl.SSLContext:
        """Made anew when the files of our certificate change."""
        files = (self.credentials.certificate, self.credentials.key)
        try:
            state = tuple(Path(file).stat().st_mtime_ns for file in files if file)
            if self._tls is None or state != self._tls_of:
                self._tls, self._tls_of = _context(self.spec, self.credentials), state
        except (OSError, ssl.SSLError, ValueError) as problem:
            raise Unreachable(f"tls: {problem}") from problem
        return self._tls

    async def forward(self, request: Request, user: UserInfo) -> Response:
        """The answer to a client's request, or 503."""
        if not self.available:
            return unavailable()
        headers = {name: value for name, value in request.headers.items() if not self.credentials.reserves(name)}
        try:
            peer = self.peer()
            return await relay(peer, replace(request, headers=headers), target_of(request), _forwarded(request, user))
        except Unreachable as problem:
            return unavailable(f"error trying to reach service: {problem}")

    async def fetch(self, path: str, headers: dict[str, str], address: Address | None = None) -> Response:
        """The whole answer to a question of our own. Raises Unreachable."""
        peer = self.peer(address)
        response = await relay(peer, Request("GET", path, headers=headers), path, identity(MASTER))
        if response.stream is None:
            return response
        body = _Collected()
        sink: Sink = body
        try:
            await response.stream(sink)
        except ConnectionError as problem:
            raise Unreachable(str(problem)) from problem
        return Response(response.status, response.headers, bytes(body.data))


def target_of(request: Request) -> str:
    query = urlencode([(key, value) for key, values in request.query.items() for value in values])
    return quote(request.path, safe=PATH_SAFE) + (f"?{query}" if query else "")


def _forwarded(request: Request, user: UserInfo) -> list[tuple[str, str]]:
    found: Iterable[tuple[str, str]] = identity(user)
    origin = [("X-Forwarded-Uri", quote(request.path, safe=PATH_SAFE))]
    if request.remote:
        origin.append(("X-Forwarded-For", request.remote))
    if host := request.headers.get("host"):
        origin.append(("X-Forwarded-Host", host))
    return [*found, *origin]


def _context(spec: apiregistration_v1.APIServiceSpec, credentials: Credentials) -> ssl.SSLContext:
    bundle = spec.caBundle.decode("ascii") if spec.caBundle else None
    context = ssl.create_default_context(cadata=bundle)
    # As Go does it: a chain may end at any certificate of the bundle.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if spec.insecureSkipTLSVerify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.certificate:
        context.load_cert_chain(credentials.certificate, credentials.key)
    return context


class _Collected:
    """A sink that keeps a body of bounded length."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > ANSWER_BYTES_MAX:
            raise ConnectionError("the answer is too long")
        self.data += data

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        return

    async def wait_closed(self) -> None:
        return
