"""POST: what the system sets, what it refuses, how strictly fields are read."""

import pytest

from tests.apiserver.server import Api, config_map, pod

MAPS = "/api/v1/namespaces/d/configmaps"


async def test_the_system_sets_metadata(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "v"}, x="y"))
    metadata = made["metadata"]
    assert metadata["namespace"] == "d"
    assert metadata["uid"] and metadata["creationTimestamp"] and metadata["resourceVersion"] == "2"
    assert await api.ok("GET", f"{MAPS}/a") == made


async def test_an_object_that_exists_is_not_replaced(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", {"k": "1"}))
    status, answer = await api.call("POST", MAPS, config_map("a", {"k": "2"}))
    assert (status, answer["reason"]) == (409, "AlreadyExists")
    assert answer["message"] == 'configmaps "a" already exists'
    assert (await api.ok("GET", f"{MAPS}/a"))["data"] == {"k": "1"}


async def test_generate_name_adds_five_characters(api: Api) -> None:
    names = set()
    for _ in range(20):
        made = await api.ok("POST", MAPS, {"metadata": {"generateName": "web-"}})
        assert made["metadata"]["generateName"] == "web-"
        names.add(made["metadata"]["name"])
    assert len(names) == 20
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(
            {"metadata": {"name": "a", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
            id="namespace",
        ),
        pytest.param(
            {"metadata": {}},
            422,
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            id="no-name",
        ),
        pytest.param(
            {"apiVersion": "v2", "metadata": {"name": "a"}},
            400,
            "the API version in the data (v2) does not match the expected API version (v1)",
            id="version",
        ),
    ],
)
async def test_refusals(api: Api, body: object, status: int, message: str) -> None:
    found, answer = await api.call("POST", MAPS, body)
    assert (found, answer["message"]) == (status, message)
    assert (await api.ok("GET", MAPS))["items"] == []


async def test_resource_version_must_not_be_set(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["resourceVersion"] = "1"
    status, answer = await api.call("POST", MAPS, body)
    assert answer["message"] == "resourceVersion should not be set on objects to be created"
    assert status == 500


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore", ""])
async def test_unknown_and_duplicate_fields(api: Api, validation: str) -> None:
    body = b'{"metadata":{"name":"a","labels":{"x":"1","x":"2"}},"dat":{}}'
    query = {"fieldValidation": validation} if validation else {}
    response = await api.raw("POST", MAPS, body, query)
    if validation == "Strict":
        assert response.status == 400
        assert (
            b'strict decoding error: duplicate field \\"metadata.labels.x\\", unknown field \\"dat\\"' in response.body
        )
    else:
        assert response.status == 201
        expected = '299 - "duplicate field \\"metadata.labels.x\\"", 299 - "unknown field \\"dat\\""'
        assert response.headers.get("Warning", "") == ("" if validation == "Ignore" else expected)


async def test_unknown_field_validation(api: Api) -> None:
    status, answer = await api.call("POST", MAPS, config_map("a"), {"fieldValidation": "Maybe"})
    assert (status, answer["reason"]) == (422, "Invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"metadata":{"name":1}}', b"\xff\xfe"])
async def test_bodies_that_are_no_objects(api: Api, body: bytes) -> None:
    status, answer = await api.call("POST", MAPS, body)
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert "ConfigMap" in answer["message"]
    assert api.store.revision == 1


async def test_wrong_types_name_the_field(api: Api) -> None:
    status, answer = await api.call(
        "POST", "/api/v1/namespaces/d/pods", {"metadata": {"name": "a", "labels": {"x": 1}}}
    )
    assert status == 400
    assert answer["message"].startswith('Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number')


async def test_yaml(api: Api) -> None:
    made = await api.ok("POST", MAPS, b"metadata:\n  name: a\ndata:\n  k: 'yes'\n", content_type="application/yaml")
    assert made["data"] == {"k": "yes"}
    response = await api.raw("GET", f"{MAPS}/a", accept="application/yaml")
    assert response.headers["Content-Type"] == "application/yaml"
    assert b"data:\n  k: 'yes'\n" in response.body


async def test_dry_run_writes_nothing(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"), {"dryRun": "All"})
    assert made["metadata"]["uid"]
    assert api.store.revision == 1
    status, answer = await api.call("POST", MAPS, config_map("a"), {"dryRun": "Some"})
    assert (status, answer["reason"]) == (422, "Invalid")
    assert "dryRun: Unsupported value" in answer["message"]


async def test_too_large(api: Api) -> None:
    status, answer = await api.call("POST", MAPS, b" " * (3 * 1024 * 1024 + 1))
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
    assert answer["message"] == "Request entity too large: limit is 3145728"


@pytest.mark.parametrize("media_type", ["text/plain", "application/cbor"])
async def test_unknown_media_types(api: Api, media_type: str) -> None:
    status, answer = await api.call("POST", MAPS, b"x", content_type=media_type)
    assert (status, answer["reason"]) == (415, "UnsupportedMediaType")
    assert answer["message"].startswith(
        "the body of the request was in an unknown format - accepted media types include:"
    )


async def test_events_of_both_groups_are_one(api: Api) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "d"}, "message": "hello"}
    await api.ok("POST", "/api/v1/namespaces/d/events", event)
    found = await api.ok("GET", "/apis/events.k8s.io/v1/namespaces/d/events/e")
    assert (found["apiVersion"], found["note"]) == ("events.k8s.io/v1", "hello")
    listed = await api.ok("GET", "/apis/events.k8s.io/v1/events")
    assert [item["note"] for item in listed["items"]] == ["hello"]


async def test_pods_are_defaulted(api: Api) -> None:
    made = await api.ok("POST", "/api/v1/namespaces/d/pods", pod("p"))
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["status"]["phase"] == "Pending"
