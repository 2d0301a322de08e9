"""PUT and PATCH: who wins, what is kept, what is refused; status, scale and binding."""

import asyncio

import pytest

from tests.apiserver.server import JSON_PATCH, MERGE, STRATEGIC, Api, config_map, pod

MAPS = "/api/v1/namespaces/d/configmaps"
PODS = "/api/v1/namespaces/d/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/d/deployments"
CONFLICT = (
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
    "please apply your changes to the latest version and try again"
)


def deployment(name: str = "web", replicas: int = 2) -> dict[str, object]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def test_put_keeps_what_the_system_set(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "1"}))
    changed = await api.ok("PUT", f"{MAPS}/a", config_map("a", {"k": "2"}))
    assert changed["data"] == {"k": "2"}
    for field in ("uid", "creationTimestamp", "namespace"):
        assert changed["metadata"][field] == made["metadata"][field]
    assert changed["metadata"]["resourceVersion"] == "3"


async def test_put_with_an_old_version_is_refused(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    await api.ok("PUT", f"{MAPS}/a", config_map("a", {"k": "other"}))
    status, answer = await api.call("PUT", f"{MAPS}/a", made)
    assert (status, answer["reason"], answer["message"]) == (409, "Conflict", CONFLICT)


async def test_put_of_the_same_writes_nothing(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "1"}))
    assert await api.ok("PUT", f"{MAPS}/a", made) == made
    assert api.store.revision == 2


async def test_put_with_another_uid_is_refused(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    body = config_map("a")
    body["metadata"]["uid"] = "x"
    status, answer = await api.call("PUT", f"{MAPS}/a", body)
    assert (status, answer["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: x" in answer["message"]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("b", 400, "the name of the object (b) does not match the name on the URL (a)"),
        ("", 400, "the name of the object (a based on URL) was undeterminable: name must be provided"),
    ],
)
async def test_put_names_must_agree(api: Api, name: str, status: int, message: str) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    found, answer = await api.call("PUT", f"{MAPS}/a", config_map(name))
    assert (found, answer["message"]) == (status, message)


async def test_put_to_nothing(api: Api) -> None:
    status, answer = await api.call("PUT", f"{MAPS}/a", config_map("a"))
    assert (status, answer["message"]) == (404, 'configmaps "a" not found')


async def test_leases_are_created_by_put(api: Api) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    path = "/apis/coordination.k8s.io/v1/namespaces/d/leases/l"
    response = await api.raw("PUT", path, lease)
    assert response.status == 201
    assert (await api.ok("GET", path))["spec"]["holderIdentity"] == "me"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (MERGE, {"data": {"k": None, "n": "1"}}),
        (STRATEGIC, {"data": {"k": None, "n": "1"}}),
        (JSON_PATCH, [{"op": "remove", "path": "/data/k"}, {"op": "add", "path": "/data/n", "value": "1"}]),
    ],
)
async def test_patches(api: Api, media_type: str, body: object) -> None:
    await api.ok("POST", MAPS, config_map("a", {"k": "v", "o": "2"}))
    changed = await api.ok("PATCH", f"{MAPS}/a", body, content_type=media_type)
    assert changed["data"] == {"n": "1", "o": "2"}
    assert await api.ok("PATCH", f"{MAPS}/a", {}, content_type=MERGE) == changed


