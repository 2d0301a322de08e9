"""What the scheduler tells of itself: who may read what, against a real API server's reviews."""

import asyncio

import pytest

from tests.scheduler.test_loop import pod
from tiphys.base.clock import RealClock
from tiphys.client import Client
from tiphys.scheduler.metrics import Metrics
from tiphys.scheduler.serving import Serving, ServingConfig
from tiphys.testing.cluster import Cluster
from tiphys.wire.http1 import Head, HeadParser

MASTER = {"subject": ((("commonName", "admin"),), (("organizationName", "system:masters"),))}
STRANGER = {"subject": ((("commonName", "eve"),),)}


def request(path: str, token: str = "") -> Head:
    lines = f"GET {path} HTTP/1.1\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "") + "\r\n"
    head = HeadParser("request").receive(lines.encode())
    assert head is not None
    return head


def serving(client: Client) -> Serving:
    from pathlib import Path

    config = ServingConfig(0, client_ca=Path("ca.crt"), document={"kind": "KubeSchedulerConfiguration"})
    return Serving(config, client, Metrics(lambda: {"active": 3}).text)


@pytest.mark.parametrize(
    ("path", "certificate", "status", "text"),
    [
        ("/healthz", None, 200, "ok"),
        ("/livez?verbose", None, 200, "ok"),
        ("/readyz", STRANGER, 200, "ok"),
        ("/metrics", MASTER, 200, 'scheduler_pending_pods{queue="active"} 3.0'),
        ("/configz", MASTER, 200, '{"componentconfig": {"kind": "KubeSchedulerConfiguration"}}'),
        ("/metrics", STRANGER, 403, 'forbidden: User "eve" cannot get path "/metrics"'),
        ("/metrics", None, 403, 'forbidden: User "system:anonymous" cannot get path "/metrics"'),
        ("/else", MASTER, 404, "404 page not found"),
    ],
)
def test_who_may_read_what(path: str, certificate: dict[str, object] | None, status: int, text: str) -> None:
    with Cluster() as cluster:
        answer = cluster.run(serving(cluster.client("system:kube-scheduler")).answer(request(path), certificate))
        assert answer.status == status
        assert text in answer.body.decode()


def test_a_wrong_token_is_nobody() -> None:
    with Cluster() as cluster:
        answer = cluster.run(serving(cluster.client("system:kube-scheduler")).answer(request("/metrics", "x"), None))
        assert answer.status == 401


def test_over_a_socket_until_the_caller_leaves() -> None:
    async def talk() -> bytes:
        metrics = Metrics(dict)
        async with Serving(ServingConfig(0, host="127.0.0.1"), _client(), metrics.text) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
            body = await reader.read()
            writer.close()
            return body

    body = asyncio.run(talk())
    assert body.count(b"HTTP/1.1 200") == 2
    assert b"scheduler_schedule_attempts_total" in body


def _client() -> Client:
    from tiphys.client import HttpTransport

    return Client(HttpTransport("http://127.0.0.1:1"), clock=RealClock())


def test_what_is_counted() -> None:
    with Cluster() as cluster:
        cluster.apply(pod("p"), pod("huge", "900"))
        scheduler = cluster._machine.scheduler
        text = scheduler.metrics.text().decode()
    for line in (
        'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1.0',
        'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1.0',
        'scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1.0',
        'scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 2.0',
        'scheduler_pending_pods{queue="unschedulable"} 1.0',
    ):
        assert line in text
