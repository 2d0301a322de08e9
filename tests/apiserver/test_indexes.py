"""Lists and watches by an indexed field agree with the slow way, whatever happens to the objects."""

import random
from typing import Any

from tests.apiserver.server import MERGE, Api

PODS = "/api/v1/namespaces/{}/pods"


def pod(name: str, node: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "a", "image": "a"}]} | ({"nodeName": node} if node else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def names(api: Api, path: str, **query: str) -> list[str]:
    items = (await api.ok("GET", path, query=query))["items"]
    return [item["metadata"]["namespace"] + "/" + item["metadata"]["name"] for item in items]


async def slowly(api: Api, node: str, namespace: str = "") -> list[str]:
    """By reading everything."""
    items = (await api.ok("GET", "/api/v1/pods"))["items"]
    return [
        item["metadata"]["namespace"] + "/" + item["metadata"]["name"]
        for item in items
        if item["spec"].get("nodeName", "") == node and namespace in ("", item["metadata"]["namespace"])
    ]


async def agree(api: Api) -> None:
    for node in ("", "n1", "n2", "none"):
        assert await names(api, "/api/v1/pods", fieldSelector=f"spec.nodeName={node}") == await slowly(api, node)
        for namespace in ("a", "b"):
            found = await names(api, PODS.format(namespace), fieldSelector=f"spec.nodeName={node}")
            assert found == await slowly(api, node, namespace)


async def test_an_index_follows_creations_bindings_and_deletions(api: Api) -> None:
    source = random.Random(7)
    living: dict[str, str] = {}
    for number in range(120):
        path = PODS.format(source.choice("ab"))
        roll = source.random()
        if roll < 0.5 or not living:
            node = source.choice(["", "n1", "n2"])
            await api.ok("POST", path, pod(f"p{number}", node))
            living[f"{path}/p{number}"] = node
        elif roll < 0.75 and (unbound := [where for where, node in living.items() if not node]):
            where = source.choice(unbound)
            await api.ok("POST", f"{where}/binding", {"target": {"kind": "Node", "name": "n1"}})
            living[where] = "n1"
        else:
            where = source.choice(list(living))
            await api.ok("DELETE", where, query={"gracePeriodSeconds": "0"})
            del living[where]
        if number % 10 == 0:
            await agree(api)
    await agree(api)


async def test_a_watch_begins_with_what_the_index_names(api: Api) -> None:
    for number in range(4):
        await api.ok("POST", PODS.format("a"), pod(f"p{number}", f"n{number % 2}"))
    async with api.watching("/api/v1/pods", fieldSelector="spec.nodeName=n1") as lines:
        assert [event["object"]["metadata"]["name"] for event in await lines.wait(2)] == ["p1", "p3"]
        await api.ok("PATCH", PODS.format("a") + "/p3", {"metadata": {"labels": {"x": "y"}}}, content_type=MERGE)
        assert (await lines.wait(3))[2]["type"] == "MODIFIED"


async def test_pages_by_index_and_by_label(api: Api) -> None:
    for number in range(7):
        await api.ok("POST", PODS.format("a"), pod(f"p{number}", "n1"))
    query = {"limit": "3", "fieldSelector": "spec.nodeName=n1"}
    found: list[str] = []
    while True:
        page = await api.ok("GET", "/api/v1/pods", query=query)
        found += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
        query["continue"] = token
    assert found == [f"p{number}" for number in range(7)]
    page = await api.ok("GET", "/api/v1/pods", query={"limit": "2"})
    assert page["metadata"]["remainingItemCount"] == 5
