"""Calls, their retries, and the errors that answers become."""

import pytest

from tests.client.server import Script
from tests.client.virtual import VirtualClock
from tiphys.api import core_v1, meta_v1
from tiphys.client import Client, InProcessTransport, TransportError
from tiphys.machinery import codec, errors
from tiphys.wire.exchange import Request, Response

POD = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="a", namespace="ns"))


def client(script: Script, clock: VirtualClock | None = None) -> Client:
    return Client(InProcessTransport(script), user_agent="test", clock=clock or VirtualClock())


def ok(obj: object = POD) -> Response:
    return Response(200, body=codec.encode(obj))


@pytest.mark.parametrize(
    ("call", "method", "path", "query"),
    [
        (lambda c: c.of(core_v1.Pod).get("a", "ns"), "GET", "/api/v1/namespaces/ns/pods/a", {}),
        (lambda c: c.of(core_v1.Pod).create(POD), "POST", "/api/v1/namespaces/ns/pods", {}),
        (lambda c: c.of(core_v1.Pod).update_status(POD), "PUT", "/api/v1/namespaces/ns/pods/a/status", {}),
        (
            lambda c: c.resource("apps", "v1", "deployments", True).patch("d", "ns", {"a": 1}, "merge"),
            "PATCH",
            "/apis/apps/v1/namespaces/ns/deployments/d",
            {},
        ),
        (lambda c: c.of(core_v1.Node).get("n", ""), "GET", "/api/v1/nodes/n", {}),
    ],
    ids=["get", "create", "status", "patch", "cluster-scoped"],
)
async def test_calls(call, method, path, query) -> None:
    script = Script(ok())
    await call(client(script))
    (asked,) = script.asked
    assert (asked.method, asked.path, dict(asked.query)) == (method, path, query)
    assert asked.headers["user-agent"] == "test"


async def test_delete_names_what_it_means() -> None:
    script = Script(ok())
    await client(script).of(core_v1.Pod).delete("a", "ns", uid="u", grace_period_seconds=0, propagation="Foreground")
    options = codec.decode(meta_v1.DeleteOptions, script.asked[0].body)
    assert options.preconditions == meta_v1.Preconditions(uid="u")
    assert (options.gracePeriodSeconds, options.propagationPolicy) == (0, "Foreground")


async def test_all_pages_are_joined() -> None:
    def page(names: list[str], token: str) -> Response:
        items = [core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name)) for name in names]
        metadata = meta_v1.ListMeta(resourceVersion="7", continue_=token or None)
        return ok(core_v1.PodList(metadata=metadata, items=items))

    script = Script(page(["a", "b"], "t"), page(["c"], ""))
    found = await client(script).of(core_v1.Pod).list_all("ns", limit=2)
    assert [pod.metadata.name for pod in found.items] == ["a", "b", "c"]
    assert script.asked[1].query["continue"] == ("t",)


async def test_refusals_are_raised_as_their_class() -> None:
    refused = errors.NotFound("pods", "a").status()
    with pytest.raises(errors.NotFound) as caught:
        await client(Script(Response(404, body=codec.encode(refused)))).of(core_v1.Pod).get("a", "ns")
    assert str(caught.value) == 'pods "a" not found'
    with pytest.raises(errors.StatusError) as caught_other:
        await client(Script(Response(502, body=b"<html>"))).request("GET", "/")
    assert caught_other.value.code == 502


async def test_too_many_requests_waits_as_asked() -> None:
    clock = VirtualClock()
    script = Script(Response(429, {"retry-after": "3"}, b""), ok())
    await client(script, clock).of(core_v1.Pod).create(POD)
    assert clock.slept == [3.0] and len(script.asked) == 2


async def _lost(_: Request) -> Response:
    raise TransportError("lost", sent=True)


async def test_a_lost_read_is_repeated_and_a_lost_write_is_not() -> None:
    script = Script(_lost, _lost, ok())
    assert (await client(script).of(core_v1.Pod).get("a", "ns")).metadata.name == "a"
    script = Script(_lost, ok())
    with pytest.raises(TransportError):
        await client(script).of(core_v1.Pod).create(POD)
    assert len(script.asked) == 1
