"""Servers that this one asks: where they are and who we are to them, read from files in kubeconfig form.

Token, authorization and admission webhooks are all told by such a file, in
which the cluster is the webhook and the user is the API server. ``Remote`` is
one of them; its connections are made when first used and kept.
Source: Kubernetes docs, "Webhook Token Authentication" and "Webhook Mode",
configuration file format.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tiphys.apiserver.config import Misconfigured
from tiphys.base.clock import Clock

if TYPE_CHECKING:
    import aiohttp

ANSWER_BYTES_MAX: Final = 3 * 1024 * 1024
CONNECTIONS_MAX: Final = 100
#: Answers after which asking again may help. Source: kube-apiserver's webhooks, by behaviour.
RETRIED: Final = frozenset({429, 500, 504})
RETRIES: Final = 4
RETRY_SECONDS: Final = 0.5
RETRY_FACTOR: Final = 1.5


class RemoteError(Exception):
    """The server could not be asked, or did not answer with success; ``code`` is its HTTP status, 0 if there is none.

    ``body`` is what it answered.
    """

    def __init__(self, text: str, code: int = 0, body: bytes = b"") -> None:
        super().__init__(text)
        self.code = code
        self.body = body


class TargetError(Misconfigured):
    """A file that does not say how a server is reached; the text names the file and what is missing."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server. PEM where not said otherwise; an empty ``ca`` means the system's authorities."""

    url: str
    ca: bytes = b""
    server_name: str = ""
    insecure: bool = False
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    #: Read again for each request, so that tokens may be rotated.
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    proxy: str = ""

    def tls(self) -> ssl.SSLContext:
        """Raises TargetError, OSError."""
        context = ssl.create_default_context(cadata=self.ca.decode("ascii") if self.ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            _load_pair(context, self.certificate, self.key)
        return context

    def headers(self) -> Mapping[str, str]:
        """Raises OSError."""
        token = Path(self.token_file).read_text("utf-8").strip() if self.token_file else self.token
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


def target_of(path: str | Path, context: str = "") -> Target:
    """What the file's current context (or the one named) says. Raises TargetError, OSError."""
    file = Path(path)
    try:
        found = yaml.load(file.read_bytes(), yaml.CSafeLoader)
    except yaml.YAMLError as problem:
        raise TargetError(f"{file} is not YAML: {problem}") from problem
    if not isinstance(found, dict):
        raise TargetError(f"{file} is not a kubeconfig")
    try:
        return _target(found, context or found.get("current-context") or "", file.parent)
    except (LookupError, TypeError, AttributeError, binascii.Error) as problem:
        raise TargetError(f"{file} is no complete kubeconfig: {problem}") from problem


def _target(config: dict[str, Any], name: str, directory: Path) -> Target:
    chosen = _entry(config, "context", name)
    cluster = _entry(config, "cluster", chosen["cluster"])
    user = _entry(config, "user", chosen["user"]) if chosen.get("user") else {}

    def pem(entry: dict[str, Any], key: str) -> bytes:
        data = entry.get(f"{key}-data")
        if data:
            return base64.b64decode(data, validate=True)
        return (directory / entry[key]).read_bytes() if entry.get(key) else b""

    token_file = user.get("tokenFile") or ""
    return Target(
        url=cluster["server"].rstrip("/") if cluster["server"].count("/") == 3 else cluster["server"],
        ca=pem(cluster, "certificate-authority"),
        server_name=cluster.get("tls-server-name") or "",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        certificate=pem(user, "client-certificate"),
        key=pem(user, "client-key"),
        token=user.get("token") or "",
        token_file=str(directory / token_file) if token_file else "",
        username=user.get("username") or "",
        password=user.get("password") or "",
        proxy=cluster.get("proxy-url") or "",
    )


def _entry(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    entries = config.get(f"{kind}s") or []
    if not name and len(entries) == 1:
        name = entries[0]["name"]
    for entry in entries:
        if entry["name"] == name:
            return dict(entry[kind])
    raise LookupError(f'there is no {kind} "{name}"')


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python's ssl takes the client's certificate from files only."""
    descriptor, path = tempfile.mkstemp(prefix="tiphys-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    except ssl.SSLError as problem:
        raise TargetError(f"the client certificate does not fit its key: {problem}") from problem
    finally:
        Path(path).unlink()


class Remote:
    """Asks one server; ``close`` at the end. Concurrent requests share its connections."""

    def __init__(self, target: Target, timeout_seconds: float = 30.0) -> None:
        self.target = target
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str = "") -> bytes:
        """The body at ``url``, by default the target's. Raises RemoteError."""
        return await self._ask("GET", url or self.target.url, b"")

    async def post(self, body: bytes, path: str = "", timeout_seconds: float = 0.0) -> bytes:
        """The body of the answer to JSON. Raises RemoteError."""
        return await self._ask("POST", self.target.url + path, body, timeout_seconds)

    async def post_patiently(self, body: bytes, clock: Clock) -> bytes:
        """As ``post``, tried again for a few seconds while the server says that it is busy or has failed."""
        wait = RETRY_SECONDS
        for _ in range(RETRIES):
            try:
                return await self.post(body)
            except RemoteError as problem:
                if problem.code not in RETRIED:
                    raise
            await clock.sleep(wait)
            wait *= RETRY_FACTOR
        return await self.post(body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, url: str, body: bytes, timeout_seconds: float = 0.0) -> bytes:
        # Late: a server that asks nobody need not carry the client.
        import aiohttp  # noqa: PLC0415

        if self._session is None:
            self._session = self._connected(aiohttp)
        seconds = timeout_seconds or self._timeout_seconds
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers={"Content-Type": "application/json", "Accept": "application/json", **self.target.headers()},
                timeout=aiohttp.ClientTimeout(total=seconds),
                server_hostname=self.target.server_name or None,
                proxy=self.target.proxy or None,
                allow_redirects=False,
            ) as answer:
                found = await _bounded(answer.content)
                if not 200 <= answer.status < 300:
                    text = f"{method} {url}: the server answered {answer.status} {answer.reason}"
                    raise RemoteError(text, answer.status, found)
                return found
        except TimeoutError as problem:
            raise RemoteError(f"{method} {url}: no answer within {seconds:g} s") from problem
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise RemoteError(f"{method} {url}: {problem}") from problem

    def _connected(self, library: Any) -> "aiohttp.ClientSession":
        tls: Any = self.target.tls() if self.target.url.startswith("https:") else True
        made: aiohttp.ClientSession = library.ClientSession(
            connector=library.TCPConnector(ssl=tls, limit=CONNECTIONS_MAX)
        )
        return made


async def _bounded(content: "aiohttp.StreamReader") -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise RemoteError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)