async def test_a_patch_may_name_the_version(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    status, answer = await api.call(
        "PATCH", f"{MAPS}/a", {"metadata": {"resourceVersion": "1"}, "data": {"k": "v"}}, content_type=MERGE
    )
    assert (status, answer["message"]) == (409, CONFLICT)


async def test_concurrent_patches_all_count(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await asyncio.gather(
        *(api.ok("PATCH", f"{MAPS}/a", {"data": {f"k{n}": "v"}}, content_type=MERGE) for n in range(80))
    )
    assert len((await api.ok("GET", f"{MAPS}/a"))["data"]) == 80


async def test_patch_field_validation(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    status, answer = await api.call(
        "PATCH", f"{MAPS}/a", {"dat": {"k": "v"}}, {"fieldValidation": "Strict"}, content_type=MERGE
    )
    assert (status, answer["reason"]) == (422, "Invalid")
    assert 'strict decoding error: unknown field "dat"' in answer["message"]
    response = await api.raw("PATCH", f"{MAPS}/a", {"dat": {"k": "v"}}, content_type=MERGE)
    assert (response.status, response.headers["Warning"]) == (200, '299 - "unknown field \\"dat\\""')


async def test_names_and_uids_cannot_be_patched(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    for patch in ({"metadata": {"name": "b"}}, {"metadata": {"uid": "b"}}):
        status, _ = await api.call("PATCH", f"{MAPS}/a", patch, content_type=MERGE)
        assert status in (400, 409)
    status, answer = await api.call(
        "PATCH", f"{MAPS}/a", {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}, content_type=MERGE
    )
    assert status == 422
    assert "metadata.creationTimestamp" in answer["message"] and "field is immutable" in answer["message"]


async def test_status_and_spec_do_not_mix(api: Api) -> None:
    made = await api.ok("POST", DEPLOYMENTS, deployment())
    assert made["metadata"]["generation"] == 1
    made["status"] = {"replicas": 7}
    made["spec"]["replicas"] = 9
    status_only = await api.ok("PUT", f"{DEPLOYMENTS}/web/status", made)
    assert (status_only["status"]["replicas"], status_only["spec"]["replicas"]) == (7, 2)
    assert status_only["metadata"]["generation"] == 1
    status_only["status"] = {"replicas": 1}
    status_only["spec"]["replicas"] = 9
    spec_only = await api.ok("PUT", f"{DEPLOYMENTS}/web", status_only)
    assert (spec_only["status"]["replicas"], spec_only["spec"]["replicas"]) == (7, 9)
    assert spec_only["metadata"]["generation"] == 2


async def test_scale(api: Api) -> None:
    made = await api.ok("POST", DEPLOYMENTS, deployment())
    path = f"{DEPLOYMENTS}/web/scale"
    scale = await api.ok("GET", path)
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    scale["spec"]["replicas"] = 5
    assert (await api.ok("PUT", path, scale))["spec"] == {"replicas": 5}
    assert (await api.call("PUT", path, scale))[0] == 409
    patched = await api.ok("PATCH", path, {"spec": {"replicas": 0}}, content_type=MERGE)
    assert patched["spec"] == {}
    found = await api.ok("GET", f"{DEPLOYMENTS}/web")
    assert found["spec"]["replicas"] == 0
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    status, answer = await api.call("PATCH", path, {"spec": {"replicas": -1}}, content_type=MERGE)
    assert (status, answer["reason"]) == (422, "Invalid")


async def test_binding(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"))
    binding = {"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n1"}}
    answer = await api.ok("POST", f"{PODS}/p/binding", binding)
    assert (answer["kind"], answer["status"], answer["code"]) == ("Status", "Success", 201)
    bound = await api.ok("GET", f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"a": "b"}
    assert [(c["type"], c["status"]) for c in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    status, answer = await api.call("POST", f"{PODS}/p/binding", binding)
    assert status == 409
    assert answer["message"] == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )


async def test_binding_needs_a_target(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"))
    status, answer = await api.call("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {}})
    assert (status, answer["message"]) == (422, 'Binding "p" is invalid: target.name: Required value')


async def test_bindings_without_a_pod_in_the_path(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    await api.ok("POST", "/api/v1/namespaces/d/bindings", binding)
    assert (await api.ok("GET", f"{PODS}/p"))["spec"]["nodeName"] == "n1"


async def test_services_hold_addresses_and_ports_alone(api: Api) -> None:
    services = "/api/v1/namespaces/d/services"

    def service(name: str, **spec: object) -> dict[str, object]:
        return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}

    first = await api.ok("POST", services, service("a", type="NodePort"))
    address, port = first["spec"]["clusterIP"], first["spec"]["ports"][0]["nodePort"]
    assert first["spec"]["clusterIPs"] == [address] and address.startswith("10.96.")
    assert 30000 <= port <= 32767
    status, answer = await api.call("POST", services, service("b", clusterIP=address))
    assert status == 422
    assert f"failed to allocate IP {address}: provided IP is already allocated" in answer["message"]
    status, answer = await api.call(
        "POST", services, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    )
    assert f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated" in answer["message"]
    status, answer = await api.call("POST", services, service("b", clusterIP="10.1.0.1"))
    assert "10.1.0.1: the provided network does not match the current range" in answer["message"]
    same = await api.ok("PUT", f"{services}/a", service("a", type="NodePort"))
    assert (same["spec"]["clusterIP"], same["spec"]["ports"][0]["nodePort"]) == (address, port)
    await api.ok("DELETE", f"{services}/a")
    again = await api.ok("POST", services, service("b", clusterIP=address, type="NodePort"))
    assert again["spec"]["clusterIP"] == address
    headless = await api.ok("POST", services, service("c", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    made = await asyncio.gather(*(api.ok("POST", services, service(f"s{n}")) for n in range(40)))
    assert len({one["spec"]["clusterIP"] for one in made} | {address}) == 41
