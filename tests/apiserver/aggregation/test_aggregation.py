"""Requests pass through to a real server behind an APIService; its documents join ours; its state is told."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.aggregation.conftest import SERVICES, Aggregating
from tests.apiserver.aggregation.server import (
    DEFINITION,
    FLUNDERS,
    GROUP,
    NAME,
    NAMESPACE,
    OBJECT_META,
    ROOT,
    VERSION,
    Extension,
    api_service,
    extension,
    loopback,
    service,
    slice_,
)
from tests.apiserver.server import Lines
from tiphys.api import apiregistration_v1, core_v1, discovery_v1
from tiphys.apiserver import pki
from tiphys.apiserver.aggregation.services import place_of
from tiphys.machinery import codec
from tiphys.wire.exchange import Request, Response, UserInfo

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
USER = UserInfo("jane", "u1", ("devs", "system:authenticated"), {"Example.com/Team": ("a", "b")})


async def connect(running: Aggregating, server: Extension, **spec: Any) -> None:
    await running.api.ok("POST", f"/api/v1/namespaces/{NAMESPACE}/services", loopback())
    target = {"name": NAME, "namespace": NAMESPACE, "port": server.port}
    await running.api.ok("POST", SERVICES, api_service(server.bundle, service=target, **spec))


async def ask(running: Aggregating, request: Request) -> Response:
    return await running.api.server.handle(replace(request, user=request.user or USER))


async def text(response: Response) -> str:
    if response.stream is None:
        return response.body.decode()
    lines = _Text()
    await response.stream(lines)
    return lines.data.decode()


class _Text(Lines):
    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


async def test_requests_pass_through_with_the_callers_name(aggregated: Aggregating, tmp_path: Path) -> None:
    async with extension(tmp_path, aggregated.files) as server:
        await connect(aggregated, server)
        await aggregated.available("Passed")
        forged = {
            "authorization": "Bearer secret",
            "x-remote-user": "root",
            "x-remote-group": "system:masters",
            "x-remote-extra-scopes": "all",
            "x-remote-uid": "0",
            "impersonate-user": "root",
            "content-type": "application/json",
            "accept": "application/json",
        }
        path = f"{ROOT}/namespaces/default/flunders/a b"
        asked = Request("POST", path, {"dryRun": ["All"], "x": ["1", "&"]}, forged, b'{"kind":"Flunder"}')
        answer = await ask(aggregated, asked)
        assert answer.status == 418
        assert json.loads(await text(answer)) == {
            "path": f"{ROOT}/namespaces/default/flunders/a%20b?dryRun=All&x=1&x=%26",
            "method": "POST",
            "body": '{"kind":"Flunder"}',
        }
        seen = server.last().headers
        assert seen.getall("X-Remote-User") == ["jane"]
        assert seen.getall("X-Remote-Uid") == ["u1"]
        assert seen.getall("X-Remote-Group") == ["devs", "system:authenticated"]
        assert seen.getall("X-Remote-Extra-Example.com%2fteam") == ["a", "b"]
        assert not {name.lower() for name in seen} & {"authorization", "x-remote-extra-scopes", "impersonate-user"}
        assert set(server.clients) == {"front-proxy-client"}


async def test_watches_are_streamed(aggregated: Aggregating, tmp_path: Path) -> None:
    async with extension(tmp_path) as server:
        await connect(aggregated, server)
        await aggregated.available("Passed")
        answer = await ask(aggregated, Request("GET", f"{ROOT}/flunders", {"watch": ["1"]}))
        lines = (await text(answer)).splitlines()
        assert [json.loads(line)["object"]["n"] for line in lines] == [0, 1, 2]


async def test_discovery_is_merged(aggregated: Aggregating, tmp_path: Path) -> None:
    async with extension(tmp_path) as server:
        await connect(aggregated, server)

        def current(found: Any) -> Any:
            items = {one["metadata"].get("name"): one for one in found["items"]}
            version = items.get(GROUP, {"versions": [{}]})["versions"][0]
            return version if version.get("freshness") == "Current" else None

        version = await aggregated.until("/apis", current, accept=V2)
        assert version["resources"] == [FLUNDERS]
        group = await aggregated.api.ok("GET", f"/apis/{GROUP}")
        assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
        answer = await ask(aggregated, Request("GET", ROOT))
        assert [one["name"] for one in json.loads(await text(answer))["resources"]] == ["flunders", "flunders/status"]
        assert ROOT in (await aggregated.api.ok("GET", "/"))["paths"]
        # Another priority is no other server.
        path = f"{SERVICES}/{VERSION}.{GROUP}"
        change = {"spec": {"versionPriority": 400}}
        await aggregated.api.ok("PATCH", path, change, content_type="application/merge-patch+json")
        found = await aggregated.api.ok("GET", "/apis", accept=V2)
        item = next(one for one in found["items"] if one["metadata"]["name"] == GROUP)
        assert item["versions"][0]["resources"] == [FLUNDERS]
        assert (await ask(aggregated, Request("GET", f"{ROOT}/flunders"))).status == 418
        await aggregated.until("/apis", current, accept=V2)
        await aggregated.clock.asleep(30)
        # Its server fails: what is known of it stays, marked as old.
        server.broken = 500
        await aggregated.clock.pass_sleep(30)
        condition = await aggregated.available("FailedDiscoveryCheck")
        url = f"https://localhost:{server.port}{ROOT}"
        assert condition["message"] == f"failing or missing response from {url}: bad status from {url}: 500"
        found = await aggregated.api.ok("GET", "/apis", accept=V2)
        item = next(one for one in found["items"] if one["metadata"]["name"] == GROUP)
        assert item["versions"] == [{"version": VERSION, "resources": [FLUNDERS], "freshness": "Stale"}]
        refused = await ask(aggregated, Request("GET", f"{ROOT}/flunders"))
        assert (refused.status, refused.body) == (503, b"service unavailable\n")
        assert refused.headers["Content-Type"] == "text/plain; charset=utf-8"
        # It is well again, and is asked again soon.
        server.broken = 0
        await aggregated.clock.pass_sleep(5)
        await aggregated.available("Passed")
        await aggregated.api.ok("DELETE", f"{SERVICES}/{VERSION}.{GROUP}")
        assert (await aggregated.api.raw("GET", f"/apis/{GROUP}")).status == 404
        assert (await ask(aggregated, Request("GET", f"{ROOT}/flunders"))).status == 404


async def test_old_servers_are_understood(aggregated: Aggregating, tmp_path: Path) -> None:
    async with extension(tmp_path) as server:
        server.modern = False
        await connect(aggregated, server)

        def known(found: Any) -> Any:
            item = next((one for one in found["items"] if one["metadata"].get("name") == GROUP), None)
            return item and item["versions"][0].get("resources")

        (flunders,) = await aggregated.until("/apis", known, accept=V2)
        assert flunders["subresources"][0]["subresource"] == "status"
        assert flunders["scope"] == "Namespaced"


async def test_openapi_is_merged(aggregated: Aggregating, tmp_path: Path) -> None:
    async with extension(tmp_path) as server:
        ours = await aggregated.api.ok("GET", "/openapi/v2")
        await connect(aggregated, server)
        url = await aggregated.until("/openapi/v3", lambda found: found["paths"].get(ROOT[1:]))
        assert url == {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=ABC"}
        answer = await ask(aggregated, Request("GET", f"/openapi/v3{ROOT}", {"hash": ["ABC"]}))
        assert json.loads(await text(answer)) == {"openapi": "3.0.0", "asked": "hash=ABC"}
        found = await aggregated.until("/openapi/v2", lambda found: DEFINITION in found["definitions"] and found)
        assert f"{ROOT}/flunders" in found["paths"]
        assert set(found["definitions"]) - set(ours["definitions"]) == {DEFINITION}
        assert found["definitions"][OBJECT_META] == ours["definitions"][OBJECT_META]


async def test_who_cannot_be_trusted_is_not_asked(aggregated: Aggregating, tmp_path: Path, files: pki.Pki) -> None:
    async with extension(tmp_path) as server:
        await connect(aggregated, server, insecureSkipTLSVerify=False)
        await aggregated.available("Passed")
        path = f"{SERVICES}/{VERSION}.{GROUP}"
        merge: dict[str, Any] = {"content_type": "application/merge-patch+json"}
        other = {"spec": {"caBundle": None}}
        await aggregated.api.ok("PATCH", path, other, **merge)
        condition = await aggregated.available("FailedDiscoveryCheck")
        assert "certificate verify failed" in condition["message"].lower().replace("_", " ")
        await aggregated.api.ok("PATCH", path, {"spec": {"insecureSkipTLSVerify": True}}, **merge)
        await aggregated.available("Passed")


@pytest.mark.parametrize(
    ("objects", "reason", "message"),
    [
        ([], "ServiceNotFound", 'service/wardle in "default" is not present'),
        ([service(80)], "ServicePortError", 'service/wardle in "default" is not listening on port 443'),
        ([service()], "EndpointsNotFound", 'cannot find endpointslices for service/wardle in "default"'),
        (
            [service(), slice_(1, ready=False)],
            "MissingEndpoints",
            'endpointslices for service/wardle in "default" have no addresses with port name "https"',
        ),
    ],
)
async def test_why_it_is_not_available(aggregated: Aggregating, objects: list[Any], reason: str, message: str) -> None:
    for one in objects:
        prefix = "/api/v1" if one["kind"] == "Service" else "/apis/discovery.k8s.io/v1"
        await aggregated.api.ok("POST", f"{prefix}/namespaces/default/{one['kind'].lower()}s", one)
    await aggregated.api.ok("POST", SERVICES, api_service())
    condition = await aggregated.available(reason)
    assert condition["message"] == message
    assert (condition["type"], condition["status"]) == ("Available", "False")


async def test_a_dead_server_delays_nobody(aggregated: Aggregating, tmp_path: Path) -> None:
    """One that accepts connections and says nothing."""
    silent = await asyncio.start_server(lambda reader, writer: None, "localhost", 0)
    async with silent, extension(tmp_path) as server:
        dead = api_service()
        dead["metadata"]["name"] = "v1.dead.example.com"
        dead["spec"] |= {"group": "dead.example.com", "version": "v1"}
        port = silent.sockets[0].getsockname()[1]
        dead["spec"]["service"] = {"name": "dead", "namespace": NAMESPACE, "port": port}
        await aggregated.api.ok("POST", f"/api/v1/namespaces/{NAMESPACE}/services", loopback("dead"))
        await aggregated.api.ok("POST", SERVICES, dead)
        await connect(aggregated, server)
        await aggregated.available("Passed")
        answer = await ask(aggregated, Request("GET", "/apis/dead.example.com/v1/x"))
        assert (answer.status, answer.body) == (503, b"service unavailable\n")
        found = await aggregated.api.ok("GET", "/apis", accept=V2)
        item = next(one for one in found["items"] if one["metadata"].get("name") == "dead.example.com")
        assert item["versions"] == [{"version": "v1", "freshness": "Stale"}]


def test_ready_endpoints_are_asked_directly() -> None:
    reference = apiregistration_v1.ServiceReference(name=NAME, namespace=NAMESPACE, port=443)
    target = codec.convert(core_v1.Service, service())
    target.spec.type = "ClusterIP"
    pieces = [slice_(8443, "10.0.0.2"), slice_(8443, "10.0.0.1"), slice_(8443, "10.0.0.3", ready=False)]
    other = slice_(8443, "10.0.0.4")
    other["metadata"]["labels"] = {"kubernetes.io/service-name": "other"}
    slices = [codec.convert(discovery_v1.EndpointSlice, one) for one in (*pieces, other)]
    assert place_of(reference, target, slices).addresses == [("10.0.0.1", 8443), ("10.0.0.2", 8443)]
