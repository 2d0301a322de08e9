"""Versions converted by a webhook, a real one over TLS: writes, reads, lists, watches, failures."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.apiserver.extensions.crontabs import CRONTABS, GROUP, define, definition, version
from tests.apiserver.server import MERGE, Api, Lines
from tests.apiserver.webhooks.server import certificate

V1 = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "integer"}}},
    },
}
V2 = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"address": {"type": "string"}}}},
}
SECOND = CRONTABS.replace("/v1/", "/v2/")


class Converter:
    """Joins and splits ``host:port``."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.refuse = ""
        self.spoil: dict[str, Any] = {}
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        self.reviews.append(asked)
        response: dict[str, Any] = {"uid": asked["uid"], "result": {"status": "Success"}}
        if self.refuse:
            response["result"] = {"status": "Failed", "message": self.refuse}
        else:
            response["convertedObjects"] = [self._one(obj, asked["desiredAPIVersion"]) for obj in asked["objects"]]
        return web.json_response({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response})

    def _one(self, obj: dict[str, Any], wanted: str) -> dict[str, Any]:
        spec = obj["spec"]
        if wanted.endswith("/v2"):
            spec = {"address": f"{spec['host']}:{spec['port']}"}
        else:
            host, _, port = spec["address"].partition(":")
            spec = {"host": host, "port": int(port)}
        return {**obj, "apiVersion": wanted, "spec": spec} | self.spoil


@asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[tuple[Converter, dict[str, Any]]]:
    """The converter, and the part of a definition that names it."""
    file, pem = certificate(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    converter = Converter()
    app = web.Application()
    app.router.add_post("/convert", converter.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    client = {"url": f"https://127.0.0.1:{port}/convert", "caBundle": base64.b64encode(pem).decode()}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    try:
        yield converter, {"strategy": "Webhook", "webhook": webhook}
    finally:
        await runner.cleanup()


@pytest.fixture
async def converter(api: Api, tmp_path: Path) -> AsyncIterator[Converter]:
    async with listening(tmp_path) as (found, conversion):
        await define(api, definition(version("v1", V1), version("v2", V2, storage=False), conversion=conversion))
        yield found


def first(name: str = "a", port: int = 80) -> dict[str, Any]:
    spec = {"host": "h", "port": port}
    return {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


async def test_written_in_one_version_read_in_another(api: Api, converter: Converter) -> None:
    made = await api.ok("POST", CRONTABS, first())
    assert not converter.reviews
    got = await api.ok("GET", f"{SECOND}/a")
    assert got == {**made, "apiVersion": f"{GROUP}/v2", "spec": {"address": "h:80"}}
    await api.ok("GET", f"{SECOND}/a")
    assert len(converter.reviews) == 1
    changed = await api.ok("PATCH", f"{SECOND}/a", {"spec": {"address": "g:81"}}, content_type=MERGE)
    assert changed["spec"] == {"address": "g:81"} and changed["metadata"]["generation"] == 2
    assert (await api.ok("GET", f"{CRONTABS}/a"))["spec"] == {"host": "g", "port": 81}
    body = {**first("b"), "apiVersion": f"{GROUP}/v2", "spec": {"address": "x:1"}}
    assert (await api.ok("POST", SECOND, body))["spec"] == {"address": "x:1"}
    assert (await api.ok("GET", f"{CRONTABS}/b"))["spec"] == {"host": "x", "port": 1}
    await api.ok("DELETE", f"{SECOND}/b")


async def test_a_list_is_one_review(api: Api, converter: Converter) -> None:
    for index in range(5):
        await api.ok("POST", CRONTABS, first(f"a{index}", index))
    listed = await api.ok("GET", SECOND)
    assert [item["spec"]["address"] for item in listed["items"]] == [f"h:{index}" for index in range(5)]
    assert [len(review["objects"]) for review in converter.reviews] == [5]


async def test_watched_in_another_version(api: Api, converter: Converter) -> None:
    await api.ok("POST", CRONTABS, first("a", 1))
    async with api.watching(SECOND) as lines:
        await lines.wait(1)
        await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"port": 2}}, content_type=MERGE)
        await api.ok("POST", CRONTABS, first("b", 3))
        await api.ok("DELETE", f"{CRONTABS}/a")
        events = await lines.wait(4)
    found = [(event["type"], event["object"]["apiVersion"], event["object"]["spec"]["address"]) for event in events]
    v2 = f"{GROUP}/v2"
    assert found == [("ADDED", v2, "h:1"), ("MODIFIED", v2, "h:2"), ("ADDED", v2, "h:3"), ("DELETED", v2, "h:2")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


async def test_a_webhook_that_fails_fails_the_request(api: Api, converter: Converter) -> None:
    await api.ok("POST", CRONTABS, first())
    converter.refuse = "not today"
    status, body = await api.call("GET", f"{SECOND}/a")
    assert status == 500
    assert body["message"] == f"conversion webhook for {GROUP}/v1, Kind=CronTab failed: not today"
    await api.ok("GET", f"{CRONTABS}/a")
    converter.refuse = ""
    assert (await api.ok("GET", f"{SECOND}/a"))["spec"] == {"address": "h:80"}


async def test_metadata_is_not_the_webhooks(api: Api, converter: Converter) -> None:
    made = await api.ok("POST", CRONTABS, first())
    converter.spoil = {"metadata": {**made["metadata"], "labels": {"a": "b"}, "generation": 99}}
    got = await api.ok("GET", f"{SECOND}/a")
    assert got["metadata"] == {**made["metadata"], "labels": {"a": "b"}}
    await api.ok("POST", CRONTABS, first("b"))
    status, body = await api.call("GET", f"{SECOND}/b")
    assert status == 500 and "name must not change" in body["message"]


@pytest.mark.parametrize("spoil", [{"metadata": {"labels": 5, "name": "a", "namespace": "default"}}, {"metadata": 1}])
async def test_nonsense_ends_the_watch_that_needs_it_and_no_other(
    api: Api, converter: Converter, spoil: dict[str, Any]
) -> None:
    async with api.watching(CRONTABS) as own:
        response = await api.raw("GET", SECOND, query={"watch": "true"})
        assert response.stream is not None
        async with asyncio.timeout(5):
            ended = asyncio.create_task(response.stream(Lines()))
            await asyncio.sleep(0)
            made = await api.ok("POST", CRONTABS, first())
            converter.spoil = (
                spoil | {"metadata": {**spoil["metadata"], "uid": made["metadata"]["uid"]}}
                if isinstance(spoil["metadata"], dict)
                else spoil
            )
            await api.ok("POST", CRONTABS, first("b"))
            await ended
            assert [event["object"]["metadata"]["name"] for event in await own.wait(2)] == ["a", "b"]
        assert (await api.call("GET", f"{SECOND}/a"))[0] == 500
        converter.spoil = {}
        await api.ok("POST", CRONTABS, first("c"))
        assert [event["object"]["metadata"]["name"] for event in await own.wait(3)] == ["a", "b", "c"]
