"""DELETE: at once, in grace, after finalizers; preconditions, collections, namespaces."""

import pytest

from tests.apiserver.server import MERGE, Api, config_map, pod

MAPS = "/api/v1/namespaces/d/configmaps"
PODS = "/api/v1/namespaces/d/pods"


async def test_the_answer_says_what_is_gone(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    answer = await api.ok("DELETE", f"{MAPS}/a")
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    status, answer = await api.call("DELETE", f"{MAPS}/a")
    assert (status, answer["reason"]) == (404, "NotFound")


async def test_pods_on_no_node_go_at_once(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"))
    assert (await api.ok("DELETE", f"{PODS}/p"))["kind"] == "Pod"
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_pods_on_a_node_get_their_grace_period(api: Api) -> None:
    await api.ok("POST", PODS, pod("p", "n1"))
    marked = await api.ok("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "20"})
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    assert marked["metadata"]["deletionTimestamp"] > marked["metadata"]["creationTimestamp"]
    again = await api.ok("DELETE", f"{PODS}/p", query={"gracePeriodSeconds": "25"})
    assert again["metadata"] == marked["metadata"]
    shorter = await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < marked["metadata"]["deletionTimestamp"]
    await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await api.call("GET", f"{PODS}/p"))[0] == 404


async def test_finalizers_keep_an_object(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    await api.ok("POST", MAPS, body)
    marked = await api.ok("DELETE", f"{MAPS}/a")
    assert marked["metadata"]["deletionTimestamp"] and marked["metadata"]["deletionGracePeriodSeconds"] == 0
    status, answer = await api.call(
        "PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["example.com/wait", "example.com/b"]}}, content_type=MERGE
    )
    assert status == 422
    assert "no new finalizers can be added if the object is being deleted" in answer["message"]
    status, answer = await api.call("POST", MAPS, config_map("a"))
    assert (status, answer["message"]) == (409, 'object is being deleted: configmaps "a" already exists')
    async with api.watching(MAPS, resourceVersion=str(api.store.revision)) as lines:
        freed = await api.ok("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)
        assert "finalizers" not in freed["metadata"]
        assert [event["type"] for event in await lines.wait(1)] == ["DELETED"]
    assert (await api.call("GET", f"{MAPS}/a"))[0] == 404


@pytest.mark.parametrize(
    ("policy", "finalizers", "code"),
    [("Foreground", ["foregroundDeletion"], 202), ("Orphan", ["orphan"], 200)],
)
async def test_propagation_leaves_work_to_the_collector(
    api: Api, policy: str, finalizers: list[str], code: int
) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    response = await api.raw("DELETE", f"{MAPS}/a", {"propagationPolicy": policy})
    assert response.status == code
    found = await api.ok("GET", f"{MAPS}/a")
    assert found["metadata"]["finalizers"] == finalizers


async def test_unknown_policies_are_refused(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    status, answer = await api.call("DELETE", f"{MAPS}/a", {"propagationPolicy": "Sideways"})
    assert (status, answer["reason"]) == (422, "Invalid")
    assert 'propagationPolicy: Unsupported value: "Sideways": supported values: ' in answer["message"]
    assert (await api.call("GET", f"{MAPS}/a"))[0] == 200


async def test_preconditions(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    status, answer = await api.call("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "x"}})
    assert status == 409
    assert answer["message"].startswith(
        'Operation cannot be fulfilled on configmaps "a": the UID in the precondition (x) does not match the UID'
    )
    status, _ = await api.call("DELETE", f"{MAPS}/a", {"preconditions": {"resourceVersion": "1"}})
    assert status == 409
    metadata = made["metadata"]
    await api.ok(
        "DELETE",
        f"{MAPS}/a",
        {"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}},
    )


async def test_dry_run_deletes_nothing(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await api.ok("DELETE", f"{MAPS}/a", query={"dryRun": "All"})
    await api.ok("DELETE", f"{MAPS}/a", {"dryRun": ["All"]})
    await api.ok("GET", f"{MAPS}/a")


async def test_collections(api: Api) -> None:
    for number in range(10):
        await api.ok("POST", MAPS, config_map(f"m{number}", even=str(number % 2 == 0)))
    await api.ok("POST", "/api/v1/namespaces/e/configmaps", config_map("m0", even="True"))
    answer = await api.ok("DELETE", MAPS, query={"labelSelector": "even=True"})
    assert (answer["kind"], len(answer["items"])) == ("ConfigMapList", 5)
    names = [item["metadata"]["name"] for item in (await api.ok("GET", MAPS))["items"]]
    assert names == ["m1", "m3", "m5", "m7", "m9"]
    assert len((await api.ok("GET", "/api/v1/configmaps"))["items"]) == 6


async def test_namespaces_go_in_phases(api: Api) -> None:
    made = await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    marked = await api.ok("DELETE", "/api/v1/namespaces/n")
    assert (marked["kind"], marked["status"]["phase"]) == ("Namespace", "Terminating")
    status, answer = await api.call("DELETE", "/api/v1/namespaces/n")
    assert (status, answer["reason"]) == (409, "Conflict")
    marked["spec"]["finalizers"] = []
    await api.ok("PUT", "/api/v1/namespaces/n/finalize", marked)
    assert (await api.call("GET", "/api/v1/namespaces/n"))[0] == 404


async def test_eviction_is_a_graceful_deletion(api: Api) -> None:
    await api.ok("POST", PODS, pod("p", "n1"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    answer = await api.ok("POST", f"{PODS}/p/eviction", eviction)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert (await api.ok("GET", f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 30
