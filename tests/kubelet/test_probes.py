"""Probes against real sockets, what their results add up to, and lifecycle hooks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.conftest import Node, container, is_ready, pod
from tiphys.api import core_v1
from tiphys.kubelet import probes
from tiphys.kubelet.cri import CriClient
from tiphys.kubelet.prober import Prober, Target
from tiphys.machinery import codec


def probe(**fields: Any) -> core_v1.Probe:
    return codec.convert(core_v1.Probe, fields)


@pytest.mark.parametrize(
    ("kind", "failures", "successes", "start", "results", "verdicts"),
    [
        ("readiness", 3, 1, False, [True], [True]),
        ("readiness", 3, 1, True, [False, False, False], [None, None, False]),
        ("readiness", 3, 1, True, [False, False, True, False, False, False], [None, None, None, None, None, False]),
        ("readiness", 1, 2, False, [True, True], [None, True]),
        ("liveness", 3, 1, True, [True, False, False, False], [None, None, None, False]),
        ("startup", 2, 1, False, [False, False], [None, False]),
        ("startup", 2, 1, False, [False, True], [None, True]),
    ],
)
def test_thresholds(
    kind: Any, failures: int, successes: int, start: bool, results: list[bool], verdicts: list[bool | None]
) -> None:
    run = probes.ProbeRun.of(kind, probe(failureThreshold=failures, successThreshold=successes), start)
    assert [run.note(result) for result in results] == verdicts


def test_a_container_has_a_period_to_come_up() -> None:
    assert probes.first_counted_seconds("liveness", probe()) == 10
    assert probes.first_counted_seconds("liveness", probe(initialDelaySeconds=15)) == 20
    assert probes.first_counted_seconds("startup", probe(periodSeconds=3, initialDelaySeconds=3)) == 3
    assert probes.first_counted_seconds("readiness", probe(initialDelaySeconds=5)) == 6


def test_ports_by_name() -> None:
    spec = pod(containers=[container(ports=[{"name": "web", "containerPort": 8080}])]).spec.containers[0]
    assert probes.port_number("web", spec) == 8080
    assert probes.port_number(1, spec) == 1
    with pytest.raises(ValueError, match="couldn't find port: none"):
        probes.port_number("none", spec)


@asynccontextmanager
async def http_server(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


async def try_probe(tmp_path: Any, **fields: Any) -> tuple[bool, str]:
    target = Target(pod().spec.containers[0], "c1", "127.0.0.1")
    async with CriClient(tmp_path / "none.sock") as cri, Prober(cri) as prober:
        return await prober.probe(probe(**fields), target)


async def test_http(tmp_path: Any) -> None:
    async with http_server(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, heads):
        headers = [{"name": "X-Test", "value": "1"}, {"name": "Host", "value": "example.test"}]
        assert await try_probe(tmp_path, httpGet={"port": port, "path": "/up?x=1", "httpHeaders": headers}) == (
            True,
            "",
        )
        head = heads[0].decode()
        assert head.startswith("GET /up?x=1 HTTP/1.1\r\n")
        assert "User-Agent: kube-probe/1.36\r\n" in head and "X-Test: 1\r\n" in head
        assert "Host: example.test\r\n" in head
    async with http_server(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as (port, _):
        assert await try_probe(tmp_path, httpGet={"port": port}) == (False, "HTTP probe failed with statuscode: 503")
    refused = f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await try_probe(tmp_path, httpGet={"port": port}) == (False, refused)


async def test_tcp(tmp_path: Any) -> None:
    async with http_server(b"") as (port, _):
        assert await try_probe(tmp_path, tcpSocket={"port": port}) == (True, "")
    text = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await try_probe(tmp_path, tcpSocket={"port": port}) == (False, text)


async def test_grpc(tmp_path: Any) -> None:
    import grpc
    import grpc.aio

    asked: list[bytes] = []
    answers = {b"": b"\x08\x01", b"\x0a\x03sub": b"\x08\x02"}

    async def check(request: bytes, context: Any) -> bytes:
        asked.append(request)
        return answers[request]

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert (await try_probe(tmp_path, grpc={"port": port}))[0]
        why = 'service unhealthy (responded with "NOT_SERVING")'
        assert await try_probe(tmp_path, grpc={"port": port, "service": "sub"}) == (False, why)
    finally:
        await server.stop(0)


async def test_readiness_probe_passes_soon_after_a_slow_start(node: Node) -> None:
    node.runtime.exec_codes["check"] = 1
    await node.create(containers=[container(readinessProbe={"exec": {"command": ["check"]}, "periodSeconds": 30})])
    await node.until(lambda p: p.status.containerStatuses and p.status.containerStatuses[0].started)
    await asyncio.sleep(0.1)
    node.runtime.exec_codes["check"] = 0
    await node.until(is_ready, seconds=1)
    assert not [e for e in await node.events() if e.reason == "Unhealthy"]


async def test_hooks(node: Node) -> None:
    lifecycle = {"postStart": {"exec": {"command": ["up"]}}, "preStop": {"exec": {"command": ["down"]}}}
    await node.create(containers=[container(lifecycle=lifecycle)], terminationGracePeriodSeconds=4)
    await node.until(is_ready)
    assert "ExecSync up" in node.runtime.calls
    await node.client.of(core_v1.Pod).delete("web", "default")
    await node.until_gone()
    calls = node.runtime.calls
    assert calls.index("ExecSync down") < next(i for i, c in enumerate(calls) if c.startswith("StopContainer"))


async def test_failing_post_start_hook(node: Node) -> None:
    node.runtime.exec_codes["up"] = 3
    await node.create(containers=[container(lifecycle={"postStart": {"exec": {"command": ["up"]}}})])
    await node.until_event("FailedPostStartHook", "PostStartHook failed")
    found = await node.until(
        lambda p: p.status.containerStatuses and p.status.containerStatuses[0].lastState.terminated
    )
    assert not is_ready(found)


async def test_termination_message(node: Node) -> None:
    await node.create(restartPolicy="Never")
    await node.until(is_ready)
    mounts = {m.container_path: m.host_path for m in node.runtime.container("main").config.mounts}
    leave_message(mounts["/dev/termination-log"])
    node.runtime.exit("main", 1)
    found = await node.until(lambda p: p.status.phase == "Failed")
    ended = (found.status.containerStatuses or [])[0].state.terminated
    assert ended and ended.message == "the reason"


def leave_message(path: str) -> None:
    Path(path).write_text("the reason")
