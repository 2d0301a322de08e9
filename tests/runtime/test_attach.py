"""Attach: joining a running container's streams, and leaving them without harm."""

import asyncio
from typing import Any

import pytest

from tests.runtime.conftest import Node
from tests.runtime.streaming import open_spdy, open_websocket
from tiphys.runtime.cri import api_pb2
from tiphys.wire import channels

pytestmark = pytest.mark.root


async def url(node: Node, container: str, **fields: Any) -> str:
    fields = {"stdout": True, "stderr": not fields.get("tty"), **fields}
    return str((await node.cri.Attach(api_pb2.AttachRequest(container_id=container, **fields))).url)


async def test_output_from_now_on(node: Node) -> None:
    container = await node.started(await node.sandbox(), "read x; echo out $x; echo err $x >&2; exit 3", stdin=True)
    client = await open_websocket(await url(node, container, stdin=True), channels.V5)
    client.send(channels.STDIN, b"typed\n")
    assert await client.finish() == (0, "")
    assert client.said[channels.STDOUT] == b"out typed\n"
    assert client.said[channels.STDERR] == b"err typed\n"
    assert (await node.ended(container)).exit_code == 3
    assert sorted(node.output().splitlines()) == ["err typed", "out typed"]


async def test_a_client_may_come_and_go(node: Node) -> None:
    script = "while read x; do echo got $x; done; echo end"
    container = await node.started(await node.sandbox(), script, stdin=True)
    for text in ("one", "two"):
        client = await open_websocket(await url(node, container, stdin=True), channels.V5)
        client.send(channels.STDIN, f"{text}\n".encode())
        await client.until(channels.STDOUT, f"got {text}\n".encode())
        client.writer.transport.abort()
    assert (await node.status(container)).state == api_pb2.CONTAINER_RUNNING
    client = await open_websocket(await url(node, container, stdin=True), channels.V5)
    client.close_channel(channels.STDIN)
    # Its input stays open for the next client, so this one has nothing to wait for.
    assert await client.finish() == (0, "")
    assert (await node.status(container)).state == api_pb2.CONTAINER_RUNNING


@pytest.mark.parametrize("leaves", [False, True])
async def test_input_that_is_given_once_ends_with_its_client(node: Node, leaves: bool) -> None:
    script = "cat; echo end"
    container = await node.started(await node.sandbox(), script, stdin=True, stdin_once=True)
    client = await open_websocket(await url(node, container, stdin=True), channels.V5)
    client.send(channels.STDIN, b"text\n")
    await client.until(channels.STDOUT, b"text\n")
    if leaves:
        client.writer.transport.abort()
    else:
        client.close_channel(channels.STDIN)
        assert await client.finish() == (0, "")
        assert client.said[channels.STDOUT] == b"text\nend\n"
    assert (await node.ended(container)).exit_code == 0


async def test_a_terminal(node: Node) -> None:
    container = await node.started(await node.sandbox(), "read x; stty size; echo got $x", stdin=True, tty=True)
    client = await open_websocket(await url(node, container, stdin=True, tty=True), channels.V5)
    client.send(channels.RESIZE, channels.encode_size(100, 30))
    client.send(channels.STDIN, b"typed\n")
    assert await client.finish() == (0, "")
    assert client.said[channels.STDOUT] == b"typed\r\n30 100\r\ngot typed\r\n"
    assert (await node.ended(container)).exit_code == 0


async def test_over_spdy(node: Node) -> None:
    container = await node.started(await node.sandbox(), "read x; echo out $x; exec sleep 1000", stdin=True)
    client = await open_spdy(await url(node, container, stdin=True, stderr=False), channels.V4)
    numbers = {name: client.open(name) for name in ("error", "stdin", "stdout")}
    client.writer.write(client.machine.data(numbers["stdin"], b"typed\n", fin=True))
    await client.until_ended("error", "stdout")
    assert client.said["stdout"] == b"out typed\n" or client.said["stdout"] == b""
    assert channels.parse_exit(client.said["error"]) == (0, "")


async def test_a_slow_client_does_not_hold_up_the_container(node: Node) -> None:
    script = "read x; yes 0123456789abcdef | head -c 30000000; echo end >&2"
    container = await node.started(await node.sandbox(), script, stdin=True)
    client = await open_websocket(await url(node, container, stdin=True), channels.V5)
    client.send(channels.STDIN, b"go\n")
    async with asyncio.timeout(20):
        assert (await node.ended(container, 20)).exit_code == 0
    client.writer.transport.abort()
