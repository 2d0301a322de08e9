"""One connection to an API server, for commands that do one thing after the other.

Components use ``tiphys.client``; a command has one request under way at a
time and must answer before its user notices, so it spares itself an event loop and
the resource table (0.2 s of imports) and speaks in dicts.
"""

import http.client
import os
import select
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

import tiphys
from tiphys.cli.access import Access
from tiphys.cli.errors import ServerRefused, UserError

JSON = "application/json"
CONNECT_SECONDS = 10.0

Query = Mapping[str, str | list[str]]


class Server:
    """What ``access`` leads to. ``namespace`` is the one to use where none is named."""

    def __init__(self, access: Access, namespace: str = "") -> None:
        self._access = access
        self._url = urlsplit(access.server)
        self._tls = _tls(access) if self._url.scheme == "https" else None
        self._idle: http.client.HTTPConnection | None = None
        self.namespace = namespace or access.namespace or "default"

    def get(self, path: str, query: Query | None = None, accept: str = JSON) -> Any:
        return self.call("GET", path, query, accept=accept)

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Any:
        """The decoded answer. Raises ServerRefused; UserError if there is no server."""
        data = None if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Accept": accept} | ({"Content-Type": content_type} if data else {})
        answer = self._send(method, path, query, data, headers)
        content = answer.read()
        _print_warnings(answer)
        if answer.status >= 400:
            raise refusal(answer.status, content)
        return msgspec.json.decode(content) if content else {}

    @contextmanager
    def stream(self, path: str, query: Query | None = None, accept: str = JSON) -> Iterator[http.client.HTTPResponse]:
        """The answer of a GET, to be read as it comes, on a connection of its own."""
        connection = self._connect()
        try:
            connection.request("GET", self._target(path, query), headers=self._headers({"Accept": accept}))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise refusal(answer.status, answer.read())
            if connection.sock is not None:
                # What is followed may be silent for as long as it likes.
                connection.sock.settimeout(None)
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def lines(self, path: str, query: Query, accept: str = JSON) -> Iterator[Any]:
        """The events of a watch, decoded."""
        with self.stream(path, query, accept) as answer:
            for line in answer:
                if line.strip():
                    yield msgspec.json.decode(line)

    def upgrade(self, path: str, query: Query, headers: Mapping[str, str]) -> socket.socket:
        """The bare connection after the head of a request to upgrade was sent; the answer is the caller's to read."""
        connection = self._connect()
        try:
            connection.connect()
        except OSError as error:
            raise self._lost(error) from error
        bare: socket.socket = connection.sock
        fields = self._headers({"Host": self._url.netloc, **headers})
        head = [f"GET {self._target(path, query)} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
        bare.sendall("\r\n".join([*head, "", ""]).encode())
        bare.settimeout(None)
        return bare

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def _send(
        self, method: str, path: str, query: Query | None, data: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        try:
            if self._idle is None or _hung_up(self._idle):
                self.close()
                self._idle = self._connect()
            self._idle.request(method, self._target(path, query), data, self._headers(headers))
            return self._idle.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(error) from error

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        return _HttpsConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls)

    def _target(self, path: str, query: Query | None) -> str:
        target = self._url.path.rstrip("/") + quote(path, safe="/-._~:@!$&'()*+,;=")
        given = {name: text for name, text in (query or {}).items() if text}
        return f"{target}?{urlencode(given, doseq=True)}" if given else target

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"User-Agent": f"tiphys/{tiphys.__version__}", **more}
        if self._access.token:
            headers["Authorization"] = f"Bearer {self._access.token}"
        return headers

    def _lost(self, error: Exception) -> UserError:
        where = self._url.netloc
        match error:
            case ConnectionRefusedError():
                return _Unreachable(
                    f"The connection to the server {where} was refused - is the cluster running? "
                    'See "tiphys status"; "tiphys up" starts it.'
                )
            case ssl.SSLError():
                return _Unreachable(f"Unable to connect to the server: {getattr(error, 'verify_message', '') or error}")
        return _Unreachable(f"Unable to connect to the server {where}: {error or type(error).__name__}")


class _HttpsConnection(http.client.HTTPSConnection):
    """Without Nagle: a request's head and body leave at once."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Unreachable(UserError):
    @property
    def line(self) -> str:
        return str(self)


def refusal(code: int, body: bytes) -> ServerRefused:
    """The error in an answer's body, made up from the code if there is none."""
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:2048].decode(errors="replace").strip()
        status = {"code": code, "message": text or f"the server answered {code}"}
    return ServerRefused(status)


def _hung_up(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed a connection that we keep; an idle one has nothing to say otherwise."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def _print_warnings(answer: http.client.HTTPResponse) -> None:
    """``Warning: 299 - "text"``. Source: RFC 7234 §5.5."""
    for header in answer.headers.get_all("Warning") or ():
        _, _, text = header.partition('"')
        text = text.rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")
        if text:
            print(f"Warning: {text}", file=sys.stderr)


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
    # Kubernetes' own authorities predate the strict profile of newer Pythons (no key usage extension).
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.cert and access.key:
        _load_pair(context, access.cert + b"\n" + access.key)
    return context


def _load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL reads certificates from files only: give it one that is on no disk."""
    descriptor = os.memfd_create("client-certificate")
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise UserError(f"the client certificate cannot be used: {error}") from error
    finally:
        with suppress(OSError):
            os.close(descriptor)
