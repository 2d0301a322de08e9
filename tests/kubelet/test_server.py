"""The kubelet's server, asked over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.kubelet.conftest import Node, container, is_ready


def log_path(node: Node, name: str = "main", attempt: int = 0) -> Path:
    sandbox = next(iter(node.runtime.sandboxes.values()))
    return Path(sandbox.config.log_directory) / name / f"{attempt}.log"


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        for number, line in enumerate(lines):
            file.write(f"2026-01-01T00:00:{number:02}.000000000Z stdout F {line}\n")


async def get(node: Node, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{node.kubelet.server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def running(node: Node, **fields: Any) -> None:
    await node.create(containers=[container(**fields)])
    await node.until(is_ready)


async def test_log_options(node: Node) -> None:
    await running(node)
    path = log_path(node)
    write(path, "one", "two", "three")
    with path.open("a") as file:
        file.write("2026-01-01T00:00:03.000000000Z stderr P half\n2026-01-01T00:00:04.000000000Z stderr F  whole\n")
    base = "/containerLogs/default/web/main"
    assert await get(node, base) == (200, "one\ntwo\nthree\nhalf whole\n")
    assert await get(node, f"{base}?tailLines=1") == (200, " whole\n")
    assert await get(node, f"{base}?tailLines=0") == (200, "")
    assert await get(node, f"{base}?limitBytes=5") == (200, "one\nt")
    assert await get(node, f"{base}?sinceTime=2026-01-01T00:00:02Z") == (200, "three\nhalf whole\n")
    assert await get(node, f"{base}?sinceSeconds=1") == (200, "")
    stamped = (await get(node, f"{base}?timestamps=true"))[1]
    assert stamped.splitlines()[0] == "2026-01-01T00:00:00.000000000Z one"
    assert stamped.splitlines()[3] == "2026-01-01T00:00:03.000000000Z half whole"


async def test_follow_gives_lines_as_they_come_and_ends_with_the_container(node: Node) -> None:
    await running(node, name="main")
    path = log_path(node)
    write(path, "one")
    url = f"http://127.0.0.1:{node.kubelet.server.port}/containerLogs/default/web/main?follow=true"
    async with aiohttp.ClientSession() as session, session.get(url) as answer, asyncio.timeout(5):
        assert await answer.content.readline() == b"one\n"
        write(path, "two")
        assert await answer.content.readline() == b"two\n"
        path.rename(path.with_suffix(".log.1"))
        write(path, "after rotation")
        assert await answer.content.readline() == b"after rotation\n"
        write(path, "last")
        node.runtime.stubborn.add("none")
        await node.client.of(type(await node.get())).delete("web", "default")
        assert await answer.content.read() == b"last\n"


async def test_previous_log(node: Node) -> None:
    await running(node)
    status, text = await get(node, "/containerLogs/default/web/main?previous=true")
    assert (status, text) == (400, 'previous terminated container "main" in pod "web" not found')
    write(log_path(node), "before")
    node.runtime.exit("main", 1)
    await node.until(lambda p: is_ready(p) and p.status.containerStatuses[0].restartCount == 1)
    assert await get(node, "/containerLogs/default/web/main?previous=true") == (200, "before\n")
    assert await get(node, "/containerLogs/default/web/main") == (200, "")


async def test_previous_log_while_waiting_to_restart(node: Node) -> None:
    await running(node)
    node.runtime.exit("main", 1)
    await node.until(lambda p: is_ready(p) and p.status.containerStatuses[0].restartCount == 1)
    write(log_path(node, attempt=1), "second")
    node.runtime.exit("main", 1)
    await node.until(lambda p: p.status.containerStatuses[0].state.waiting)
    assert await get(node, "/containerLogs/default/web/main?previous=true") == (200, "second\n")
    assert await get(node, "/containerLogs/default/web/main") == (200, "second\n")


async def test_what_is_not_there(node: Node) -> None:
    assert (await get(node, "/containerLogs/default/nope/main"))[0] == 404
    assert (await get(node, "/nonsense"))[0] == 404
    await node.create(containers=[{"name": "main", "image": "example.test/none:1"}])
    await node.until(lambda p: p.status.containerStatuses)
    status, text = await get(node, "/containerLogs/default/web/main")
    assert status == 400 and text.startswith('container "main" in pod "web" is waiting to start: ')


async def test_node_wide_paths(node: Node) -> None:
    await running(node)
    assert await get(node, "/healthz") == (200, "ok")
    assert '"name":"web"' in (await get(node, "/pods"))[1]
    assert "clusterDomain" in (await get(node, "/configz"))[1]
    assert "kubelet_running_pods" in (await get(node, "/metrics"))[1]


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """A runtime's streaming server: switches protocols, then says everything back."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_exec_is_relayed_byte_for_byte(node: Node) -> None:
    await running(node)
    async with echo_server() as port:
        node.runtime.stream_url = f"http://127.0.0.1:{port}/exec/token"
        reader, writer = await asyncio.open_connection("127.0.0.1", node.kubelet.server.port)
        writer.write(
            b"POST /exec/default/web/main?command=cat&command=-&input=1&output=1&error=1 HTTP/1.1\r\n"
            b"Host: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nearly"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(5) == b"early"
        writer.write(bytes(range(256)))
        assert await reader.readexactly(256) == bytes(range(256))
        writer.close()
    [request] = node.runtime.execs
    assert list(request.cmd) == ["cat", "-"] and request.stdin and request.stdout and request.stderr
