"""Port-forward into a sandbox's network namespace, over every protocol."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.runtime.conftest import Node, eventually
from tests.runtime.streaming import FakeApi, open_spdy, open_websocket, request, websocket_headers
from tiphys.runtime.cri import api_pb2
from tiphys.wire import channels

pytestmark = pytest.mark.root
#: Answers each connection with what it sent, and then hangs up.
SERVER = "echo ready; exec nc -ll -p 7777 -e cat"


async def url(node: Node, sandbox: str, *ports: int) -> str:
    request = api_pb2.PortForwardRequest(pod_sandbox_id=sandbox, port=ports)
    return str((await node.cri.PortForward(request)).url)


@pytest.fixture
async def sandbox(node: Node) -> str:
    made = await node.sandbox()
    await node.started(made, SERVER)
    answer = await node.cri.ListContainers(
        api_pb2.ListContainersRequest(filter=api_pb2.ContainerFilter(pod_sandbox_id=made))
    )
    pid = await node.pid(answer.containers[0].id)
    await eventually(lambda: listens(pid))
    return made


def listens(pid: int) -> bool:
    return any(":1E61" in Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))


def namespaces() -> set[str]:
    """Network namespaces of all our threads."""
    return {os.readlink(f"/proc/self/task/{task}/ns/net") for task in os.listdir("/proc/self/task")}


async def test_spdy(node: Node, sandbox: str) -> None:
    client = await open_spdy(await url(node, sandbox), channels.SPDY_PORT_FORWARD)
    data = os.urandom(1_000_000)
    client.open("error", port="7777", requestID="0")
    number = client.open("data", port="7777", requestID="0")
    client.writer.write(client.machine.data(number, data))
    client.writer.write(client.machine.data(number, b"", fin=True))
    await client.until_ended("data", "error")
    assert client.said["data"] == data
    assert client.said["error"] == b""
    client.writer.close()


async def test_a_port_where_nobody_listens(node: Node, sandbox: str) -> None:
    client = await open_spdy(await url(node, sandbox), channels.SPDY_PORT_FORWARD)
    client.open("error", port="81", requestID="0")
    client.open("data", port="81", requestID="0")
    await client.until_ended("data", "error")
    text = client.said["error"].decode()
    assert text.startswith(f"error forwarding port 81 to pod {sandbox}, uid : failed to execute portforward in ")
    assert "IPv4: dial tcp4 127.0.0.1:81: connect: connection refused" in text
    client.writer.close()


async def test_the_old_websocket_protocol(node: Node, sandbox: str) -> None:
    client = await open_websocket(await url(node, sandbox, 7777, 81), channels.V4)
    client.send(0, b"hello")
    await client.until(0, b"hello")
    await client.until(3, b"connection refused")
    assert client.said[0] == (7777).to_bytes(2, "little") + b"hello"
    assert client.said[1] == (7777).to_bytes(2, "little")
    assert client.said[2] == (81).to_bytes(2, "little")
    client.writer.write(client.machine.close())
    while await client.step():
        pass
    client.writer.close()
    assert client.closed == 1000


async def test_ports_may_stand_in_the_url(node: Node, sandbox: str) -> None:
    client = await open_websocket(await url(node, sandbox) + "?ports=7777", channels.V4)
    client.send(0, b"hello")
    await client.until(0, b"hello")
    client.writer.transport.abort()
    for query, text in (("", b"is required"), ("?ports=x", b'unable to parse "x"'), ("?ports=70000", b"70000")):
        head, rest, _, writer = await request(await url(node, sandbox) + query, websocket_headers(channels.V4))
        writer.close()
        assert (head.status, text in rest) == (400, True), rest


async def test_of_a_sandbox_in_the_hosts_network(node: Node) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"host")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sandbox = await node.sandbox("hostly", network=api_pb2.NODE)
    client = await open_websocket(await url(node, sandbox, port), channels.V4)
    await client.until(0, b"host")
    async with asyncio.timeout(5):
        while await client.step():
            pass
    assert client.closed == 1000
    client.writer.close()
    server.close()


async def test_no_thread_and_no_descriptor_stays(node: Node, sandbox: str) -> None:
    own = os.readlink("/proc/self/ns/net")
    before = 0
    for index in range(6):
        client = await open_websocket(await url(node, sandbox, 7777), channels.V4)
        client.send(0, b"x")
        await client.until(0, b"x")
        client.writer.write(client.machine.close())
        while await client.step():
            pass
        client.writer.close()
        await client.writer.wait_closed()
        if index == 1:
            before = len(os.listdir("/proc/self/fd"))
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
    await eventually(lambda: namespaces() == {own})


async def test_it_needs_a_ready_sandbox(node: Node) -> None:
    sandbox = await node.sandbox("gone")
    where = await url(node, sandbox)
    await node.remove_sandbox(sandbox)
    head, _, _, writer = await request(where, websocket_headers(channels.V4))
    writer.close()
    assert head.status == 500


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("switch", ["true", "false"], ids=["tunnel", "spdy"])
async def test_kubectl(node: Node, sandbox: str, switch: str, tmp_path: Path) -> None:
    async def relay(_: str, __: dict[str, list[str]]) -> str:
        return await url(node, sandbox)

    async with FakeApi(relay, ports=[{"containerPort": 7777}]).serve() as server:
        process = await asyncio.create_subprocess_exec(
            "kubectl", f"--server={server}", f"--cache-dir={tmp_path}", "port-forward", "pod/p", ":7777",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECTL_PORT_FORWARD_WEBSOCKETS": switch},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(20):
                line = (await process.stdout.readline()).decode()
                port = int(line.split(" -> ")[0].rpartition(":")[2])
                for _ in range(3):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    data = os.urandom(300_000)
                    writer.write(data)
                    assert await reader.readexactly(len(data)) == data
                    writer.write_eof()
                    assert await reader.read() == b""
                    writer.close()
        finally:
            process.kill()
            await process.communicate()
