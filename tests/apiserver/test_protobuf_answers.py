"""Answers in protobuf: every kind against another decoder, lists, watches, errors, and what is negotiated."""

import asyncio
import json
import random
from typing import Any

import pytest

from tests.apiserver import protobuf_oracle as oracle
from tests.apiserver.server import Api, config_map, pod
from tests.resources.filling import filled
from tiphys.apiserver import protobuf
from tiphys.apiserver.protobuf.messages import META, message_of
from tiphys.machinery import codec
from tiphys.resources import table
from tiphys.resources.rules import Resource

PROTOBUF = protobuf.MEDIA_TYPE
BOTH = f"{PROTOBUF},application/json"
MAPS = "/api/v1/namespaces/d/configmaps"
#: Alpha fields that are newer than the descriptors we could read, and what protobuf never carries: versions of
#: objects inside others.
ABSENT = {
    "Pod": ("volumeStatus", "nodeAllocatableResourceClaimStatuses", "message"),
    "StatefulSet": ("apiVersion", "kind"),
    "ResourceSlice": ("bools", "ints", "strings", "versions", "nodeAllocatableResourceMappings"),
    **dict.fromkeys(
        ("PodGroup", "Workload"),
        ("disruptionMode", "priority", "priorityClassName", "resourceClaims", "schedulingConstraints",
         "resourceClaimStatuses"),
    ),
}  # fmt: skip
ROWS = [row for row in table.ALL if row.kind != "CustomResourceDefinition"]


def thinned(value: Any, dice: random.Random, absent: tuple[str, ...], top: bool = True) -> Any:
    """A part of ``value``: some fields are left out, and always those that are absent."""
    if isinstance(value, dict):
        return {
            key: thinned(item, dice, absent, top=False)
            for key, item in value.items()
            if (top and key in ("apiVersion", "kind", "metadata")) or (key not in absent and dice.random() < 0.8)
        }
    return [thinned(item, dice, absent, top=False) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.version}")
def test_every_kind_comes_back_as_it_was(row: Resource) -> None:
    whole = json.loads(codec.encode(filled(row)))
    for seed in range(8):
        part = thinned(whole, random.Random(seed), ABSENT.get(row.kind, ()))
        document = json.loads(codec.encode(codec.convert(row.cls, part)))
        body = protobuf.document_of(json.dumps(document).encode())
        assert body is not None
        # Empty lists are no fields in protobuf, and are there again once the object is decoded.
        back = json.loads(codec.encode(codec.decode(row.cls, protobuf.to_json(body))))
        assert without_versions(row, back) == without_versions(row, document)
        found = oracle.message_leaves(oracle.parsed(body, message_of(row.api_version, row.kind)))
        wanted = oracle.json_leaves({**without_versions(row, document), "apiVersion": {}, "kind": {}})
        # Keys of maps are fields in JSON: what the message has more must be among them.
        assert not wanted - found
        assert set(found - wanted) <= names_in(document)


def without_versions(row: Resource, document: Any) -> Any:
    for claim in document.get("spec", {}).get("volumeClaimTemplates", ()) if row.kind == "StatefulSet" else ():
        claim.pop("apiVersion", None), claim.pop("kind", None)
    return document


def names_in(document: Any) -> set[str]:
    below = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return set(document if isinstance(document, dict) else ()).union(*map(names_in, below))


def about(body: bytes) -> tuple[str, str]:
    meta = oracle.envelope(body).typeMeta_1
    return meta.apiVersion_1, meta.kind_2


async def test_objects_and_lists(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", {"k": "v"}))
    await api.ok("POST", MAPS, config_map("b"))
    response = await api.raw("GET", f"{MAPS}/a", accept=BOTH)
    assert (response.status, response.headers["Content-Type"]) == (200, PROTOBUF)
    assert about(response.body) == ("v1", "ConfigMap")
    assert json.loads(protobuf.to_json(response.body)) == await api.ok("GET", f"{MAPS}/a")
    for _ in range(2):
        listed = await api.raw("GET", MAPS, query={"limit": "1"}, accept=PROTOBUF)
        assert about(listed.body) == ("v1", "ConfigMapList")
        found = json.loads(protobuf.to_json(listed.body))
        assert [each["metadata"]["name"] for each in found["items"]] == ["a"]
        assert found["metadata"]["remainingItemCount"] == 1 and found["metadata"]["continue"]


async def test_metadata_alone(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "v"}, x="y"))
    accept = f"{PROTOBUF};as=PartialObjectMetadata%s;g=meta.k8s.io;v=v1"
    one = await api.raw("GET", f"{MAPS}/a", accept=accept % "")
    assert about(one.body) == ("meta.k8s.io/v1", "PartialObjectMetadata")
    assert json.loads(protobuf.to_json(one.body))["metadata"] == made["metadata"]
    listed = await api.raw("GET", MAPS, accept=accept % "List")
    assert about(listed.body) == ("meta.k8s.io/v1", "PartialObjectMetadataList")
    message = oracle.parsed(listed.body, f"{META}.PartialObjectMetadataList")
    assert [item.metadata_1.name_1 for item in message.items_2] == ["a"]


