"""Streams to nodes and proxied requests, over real TLS on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.apiserver.secure import Secure, secured
from tiphys.apiserver import pki
from tiphys.apiserver.relay.proxies import split_path
from tiphys.wire import http1

Handler = Callable[[http1.Head, bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def node_server(files: pki.Pki | None, handler: Handler) -> AsyncIterator[int]:
    """A server that reads one head and lets ``handler`` answer; as a kubelet's if it is given certificates."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        parser = http1.HeadParser("request")
        head = None
        while head is None:
            head = parser.receive(await reader.read(65536))
        try:
            await handler(head, parser.rest, reader, writer)
        finally:
            writer.close()

    tls = None
    if files is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.ca))
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(files.kubelet_server.cert, files.kubelet_server.key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with secured(tmp_path) as running:
        yield running


async def with_pod(secure: Secure, port: int, *containers: str) -> None:
    await secure.add_node("n1", port)
    await secure.add_pod("web", node="n1", containers=containers or ("c",))


async def test_logs_are_streamed(secure: Secure) -> None:
    asked: list[str] = []

    async def kubelet(
        head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked.append(head.target)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in (b"one\n", b"two\n" * 50_000):
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with node_server(secure.files, kubelet) as port:
        await with_pod(secure, port)
        path = "/api/v1/namespaces/default/pods/web/log"
        query = {"tailLines": "5", "follow": "true", "limitBytes": "9"}
        async with secure.session.get(secure.url(path), params=query) as answer:
            assert answer.status == 200
            assert await answer.read() == b"one\n" + b"two\n" * 50_000
        assert asked == ["/containerLogs/default/web/c?follow=true&tailLines=5&limitBytes=9"]


async def test_refusals_of_the_kubelet_keep_their_words(secure: Secure) -> None:
    async def kubelet(
        head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        text = b'container "c" in pod "web" is waiting to start: ContainerCreating'
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()

    async with node_server(secure.files, kubelet) as port:
        await with_pod(secure, port)
        status, found = await secure.call("GET", "/api/v1/namespaces/default/pods/web/log")
        assert (status, found["reason"]) == (400, "BadRequest")
        assert found["message"] == 'container "c" in pod "web" is waiting to start: ContainerCreating'


async def test_exec_upgrades_and_copies_both_ways(secure: Secure) -> None:
    heads: list[http1.Head] = []

    async def kubelet(
        head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        heads.append(head)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ")
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()

    async with node_server(secure.files, kubelet) as port:
        await with_pod(secure, port)
        reader, writer = await secure.connect()
        path = "/api/v1/namespaces/default/pods/web/exec?command=sh&command=-c&stdin=true&stdout=true&tty=true"
        lines = [
            ("Host", "x"),
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", "v5.channel.k8s.io"),
            ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
            ("Content-Length", "0"),
        ]
        writer.write(http1.encode_request("POST", path, lines))
        parser = http1.HeadParser("response")
        head = None
        while head is None:
            head = parser.receive(await reader.read(65536))
        assert head.status == 101
        assert head.upgrades_to("SPDY/3.1")
        received = parser.rest
        big = b"x" * 3_000_000
        writer.write(big)
        wanted = b"hello " + big.upper()
        while len(received) < len(wanted):
            received += await reader.read(1 << 20)
        assert received == wanted
        writer.close()
    target = "/exec/default/web/c?input=1&output=1&error=1&tty=1&command=sh&command=-c"
    assert heads[0].target == target
    versions = [value for name, value in heads[0].lines if name == "x-stream-protocol-version"]
    assert versions == ["v5.channel.k8s.io", "v4.channel.k8s.io"]


async def test_container_is_chosen_in_kubernetes_words(secure: Secure) -> None:
    await with_pod(secure, 1, "a", "b")
    path = "/api/v1/namespaces/default/pods/web/log"
    status, found = await secure.call("GET", path)
    assert (status, found["message"]) == (400, "a container name must be specified for pod web, choose one of: [a b]")
    status, found = await secure.call("GET", path, query={"container": "z"})
    assert (status, found["message"]) == (400, "container z is not valid for pod web")
    status, found = await secure.call("GET", path, query={"container": "a", "tailLines": "-1", "sinceSeconds": "0"})
    assert status == 422
    assert [cause["field"] for cause in found["details"]["causes"]] == ["sinceSeconds", "tailLines"]
    status, found = await secure.call("GET", "/api/v1/namespaces/default/pods/nope/log")
    assert (status, found["message"]) == (404, 'pods "nope" not found')


async def test_a_node_that_is_away_is_named(secure: Secure) -> None:
    await with_pod(secure, 1)
    status, found = await secure.call("GET", "/api/v1/namespaces/default/pods/web/log")
    assert status == 500
    assert "dial tcp 127.0.0.1:1: connect: connection refused" in found["message"]


async def test_a_kubelet_of_another_cluster_is_not_trusted(secure: Secure, tmp_path: Path) -> None:
    async def kubelet(
        head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        raise AssertionError("the request must not arrive")

    foreign = pki.ensure(tmp_path / "other", pki.PkiOptions("n1"))
    async with node_server(foreign, kubelet) as port:
        await with_pod(secure, port)
        status, found = await secure.call("GET", "/api/v1/namespaces/default/pods/web/log")
        assert status == 500
        assert "tls" in found["message"]


async def test_pods_and_services_are_proxied(secure: Secure) -> None:
    seen: list[tuple[str, str, dict[str, str]]] = []

    async def web(head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((head.method, head.target, head.headers))
        writer.write(b"HTTP/1.1 201 Created\r\nX-Own: yes\r\n\r\n" + rest)
        await writer.drain()

    async with node_server(None, web) as port:
        await with_pod(secure, 1)
        await secure.pod_status("web", {"phase": "Running", "podIP": "127.0.0.1"})
        url = secure.url(f"/api/v1/namespaces/default/pods/web:{port}/proxy/a%20b?x=1")
        async with secure.session.post(url, data=b"body", headers={"Authorization": "Basic Zm9v"}) as answer:
            assert (answer.status, await answer.read(), answer.headers["X-Own"]) == (201, b"body", "yes")
        method, target, headers = seen[0]
        assert (method, target) == ("POST", "/a%20b?x=1")
        assert "authorization" not in headers
        url = secure.url("/api/v1/namespaces/default/pods/web/proxy")
        async with secure.session.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, "/api/v1/namespaces/default/pods/web/proxy/")
        status, found = await secure.call("GET", "/api/v1/namespaces/default/services/none/proxy/")
        assert (status, found["message"]) == (404, 'services "none" not found')


@pytest.mark.parametrize(
    ("path", "namespaced", "prefix", "rest"),
    [
        (
            "/api/v1/namespaces/proxy/pods/proxy/proxy/proxy/x",
            True,
            "/api/v1/namespaces/proxy/pods/proxy/proxy",
            "/proxy/x",
        ),
        ("/api/v1/namespaces/a/pods/b/proxy", True, "/api/v1/namespaces/a/pods/b/proxy", ""),
        ("/api/v1/namespaces/a/pods/b/proxy/", True, "/api/v1/namespaces/a/pods/b/proxy", "/"),
        ("/api/v1/nodes/n/proxy/a/b/", False, "/api/v1/nodes/n/proxy", "/a/b/"),
    ],
)
def test_path_behind_a_proxy(path: str, namespaced: bool, prefix: str, rest: str) -> None:
    assert split_path(path, namespaced=namespaced) == (prefix, rest)


async def test_streams_need_permission(secure: Secure) -> None:
    await with_pod(secure, 1)
    headers = {"Impersonate-User": "jane"}
    async with secure.session.get(secure.url("/api/v1/namespaces/default/pods/web/log"), headers=headers) as answer:
        found = await answer.json()
    assert answer.status == 403
    assert found["message"] == (
        'pods "web" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "default"'
    )


async def test_a_client_that_cannot_upgrade_is_told(secure: Secure) -> None:
    await with_pod(secure, 1)
    status, found = await secure.call("POST", "/api/v1/namespaces/default/pods/web/exec", query={"command": "ls"})
    assert (status, found["message"]) == (400, "Upgrade request required")
    assert isinstance(secure.session, aiohttp.ClientSession)
