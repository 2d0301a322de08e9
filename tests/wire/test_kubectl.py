"""The machines against a stock kubectl: exec and port-forward, over WebSocket and over SPDY."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tiphys.wire import channels, http1, spdy, websocket

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")

PODS = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "create"]}
ANSWERS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [PODS]},
    "/api/v1/namespaces/default/pods/p": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    },
}
Talk = Callable[[http1.Head, bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def api(talk: Talk) -> AsyncIterator[str]:
    """A server that knows one Pod and hands upgraded connections to ``talk``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        with contextlib.suppress(ConnectionError):
            while (head := await read_head(reader, rest)) is not None:
                found, rest = head
                if "upgrade" in found.headers:
                    await talk(found, rest, reader, writer)
                    break
                writer.write(answer(found))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def read_head(reader: asyncio.StreamReader, data: bytes) -> tuple[http1.Head, bytes] | None:
    parser = http1.HeadParser("request")
    while (head := parser.receive(data)) is None:
        if not (data := await reader.read(4096)):
            return None
    return head, parser.rest


def answer(head: http1.Head) -> bytes:
    found = ANSWERS.get(head.target.partition("?")[0])
    body = json.dumps(found or {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return http1.encode_response(200 if found else 404, "OK", headers) + body


async def kubectl(
    url: str, home: Path, *arguments: str, stdin: bytes = b"", **env: str
) -> tuple[int | None, bytes, bytes]:
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        f"--server={url}",
        f"--cache-dir={home}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": "/dev/null", **env},
    )
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, out, err


def websocket_answer(head: http1.Head, protocol: str) -> bytes:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": websocket.accept_key(head.headers["sec-websocket-key"]),
        "Sec-WebSocket-Protocol": protocol,
    }
    return http1.encode_response(101, "Switching Protocols", headers)


async def exec_over_websocket(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Upper-cases its input, then exits with 3."""
    protocol = channels.negotiate(head.all("sec-websocket-protocol"), channels.REMOTE_COMMAND)
    assert protocol == channels.V5
    writer.write(websocket_answer(head, protocol))
    connection, machine = websocket.Connection(), channels.Channels(protocol)
    writer.write(connection.send(machine.encode(channels.STDERR, b"hello\n")))
    while rest or (rest := await reader.read(4096)):
        for event in connection.receive(rest):
            if not isinstance(event, websocket.Message):
                continue
            frame = machine.decode(event.data)
            if frame.close:
                writer.write(connection.send(machine.encode(channels.ERROR, channels.exit_status(3))))
                writer.write(connection.close())
                return
            if frame.channel == channels.STDIN:
                writer.write(connection.send(machine.encode(channels.STDOUT, frame.data.upper())))
        rest = b""


async def exec_over_spdy(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The same with one stream for each."""
    assert head.upgrades_to("SPDY/3.1")
    protocol = channels.negotiate(head.all("x-stream-protocol-version"), channels.SPDY_REMOTE_COMMAND)
    assert protocol == channels.V4
    upgrade = {"Upgrade": "SPDY/3.1", "Connection": "Upgrade", "X-Stream-Protocol-Version": protocol}
    writer.write(http1.encode_response(101, "Switching Protocols", upgrade))
    connection = spdy.Connection(client=False)
    streams: dict[str, int] = {}
    while rest or (rest := await reader.read(4096)):
        for event in connection.receive(rest):
            if isinstance(event, spdy.StreamOpened):
                streams[event.headers["streamtype"]] = event.stream
                writer.write(connection.reply(event.stream))
                if event.headers["streamtype"] == "stderr":
                    writer.write(connection.data(event.stream, b"hello\n"))
            elif isinstance(event, spdy.DataReceived) and event.stream == streams.get("stdin"):
                writer.write(connection.data(streams["stdout"], event.data.upper()))
                if event.fin:
                    writer.write(connection.data(streams["error"], channels.exit_status(3), fin=True))
                    for name in ("stdout", "stderr"):
                        writer.write(connection.data(streams[name], b"", fin=True))
            elif isinstance(event, spdy.PingReceived):
                writer.write(event.answer)
        rest = b""


@pytest.mark.parametrize(
    ("talk", "switch"), [(exec_over_websocket, "true"), (exec_over_spdy, "false")], ids=["websocket", "spdy"]
)
async def test_exec(talk: Talk, switch: str, tmp_path: Path) -> None:
    data = b"some input\n" * 20_000
    async with api(talk) as url:
        env = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": switch}
        code, out, err = await kubectl(url, tmp_path, "exec", "-i", "p", "--", "shout", stdin=data, **env)
    assert (code, out) == (3, data.upper()), err
    assert b"hello\n" in err
    assert b"command terminated with exit code 3" in err


async def forward_over_tunnel(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Port-forward as SPDY inside WebSocket messages: upper-cases what it gets."""
    protocol = channels.negotiate(head.all("sec-websocket-protocol"), [channels.PORT_FORWARD_TUNNEL])
    assert protocol == channels.PORT_FORWARD_TUNNEL
    writer.write(websocket_answer(head, protocol))
    outer = websocket.Connection()
    inner = spdy.Connection(client=False)
    while rest or (rest := await reader.read(4096)):
        for message in outer.receive(rest):
            if isinstance(message, websocket.Message):
                for data in shouted(inner, inner.receive(message.data)):
                    writer.write(outer.send(data))
        rest = b""


async def forward_over_spdy(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    assert head.all("x-stream-protocol-version") == [channels.SPDY_PORT_FORWARD]
    upgrade = {"Upgrade": "SPDY/3.1", "Connection": "Upgrade", "X-Stream-Protocol-Version": channels.SPDY_PORT_FORWARD}
    writer.write(http1.encode_response(101, "Switching Protocols", upgrade))
    connection = spdy.Connection(client=False)
    while rest or (rest := await reader.read(4096)):
        for data in shouted(connection, connection.receive(rest)):
            writer.write(data)
        rest = b""


def shouted(connection: spdy.Connection, events: list[spdy.Event]) -> list[bytes]:
    found = []
    for event in events:
        if isinstance(event, spdy.StreamOpened):
            assert event.headers["port"] == "80"
            found.append(connection.reply(event.stream))
        elif isinstance(event, spdy.DataReceived) and event.data:
            found.append(connection.data(event.stream, event.data.upper()))
        elif isinstance(event, spdy.PingReceived):
            found.append(event.answer)
    return found


@pytest.mark.parametrize(
    ("talk", "switch"), [(forward_over_tunnel, "true"), (forward_over_spdy, "false")], ids=["tunnel", "spdy"]
)
async def test_port_forward(talk: Talk, switch: str, tmp_path: Path) -> None:
    assert KUBECTL is not None
    async with api(talk) as url:
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            f"--server={url}",
            f"--cache-dir={tmp_path}",
            "port-forward",
            "--address=127.0.0.1",
            "pod/p",
            ":80",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "KUBECONFIG": "/dev/null",
                "KUBECTL_PORT_FORWARD_WEBSOCKETS": switch,
            },
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(20):
                line = (await process.stdout.readline()).decode()
                port = int(line.split(" -> ")[0].rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                data = b"ping" * 50_000
                writer.write(data)
                assert await reader.readexactly(len(data)) == data.upper()
                writer.close()
        finally:
            process.kill()
            await process.communicate()