class Frames:
    """A sink that cuts what it is given by the lengths before each frame."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._rest = b""
        self._arrived = asyncio.Event()

    def write(self, data: bytes) -> None:
        rest = self._rest + data
        while len(rest) >= 4 and len(rest) >= 4 + (size := int.from_bytes(rest[:4], "big")):
            self.frames.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        self._rest = rest
        self._arrived.set()

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def events(self, count: int) -> list[tuple[str, Any]]:
        """Types and objects of the first ``count``, once they are there."""
        while len(self.frames) < count:
            self._arrived.clear()
            await self._arrived.wait()
        event = oracle._classes()["k8s_io_apimachinery_pkg_apis_meta_v1_WatchEvent"]
        found = [event.FromString(frame) for frame in self.frames[:count]]
        return [(each.type_1, json.loads(protobuf.to_json(each.object_2.raw_1))) for each in found]


async def test_watches_in_frames(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = {"watch": "true", "allowWatchBookmarks": "true", "sendInitialEvents": "true"}
    query["resourceVersionMatch"] = "NotOlderThan"
    response = await api.raw("GET", MAPS, query=query, accept=PROTOBUF)
    assert response.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    assert response.stream is not None
    sink = Frames()
    watching = asyncio.create_task(response.stream(sink))
    await sink.events(2)
    await api.ok("POST", MAPS, config_map("b"))
    await api.ok("DELETE", f"{MAPS}/a")
    events = await sink.events(4)
    assert [kind for kind, _ in events] == ["ADDED", "BOOKMARK", "ADDED", "DELETED"]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[2][1] == await api.ok("GET", f"{MAPS}/b")
    watching.cancel()


async def test_errors_and_what_has_no_entry(api: Api) -> None:
    missing = await api.raw("GET", f"{MAPS}/a", accept=PROTOBUF)
    assert (missing.status, missing.headers["Content-Type"], about(missing.body)) == (404, PROTOBUF, ("v1", "Status"))
    status = json.loads(protobuf.to_json(missing.body))
    assert (status["reason"], status["details"]["name"]) == ("NotFound", "a")
    made = await api.ok("POST", "/apis/apps/v1/namespaces/d/deployments", deployment())
    scale = await api.raw("GET", "/apis/apps/v1/namespaces/d/deployments/web/scale", accept=BOTH)
    assert about(scale.body) == ("autoscaling/v1", "Scale")
    assert json.loads(protobuf.to_json(scale.body))["spec"]["replicas"] == made["spec"]["replicas"]


def deployment() -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROTOBUF, PROTOBUF),
        (BOTH, PROTOBUF),
        (f"application/json,{PROTOBUF}", "application/json"),
        (f"{PROTOBUF};q=0.5,application/json", "application/json"),
        (f"{PROTOBUF},*/*;q=0.1", PROTOBUF),
        ("*/*", "application/json"),
        (f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json", "application/json"),
        (f"application/cbor,{PROTOBUF}", PROTOBUF),
    ],
)
async def test_what_is_negotiated(api: Api, accept: str, expected: str) -> None:
    assert (await api.raw("GET", MAPS, accept=accept)).headers["Content-Type"] == expected


async def test_what_cannot_be_had(api: Api) -> None:
    media_types = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    for accept in ("application/cbor", f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1"):
        status, answer = await api.call("GET", MAPS, accept=accept)
        assert (status, answer["reason"]) == (406, "NotAcceptable")
        assert answer["message"] == f"only the following media types are accepted: {media_types}"
    status, answer = await api.call("POST", MAPS, b"\xd9\xd9\xf7\xa0", content_type="application/cbor")
    assert (status, answer["reason"], answer["message"]) == (
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {media_types}",
    )


async def test_custom_resources_have_none(api: Api) -> None:
    name = {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "scope": "Namespaced", "names": name, "versions": [version]}
    definition = {"metadata": {"name": "things.example.com"}, "spec": spec}
    await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    things = "/apis/example.com/v1/namespaces/d/things"
    for _ in range(1000):
        if (await api.raw("GET", things)).status == 200:
            break
        await asyncio.sleep(0)
    response = await api.raw("GET", things, accept=PROTOBUF)
    assert response.status == 406
    assert b"only the following media types are accepted: application/json, application/yaml" in response.body
    assert b"protobuf" not in response.body.partition(b"accepted")[2]
    assert (await api.raw("GET", things, accept=BOTH)).headers["Content-Type"] == "application/json"
    status, answer = await api.call("POST", things, protobuf.MAGIC, content_type=PROTOBUF)
    assert (status, answer["message"].rpartition(": ")[2]) == (415, "application/json, application/yaml")


async def test_bodies_and_answers_of_writes(api: Api) -> None:
    body = protobuf.document_of(json.dumps({"apiVersion": "v1", "kind": "Pod", **pod("a")}).encode())
    made = await api.raw("POST", "/api/v1/namespaces/d/pods", body, content_type=PROTOBUF, accept=BOTH)
    assert (made.status, about(made.body)) == (201, ("v1", "Pod"))
    options = protobuf.document_of(b'{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}')
    gone = await api.raw("DELETE", "/api/v1/namespaces/d/pods/a", options, content_type=PROTOBUF, accept=BOTH)
    assert gone.status == 200
    assert (await api.raw("GET", "/api/v1/namespaces/d/pods/a")).status == 404
