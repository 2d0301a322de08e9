"""Asks a webhook: one POST of JSON over TLS, connections kept.

``Caller`` knows the two ways in which objects of the API name a server: by URL and by Service, with a CA bundle
(``clientConfig`` of webhooks and of conversions, ``AuditSink`` and the like). Servers that are named by a file in
kubeconfig form are ``tiphys.apiserver.remote``'s.
Source: Kubernetes docs, "Dynamic Admission Control", "Contacting the webhook".
"""

import asyncio
import random
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from tiphys.apiserver.config import AskedHere
from tiphys.apiserver.remote import Target
from tiphys.apiserver.seams import Objects
from tiphys.apiserver.webhooks import failures
from tiphys.apiserver.webhooks.credentials import Credentials
from tiphys.apiserver.webhooks.resolve import Resolver, Unresolved

if TYPE_CHECKING:
    import aiohttp

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
CONNECTIONS_MAX: Final = 100
#: TLS contexts are kept per bundle; so many that nobody makes them anew for each request.
CONTEXTS_MAX: Final = 256
#: Kubernetes' bound where the configuration has none.
TIMEOUT_SECONDS: Final = 30.0
HTTPS: Final = 443


class CallError(Exception):
    """The webhook could not be asked, or did not answer with success; ``code`` is its HTTP status, else 0."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ClientConfig(Protocol):
    """``WebhookClientConfig`` of admissionregistration and of apiextensions, which are two types of one shape."""

    caBundle: bytes | None
    service: Any
    url: str | None


class Place(NamedTuple):
    """Where to connect, and under which name. ``url`` is what the server is told and what messages show."""

    url: str
    host: str
    port: int
    server_name: str


class Caller:
    """One per API server; ``close`` at its end."""

    def __init__(
        self,
        objects: Objects,
        chance: random.Random,
        credentials: Credentials | None = None,
        here: AskedHere | None = None,
    ) -> None:
        self._here = here
        self._resolver = Resolver(objects, chance)
        self._credentials = credentials or Credentials()
        #: By bundle, and who we are to the server.
        self._contexts: dict[tuple[bytes, Target], ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, config: ClientConfig, body: bytes, timeout_seconds: float = TIMEOUT_SECONDS) -> bytes:
        """What the webhook answers, at most 16 MiB. Raises CallError."""
        shown = shown_url(config)
        shown += f"{'&' if '?' in shown else '?'}timeout={round_up(timeout_seconds)}s"
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = self._here(config, body) if self._here is not None else None
                if answer is not None:
                    return await answer
                return await self._asked(self._place(config, shown), config.caBundle or b"", body)
        except TimeoutError as problem:
            raise CallError(f'Post "{shown}": context deadline exceeded') from problem
        except (Unresolved, ValueError) as problem:
            # A URL that is none was stored before it was checked.
            raise CallError(f'Post "{shown}": {problem}') from problem

    def _place(self, config: ClientConfig, shown: str) -> Place:
        service = config.service
        if service is None:
            parts = urlsplit(shown)
            host = parts.hostname or ""
            return Place(shown, host, parts.port or HTTPS, host)
        host, port = self._resolver.endpoint(service.namespace, service.name, service.port or HTTPS)
        return Place(shown, host, port, f"{service.name}.{service.namespace}.svc")

    async def _asked(self, place: Place, bundle: bytes, body: bytes) -> bytes:
        # Late: a server without webhooks need not carry the client.
        import aiohttp  # noqa: PLC0415
        from yarl import URL  # noqa: PLC0415

        parts = urlsplit(place.url)
        host = f"[{place.host}]" if ":" in place.host else place.host
        target = URL(f"https://{host}:{place.port}{parts.path or '/'}?{parts.query}", encoded=True)
        user = self._credentials.of(parts.hostname or "", parts.port or HTTPS)
        headers = {"Host": parts.netloc, "Content-Type": "application/json", "Accept": "application/json, */*"}
        try:
            async with self._connected(aiohttp).post(
                target,
                data=body,
                headers={**headers, **user.headers()},
                ssl=self._tls(bundle, user),
                server_hostname=place.server_name,
                allow_redirects=False,
            ) as answer:
                found = await _bounded(answer.content)
                status = answer.status
        except aiohttp.ClientConnectorCertificateError as problem:
            raise CallError(f'Post "{place.url}": {_certificate(problem.certificate_error, place)}') from problem
        except aiohttp.ClientConnectorError as problem:
            raise CallError(f'Post "{place.url}": {_connection(problem, place)}') from problem
        except aiohttp.ServerDisconnectedError as problem:
            raise CallError(f'Post "{place.url}": EOF') from problem
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as problem:
            raise CallError(f'Post "{place.url}": {problem}') from problem
        if not 200 <= status <= 206:
            raise CallError(failures.of_answer(status, found), status)
        return found

    def _connected(self, aiohttp: Any) -> "aiohttp.ClientSession":
        if self._session is None:
            # Requests bound themselves in time; without a jar nothing is carried from one webhook to another.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=90),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "kube-apiserver-admission"},
            )
        return self._session

    def _tls(self, bundle: bytes, user: Target) -> ssl.SSLContext:
        """The context that trusts a bundle; the system's authorities without one. Raises ValueError."""
        key = (bundle, user)
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= CONTEXTS_MAX:
                self._contexts.clear()
            found = self._contexts[key] = _trusting(bundle, user)
        return found


def _trusting(bundle: bytes, user: Target) -> ssl.SSLContext:
    try:
        context = replace(user, ca=bundle).tls()
    except (ssl.SSLError, UnicodeDecodeError) as problem:
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from problem
    # Own authorities of webhooks are often made without what strict checks of newer Pythons ask for.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def shown_url(config: ClientConfig) -> str:
    """The address as messages show it: the URL, or the Service's name as a host."""
    service = config.service
    if service is None:
        return config.url or ""
    return f"https://{service.name}.{service.namespace}.svc:{service.port or HTTPS}/{(service.path or '').lstrip('/')}"


def round_up(seconds: float) -> int:
    return int(-(-seconds // 1))


def _certificate(problem: Any, place: Place) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return failures.of_certificate(problem, place.server_name)
    return str(problem)


def _connection(problem: Any, place: Place) -> str:
    reason = problem.os_error
    if isinstance(reason, ssl.SSLError):
        return f"tls: {reason.reason or reason}"
    return failures.of_connection(reason, place.host, place.port)


async def _bounded(content: "aiohttp.StreamReader") -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)
