"""Tries probes and lifecycle handlers: over HTTP, TCP and gRPC itself, commands through the runtime."""

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass

import aiohttp
import grpc
import grpc.aio

from tiphys.api import core_v1
from tiphys.kubelet import probes
from tiphys.kubelet.cri import CriClient, RuntimeFault
from tiphys.machinery import times
from tiphys.machinery.goformat import quote

USER_AGENT = "kube-probe/1.36"
HOOK_USER_AGENT = "kube-lifecycle/1.36"
BODY_BYTES_MAX = 10 * 1024
REDIRECTS_MAX = 10


class ProbeErrored(Exception):
    """The probe could not be tried; its result does not count."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes."""

    container: core_v1.Container | core_v1.EphemeralContainer
    container_id: str
    ip: str


Result = tuple[bool, str]


class Prober:
    """Stateless but for its HTTP session; an ``async with``."""

    def __init__(self, cri: CriClient) -> None:
        self._cri = cri
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Prober":
        context = ssl.create_default_context()
        # A probe asks whether the server answers, not who it is.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            # Each probe on a connection of its own: one that is kept would outlive the server's ability to accept.
            connector=aiohttp.TCPConnector(ssl=context, force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def probe(self, probe: core_v1.Probe, target: Target) -> Result:
        """Whether it succeeds, and what is said of it. Raises ProbeErrored."""
        timeout = probes.timeout_seconds(probe)
        try:
            if probe.exec is not None:
                return await self._command(probe.exec.command or [], target.container_id, int(timeout))
            if probe.httpGet is not None:
                return await self.get(probe.httpGet, target, timeout)
            if probe.tcpSocket is not None:
                return await _tcp(probe.tcpSocket, target, timeout)
            if probe.grpc is not None:
                return await _grpc(probe.grpc, target, timeout)
        except ValueError as error:
            raise ProbeErrored(str(error)) from error
        raise ProbeErrored("missing probe handler")

    async def _command(self, command: list[str], container_id: str, timeout: int) -> Result:
        try:
            code, output = await self._cri.exec_sync(container_id, command, timeout)
        except RuntimeFault as fault:
            if fault.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False, f"command timed out: {quote(' '.join(command))} timed out after {timeout}s"
            raise ProbeErrored(str(fault)) from fault
        return code == 0, output[:BODY_BYTES_MAX].decode(errors="replace")

    async def get(
        self, action: core_v1.HTTPGetAction, target: Target, timeout: float, agent: str = USER_AGENT
    ) -> Result:
        assert self._session is not None
        port = probes.port_number(action.port, target.container)
        host = action.host or target.ip
        scheme = (action.scheme or "HTTP").lower()
        path = action.path or "/"
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        url = f"{scheme}://{authority}{path if path.startswith('/') else '/' + path}"
        headers = {"Accept": "*/*", "User-Agent": agent}
        for header in action.httpHeaders or ():
            if header.name.lower() in ("accept", "user-agent"):
                headers.pop("Accept" if header.name.lower() == "accept" else "User-Agent", None)
            if header.value or header.name.lower() not in ("accept", "user-agent"):
                headers[header.name] = header.value
        try:
            async with self._session.get(
                url,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                max_redirects=REDIRECTS_MAX,
                allow_redirects=True,
            ) as answer:
                if any(r.url.host != answer.url.host for r in answer.history):
                    return True, f"Probe terminated redirects, Response body: {''}"
                if 200 <= answer.status < 400:
                    return True, ""
                return False, f"HTTP probe failed with statuscode: {answer.status}"
        except TimeoutError:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return False, f"Get {quote(url)}: {why}"
        except aiohttp.ClientOSError as error:
            return False, f"Get {quote(url)}: {_dial(authority, error)}"
        except aiohttp.ServerDisconnectedError:
            return False, f"Get {quote(url)}: EOF"
        except aiohttp.ClientError as error:
            return False, f"Get {quote(url)}: {error}"

    async def handle(self, handler: core_v1.LifecycleHandler, target: Target, timeout: float | None) -> Result:
        """Run a lifecycle handler to its end. Raises ProbeErrored."""
        try:
            if handler.exec is not None:
                command = handler.exec.command or []
                code, output = await self._cri.exec_sync(target.container_id, command, 0)
                text = output.decode(errors="replace")
                shown = " ".join(command)
                return code == 0, "" if code == 0 else (f"command '{shown}' exited with {code}: {text}")
            if handler.httpGet is not None:
                return await self.get(handler.httpGet, target, timeout or 30.0, HOOK_USER_AGENT)
            if handler.tcpSocket is not None:
                return False, "invalid handler"
        except RuntimeFault as fault:
            raise ProbeErrored(str(fault)) from fault
        except ValueError as error:
            raise ProbeErrored(str(error)) from error
        return True, ""


def _dial(authority: str, error: OSError) -> str:
    number = error.errno
    if number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT):
        return f"dial tcp {authority}: connect: {os.strerror(number).lower()}"
    if number == errno.ECONNRESET:
        return f"read tcp {authority}: read: connection reset by peer"
    return f"dial tcp {authority}: {str(error).lower()}"


async def _tcp(action: core_v1.TCPSocketAction, target: Target, timeout: float) -> Result:
    port = probes.port_number(action.port, target.container)
    host = action.host or target.ip
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return False, f"dial tcp {authority}: i/o timeout"
    except OSError as error:
        return False, _dial(authority, error)
    writer.close()
    return True, ""


#: Answers of grpc.health.v1 by number.
_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def _grpc(action: core_v1.GRPCAction, target: Target, timeout: float) -> Result:
    """grpc.health.v1 Check; its two messages are one field each, not worth generated code."""
    authority = f"[{target.ip}]:{action.port}" if ":" in target.ip else f"{target.ip}:{action.port}"
    service = (action.service or "").encode()
    request = b"\x0a" + bytes([len(service)]) + service if service else b""
    options = [("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", USER_AGENT)]
    async with grpc.aio.insecure_channel(authority, options=options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            answer: bytes = await check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return False, _grpc_problem(error, authority, timeout)
    number = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    if number == 1:
        return True, "service healthy"
    word = _HEALTH[number] if number < len(_HEALTH) else str(number)
    return False, f'service unhealthy (responded with "{word}")'


def _grpc_problem(error: grpc.aio.AioRpcError, authority: str, timeout: float) -> str:
    match error.code():
        case grpc.StatusCode.UNIMPLEMENTED:
            protocol = "the grpc health protocol (grpc.health.v1.Health)"
            return f"error: this server does not implement {protocol}: {error.details()}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"timeout: health rpc did not complete within {times.format_duration(timeout)}"
        case grpc.StatusCode.UNAVAILABLE:
            wait = times.format_duration(timeout)
            return f"timeout: failed to connect service {quote(authority)} within {wait}: context deadline exceeded"
    return f"error: health rpc probe failed: {error.details()}"
