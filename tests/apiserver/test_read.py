"""GET: objects, lists, pages, selectors, and the forms they come in."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from tests.apiserver.server import TABLE, Api, config_map, pod, serving
from tiphys.store.memory import MemoryStore

MAPS = "/api/v1/namespaces/d/configmaps"
PODS = "/api/v1/namespaces/d/pods"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def fill(api: Api, count: int = 10) -> None:
    for number in range(count):
        await api.ok("POST", MAPS, config_map(f"m{number:03}", odd=str(number % 2)))


async def test_lists_are_sorted_and_bare(api: Api) -> None:
    for name in ("c", "a", "b"):
        await api.ok("POST", MAPS, config_map(name))
    await api.ok("POST", "/api/v1/namespaces/e/configmaps", config_map("x"))
    found = await api.ok("GET", MAPS)
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert found["metadata"] == {"resourceVersion": "5"}
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "b", "c"]
    assert all("kind" not in item and "apiVersion" not in item for item in found["items"])
    assert len((await api.ok("GET", "/api/v1/configmaps"))["items"]) == 4


async def test_pages_show_one_revision(api: Api) -> None:
    await fill(api)
    first = await api.ok("GET", MAPS, query={"limit": "4"})
    assert first["metadata"]["remainingItemCount"] == 6
    await api.ok("POST", MAPS, config_map("m0055"))
    await api.ok("DELETE", f"{MAPS}/m008")
    names = [item["metadata"]["name"] for item in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        page = await api.ok("GET", MAPS, query={"limit": "4", "continue": token})
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == [f"m{number:03}" for number in range(10)]


async def test_an_expired_page_offers_to_go_on(api: Api) -> None:
    await fill(api)
    token = (await api.ok("GET", MAPS, query={"limit": "4"}))["metadata"]["continue"]
    await api.ok("DELETE", f"{MAPS}/m008")
    await api.store.compact(api.store.revision)
    status, answer = await api.call("GET", MAPS, query={"limit": "4", "continue": token})
    assert (status, answer["reason"]) == (410, "Expired")
    assert answer["message"].startswith("The provided continue parameter is too old to display a consistent list")
    rest = await api.ok("GET", MAPS, query={"continue": answer["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in rest["items"]] == ["m004", "m005", "m006", "m007", "m009"]


@pytest.mark.parametrize("token", ["x", "e30", "bnVsbA"])
async def test_continue_tokens_are_checked(api: Api, token: str) -> None:
    status, answer = await api.call("GET", MAPS, query={"continue": token})
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith("continue key is not valid")


async def test_selected_pages_are_full(api: Api) -> None:
    await fill(api)
    first = await api.ok("GET", MAPS, query={"limit": "3", "labelSelector": "odd=1"})
    assert [item["metadata"]["name"] for item in first["items"]] == ["m001", "m003", "m005"]
    assert "remainingItemCount" not in first["metadata"]
    query = {"limit": "3", "labelSelector": "odd=1", "continue": first["metadata"]["continue"]}
    second = await api.ok("GET", MAPS, query=query)
    assert [item["metadata"]["name"] for item in second["items"]] == ["m007", "m009"]
    assert "continue" not in second["metadata"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"labelSelector": "odd in (1),odd!=0"}, ["m001", "m003"]),
        ({"labelSelector": "!odd"}, []),
        ({"fieldSelector": "metadata.name=m002"}, ["m002"]),
        ({"fieldSelector": "metadata.name!=m002,metadata.namespace=d"}, ["m000", "m001", "m003"]),
    ],
)
async def test_selectors(api: Api, selector: dict[str, str], names: list[str]) -> None:
    await fill(api, 4)
    found = await api.ok("GET", MAPS, query=selector)
    assert [item["metadata"]["name"] for item in found["items"]] == names


async def test_pods_are_found_by_node(api: Api) -> None:
    await api.ok("POST", PODS, pod("a", "n1"))
    await api.ok("POST", PODS, pod("b", "n2"))
    found = await api.ok("GET", "/api/v1/pods", query={"fieldSelector": "spec.nodeName=n2,status.phase=Pending"})
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]


async def test_unknown_fields_cannot_be_selected(api: Api) -> None:
    status, answer = await api.call("GET", PODS, query={"fieldSelector": "spec.foo=bar"})
    assert status == 400
    assert answer["message"] == (
        'Unable to find "/v1, Resource=pods" that match label selector "", field selector "spec.foo=bar": '
        "field label not supported: spec.foo"
    )


async def test_exact_revisions(api: Api) -> None:
    await fill(api, 4)
    query = {"resourceVersion": "3", "resourceVersionMatch": "Exact"}
    found = await api.ok("GET", MAPS, query=query)
    assert (found["metadata"]["resourceVersion"], len(found["items"])) == ("3", 2)
    await api.store.compact(5)
    status, answer = await api.call("GET", MAPS, query=query)
    assert (status, answer["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"resourceVersionMatch": "Exact"}, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 'is forbidden for resourceVersion "0"'),
        ({"resourceVersionMatch": "Foo", "resourceVersion": "1"}, "Unsupported value"),
        ({"sendInitialEvents": "true"}, "sendInitialEvents is forbidden for list"),
    ],
)
async def test_list_options_are_checked(api: Api, query: dict[str, str], message: str) -> None:
    status, answer = await api.call("GET", MAPS, query=query)
    assert (status, answer["reason"]) == (422, "Invalid")
    assert message in answer["message"]


async def test_malformed_options(api: Api) -> None:
    assert (await api.call("GET", MAPS, query={"resourceVersion": "x"}))[0] == 400
    assert (await api.call("GET", MAPS, query={"limit": "x"}))[0] == 400
    assert (await api.call("GET", MAPS, query={"labelSelector": "a in"}))[0] == 400


async def test_tables(api: Api) -> None:
    await api.ok("POST", PODS, pod("p", "n1"))
    found = await api.ok("GET", PODS, accept=TABLE)
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [column["name"] for column in found["columnDefinitions"]]
    assert names[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert found["rows"][0]["cells"][0] == "p"
    assert found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert found["rows"][0]["object"]["metadata"]["name"] == "p"
    one = await api.ok("GET", f"{PODS}/p", accept=TABLE)
    assert len(one["rows"]) == 1
    whole = await api.ok("GET", PODS, query={"includeObject": "Object"}, accept=TABLE)
    assert whole["rows"][0]["object"]["spec"]["nodeName"] == "n1"
    none = await api.ok("GET", PODS, query={"includeObject": "None"}, accept=TABLE)
    assert none["rows"][0]["object"] is None


async def test_ages_in_tables_go_on() -> None:
    class Clock:
        time = datetime(2026, 1, 1, tzinfo=UTC)

        def now(self) -> datetime:
            return self.time

        def monotonic(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            raise AssertionError("nobody sleeps")

    from tiphys.apiserver import ApiServer, ApiServerConfig

    clock, store = Clock(), MemoryStore()
    async with ApiServer(ApiServerConfig(), store, clock=clock) as server:
        api = Api(server, store)
        await api.ok("POST", MAPS, config_map("a"))
        ages = []
        for seconds in (0, 5, 90):
            clock.time = datetime(2026, 1, 1, 0, seconds // 60, seconds % 60, tzinfo=UTC)
            ages.append((await api.ok("GET", MAPS, accept=TABLE))["rows"][0]["cells"][-1])
    assert ages == ["0s", "5s", "90s"]


async def test_partial_metadata(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "v"}))
    found = await api.ok("GET", f"{MAPS}/a", accept=PARTIAL)
    assert found == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }
    listed = await api.ok("GET", MAPS, accept=PARTIAL_LIST)
    assert (listed["kind"], listed["items"]) == ("PartialObjectMetadataList", [found])
    assert (await api.call("GET", MAPS, accept=PARTIAL))[0] == 406


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Nothing;v=v1;g=meta.k8s.io", "application/cbor"])
async def test_what_cannot_be_given(api: Api, accept: str) -> None:
    status, answer = await api.call("GET", MAPS, accept=accept)
    assert (status, answer["reason"]) == (406, "NotAcceptable")
    assert answer["message"].startswith("only the following media types are accepted: application/json")


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/json, */*", "text/html;q=0.9, application/json", "application/cbor, application/json"],
)
async def test_json_is_what_most_get(api: Api, accept: str) -> None:
    response = await api.raw("GET", MAPS, accept=accept)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")


async def test_pretty(api: Api) -> None:
    assert b'{\n  "kind": "ConfigMapList"' in (await api.raw("GET", MAPS, query={"pretty": "true"})).body
    assert b"\n" in (await api.raw("GET", MAPS, user_agent="curl/8")).body
    assert b"\n" not in (await api.raw("GET", MAPS, user_agent="curl/8", query={"pretty": "false"})).body


async def test_large_lists_are_compressed_for_those_who_ask(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", {"k": "x" * 200_000}))
    plain = await api.raw("GET", MAPS)
    small = await api.raw("GET", MAPS, accept_encoding="gzip")
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothings", 404),
        ("GET", "/apis/none/v1/pods", 404),
        ("GET", "/api/v1/namespaces/d/pods/p/nothing", 404),
        ("PUT", MAPS, 405),
        ("POST", f"{MAPS}/a", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods/p", 404),
        ("FOO", MAPS, 405),
    ],
)
async def test_paths_and_methods(api: Api, method: str, path: str, status: int) -> None:
    response = await api.raw(method, path, {})
    assert response.status == status
    if path in ("/nothing", "/apis/none/v1/pods"):
        assert response.body == b"404 page not found\n"
        return
    answer = json.loads(response.body)
    messages = {
        404: "the server could not find the requested resource",
        405: "the server does not allow this method on the requested resource",
    }
    assert (answer["kind"], answer["code"], answer["message"]) == ("Status", status, messages[status])


async def test_a_restarted_server_serves_what_was_there() -> None:
    store = MemoryStore()
    async with serving(store=store) as api:
        await api.ok("POST", MAPS, config_map("a"))
        before = await api.ok("GET", MAPS)
    async with serving(store=store.fork()) as api:
        assert await api.ok("GET", MAPS) == before
