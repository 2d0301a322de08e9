"""Exec: a command's streams over every protocol, its end, and what a client's leaving does to it."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.runtime.conftest import Node, Spawned, clean, eventually, running
from tests.runtime.streaming import FakeApi, open_spdy, open_websocket, request, websocket_headers
from tiphys.runtime import execsync
from tiphys.runtime.cri import api_pb2
from tiphys.wire import channels

pytestmark = pytest.mark.root


@pytest.fixture
async def container(node: Node) -> str:
    return await node.started(await node.sandbox(), "sleep 1000")


async def url(node: Node, container: str, *command: str, **fields: Any) -> str:
    fields = {"stdout": True, "stderr": not fields.get("tty"), **fields}
    return str((await node.cri.Exec(api_pb2.ExecRequest(container_id=container, cmd=command, **fields))).url)


@pytest.mark.parametrize("protocol", [p for p in channels.REMOTE_COMMAND if p])
async def test_every_websocket_protocol(node: Node, container: str, protocol: str) -> None:
    client = await open_websocket(await url(node, container, "sh", "-c", "echo out; echo err >&2; exit 3"), protocol)
    code, message = await client.finish()
    assert client.said[channels.STDOUT] == b"out\n"
    assert client.said[channels.STDERR] == b"err\n"
    expected = "command terminated with non-zero exit code: exit status 3"
    assert message == expected
    assert code == (3 if client.channels.has_status else -1)
    assert client.closed == 1000


async def test_a_client_that_names_no_protocol(node: Node, container: str) -> None:
    client = await open_websocket(await url(node, container, "echo", "hi"))
    async with asyncio.timeout(10):
        while await client.step():
            pass
    assert client.said == {channels.STDOUT: b"hi\n"}


async def test_input_can_end_while_output_goes_on(node: Node, container: str) -> None:
    data = os.urandom(3_000_000)
    client = await open_websocket(await url(node, container, "cat", stdin=True), channels.V5)

    async def send() -> None:
        for start in range(0, len(data), 32_768):
            client.send(channels.STDIN, data[start : start + 32_768])
            await client.writer.drain()
        client.close_channel(channels.STDIN)

    sending = asyncio.create_task(send())
    assert await client.finish() == (0, "")
    await sending
    assert client.said[channels.STDOUT] == data


async def test_spdy_with_input(node: Node, container: str) -> None:
    script = "echo err >&2; wc -c; exit 7"
    client = await open_spdy(await url(node, container, "sh", "-c", script, stdin=True), channels.V4)
    for name in ("error", "stdin", "stdout", "stderr"):
        client.open(name)
    stdin = next(number for number, name in client.streams.items() if name == "stdin")
    client.writer.write(client.machine.data(stdin, b"x" * 100_000))
    client.writer.write(client.machine.data(stdin, b"", fin=True))
    await client.until_ended("error", "stdout", "stderr")
    assert (client.said["stdout"], client.said["stderr"]) == (b"100000\n", b"err\n")
    assert channels.parse_exit(client.said["error"])[0] == 7


async def test_a_terminal_and_its_size(node: Node, container: str) -> None:
    script = "tty; stty size; read line; stty size; echo got $line"
    where = await url(node, container, "sh", "-c", script, tty=True, stdin=True)
    client = await open_websocket(where, channels.V5)
    await client.until(channels.STDOUT, b"\n")
    client.send(channels.RESIZE, channels.encode_size(132, 43))
    client.send(channels.STDIN, b"typed\n")
    assert await client.finish() == (0, "")
    text = client.said[channels.STDOUT]
    assert text.startswith(b"/dev/pts/0\r\n")
    assert b"43 132\r\ngot typed\r\n" in text
    assert channels.STDERR not in client.said


async def test_typing_an_interrupt_ends_the_command(node: Node, container: str) -> None:
    where = await url(node, container, "sh", "-c", "echo ready; sleep 1000", tty=True, stdin=True)
    client = await open_websocket(where, channels.V4)
    await client.until(channels.STDOUT, b"ready")
    client.send(channels.STDIN, b"\x03")
    assert (await client.finish())[0] == 130


async def test_what_cannot_be_executed(node: Node, container: str) -> None:
    client = await open_websocket(await url(node, container, "nosuch"), channels.V5)
    code, message = await client.finish()
    assert code == -1
    assert message == (
        "Internal error occurred: error executing command in container: failed to exec in container: "
        'exec: "nosuch": executable file not found in $PATH'
    )


async def test_a_client_that_leaves_takes_the_command_with_it(node: Node, container: str) -> None:
    client = await open_websocket(await url(node, container, "sh", "-c", "echo ready; sleep 4321 & wait"), channels.V5)
    await client.until(channels.STDOUT, b"ready")
    assert "4321" in (await node.execute(container, "ps"))[1]
    client.writer.transport.abort()
    processes = ""
    async with asyncio.timeout(5):
        while "4321" in (processes := (await node.execute(container, "ps"))[1]) or not processes:
            pass


async def test_output_that_nobody_reads_is_bounded_and_dies_with_the_client(node: Node, container: str) -> None:
    client = await open_websocket(await url(node, container, "yes"), channels.V5)
    await client.until(channels.STDOUT, b"y")
    client.writer.transport.abort()
    async with asyncio.timeout(5):
        while "yes" in (await node.execute(container, "ps"))[1]:
            pass


async def test_a_child_that_keeps_the_output_does_not_keep_the_client(node: Node, container: str) -> None:
    async with asyncio.timeout(5):
        client = await open_websocket(await url(node, container, "sh", "-c", "sleep 1000 & echo done"), channels.V5)
        assert await client.finish() == (0, "")
    assert client.said[channels.STDOUT] == b"done\n"


async def test_nothing_is_kept_of_commands(node: Node, container: str) -> None:
    async def run(index: int) -> None:
        client = await open_websocket(await url(node, container, "echo", str(index)), channels.V5)
        assert await client.finish() == (0, "")

    await run(0)
    before = (len(os.listdir("/proc/self/fd")), node.spawner.descriptors())
    for index in range(20):
        await run(index)
    await asyncio.gather(*(node.execute(container, "true") for _ in range(10)))
    listed = await node.runtime.spawner.call("list")
    assert [p["id"] for p in listed["processes"] if p["id"].startswith("exec-")] == []
    await eventually(lambda: (len(os.listdir("/proc/self/fd")), node.spawner.descriptors()) <= before)


async def test_a_lost_spawner_does_not_keep_the_runtime(folder: Path, spawner: Spawned, busybox: Path) -> None:
    async with running(folder, spawner) as node:
        await node.load(busybox)
        container = await node.started(await node.sandbox(), "sleep 1000")
        client = await open_websocket(await url(node, container, "sh", "-c", "echo ready; sleep 1000"), channels.V5)
        await client.until(channels.STDOUT, b"ready")
        spawner.process.kill()
        with pytest.raises(ConnectionError):
            await node.runtime.wait()
        leaving = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - leaving < 5
    client.writer.close()
    clean(folder)


# Addresses


async def test_a_token_is_good_once(node: Node, container: str) -> None:
    where = await url(node, container, "true")
    assert where.startswith("http://127.0.0.1:")
    client = await open_websocket(where, channels.V5)
    await client.finish()
    for again in (where, where.replace("/exec/", "/attach/"), where[:-1]):
        head, rest, _, writer = await request(again, websocket_headers(channels.V5))
        writer.close()
        assert (head.status, rest) == (404, b"404: Page Not Found\n")


async def test_a_token_is_for_its_own_verb(node: Node, container: str) -> None:
    where = await url(node, container, "true")
    head, _, _, writer = await request(where.replace("/exec/", "/portforward/"), websocket_headers(channels.V4))
    writer.close()
    assert head.status == 404


async def test_handshakes_that_are_refused(node: Node, container: str) -> None:
    for headers, status, text in (
        ([], 400, b"missing upgrade headers"),
        (websocket_headers("v9.channel.k8s.io"), 403, b"bad websocket protocol"),
        ([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")], 400, b"X-Stream-Protocol-Version is required"),
        ([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", "v9")], 403, b"negotiate"),
        ([("Connection", "Upgrade"), ("Upgrade", "h2c")], 400, b"h2c"),
    ):
        head, rest, _, writer = await request(await url(node, container, "true"), headers)
        writer.close()
        assert (head.status, text in rest) == (status, True), rest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tty": True, "stderr": True}, "tty and stderr cannot both be true"),
        ({"stdout": False, "stderr": False}, "one of stdin, stdout, or stderr must be set"),
    ],
)
async def test_requests_that_make_no_sense(node: Node, container: str, fields: dict[str, bool], message: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await url(node, container, "true", **fields)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, message)


# Collected output


async def test_exec_sync(node: Node, container: str) -> None:
    assert await node.execute(container, "sh", "-c", "echo out; echo err >&2; exit 4") == (4, "out\n", "err\n")
    assert (await node.execute(container, "sh", "-c", "kill -9 $$"))[0] == 137


async def test_exec_sync_that_takes_too_long_is_ended(node: Node, container: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.execute(container, "sleep", "4321", timeout=1)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert 'command "sleep 4321" timed out' in str(raised.value.details())
    assert "4321" not in (await node.execute(container, "ps"))[1]


async def test_exec_sync_keeps_a_bounded_part_of_the_output(node: Node, container: str) -> None:
    code, out, _ = await node.execute(container, "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")
    assert (code, len(out)) == (0, execsync.OUTPUT_BYTES_MAX)


async def test_exec_needs_a_running_container(node: Node) -> None:
    container = await node.create(await node.sandbox(), "true")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await node.execute(container, "true")
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.details() == f"container {container} is in CONTAINER_CREATED state, not running"


# A stock kubectl


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("switch", ["true", "false"], ids=["websocket", "spdy"])
async def test_kubectl(node: Node, container: str, switch: str, tmp_path: Path) -> None:
    async def relay(_: str, query: dict[str, list[str]]) -> str:
        flags = {name: query.get(name) == ["true"] for name in ("stdin", "stdout", "stderr", "tty")}
        return await url(node, container, *query["command"], **flags)

    data = b"some input\n" * 100_000
    async with FakeApi(relay).serve() as server:
        process = await asyncio.create_subprocess_exec(
            "kubectl", f"--server={server}", f"--cache-dir={tmp_path}", "exec", "-i", "p", "--",
            "sh", "-c", "tr a-z A-Z; echo err >&2; exit 3",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": switch},
        )  # fmt: skip
        async with asyncio.timeout(20):
            out, err = await process.communicate(data)
    assert (process.returncode, out) == (3, data.upper()), err
    assert b"err\n" in err
    assert b"command terminated with exit code 3" in err
