"""Server-side apply and managed fields, along the page "Server-Side Apply" of the Kubernetes documentation."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.secure import secured
from tests.apiserver.server import MERGE, STRATEGIC, Api, pod

APPLY = "application/apply-patch+yaml"
MAPS = "/api/v1/namespaces/d/configmaps"
PODS = "/api/v1/namespaces/d/pods"
SERVICES = "/api/v1/namespaces/d/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/d/deployments"


def config_map(name: str, data: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """A ConfigMap that says nothing empty: an empty map, too, is something to own."""
    found: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    if labels:
        found["metadata"]["labels"] = labels
    if data:
        found["data"] = data
    return found


async def apply(api: Api, path: str, body: Any, manager: str = "m", **query: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.call("PATCH", path, data, {"fieldManager": manager, **query}, content_type=APPLY)


async def applied(api: Api, path: str, body: Any, manager: str = "m", **query: str) -> Any:
    status, answer = await apply(api, path, body, manager, **query)
    assert status in (200, 201), answer
    return answer


def owners(obj: Any) -> dict[tuple[str, str, str], Any]:
    """Fields by manager, operation and subresource."""
    found = {}
    for entry in obj["metadata"].get("managedFields", ()):
        assert entry["fieldsType"] == "FieldsV1"
        key = (entry["manager"], entry["operation"], entry.get("subresource", ""))
        assert key not in found
        found[key] = entry["fieldsV1"]
    return found


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    whole = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": whole}


async def test_field_management_after_apply(api: Api) -> None:
    status, made = await apply(api, f"{MAPS}/test-cm", config_map("test-cm", {"key": "some value"}, x="y"), "kubectl")
    assert status == 201
    assert owners(made) == {
        ("kubectl", "Apply", ""): {"f:data": {"f:key": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}
    }
    entry = made["metadata"]["managedFields"][0]
    assert (entry["apiVersion"], "time" in entry) == ("v1", True)


async def test_field_management_after_create(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"k": "1"}, x="y"), user_agent="kubectl/v1.36.0 (linux)")
    assert owners(made) == {
        ("kubectl", "Update", ""): {
            "f:data": {".": {}, "f:k": {}},
            "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        }
    }


async def test_pod_as_kubectl_run_makes_it(api: Api) -> None:
    body = pod("nginx", labels={"run": "nginx"})
    made = await api.ok("POST", PODS, body, {"fieldManager": "kubectl-run"})
    assert owners(made) == {
        ("kubectl-run", "Update", ""): {
            "f:metadata": {"f:labels": {".": {}, "f:run": {}}},
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:image": {},
                        "f:imagePullPolicy": {},
                        "f:name": {},
                        "f:resources": {},
                        "f:terminationMessagePath": {},
                        "f:terminationMessagePolicy": {},
                    }
                },
                "f:dnsPolicy": {},
                "f:enableServiceLinks": {},
                "f:restartPolicy": {},
                "f:schedulerName": {},
                "f:securityContext": {},
                "f:terminationGracePeriodSeconds": {},
            },
        }
    }


async def test_deployment_as_kubectl_create_makes_it(api: Api) -> None:
    made = await api.ok("POST", DEPLOYMENTS, deployment(), {"fieldManager": "kubectl-create"})
    spec = owners(made)["kubectl-create", "Update", ""]["f:spec"]
    assert spec["f:strategy"] == {
        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
        "f:type": {},
    }
    assert spec["f:selector"] == {}
    assert spec["f:template"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    assert list(owners(made)) == [("kubectl-create", "Update", "")]


async def test_service_ports_are_known_by_port_and_protocol(api: Api) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 443, "name": "b"}, {"port": 80, "name": "a"}]},
    }
    made = await applied(api, f"{SERVICES}/s", service)
    ports = owners(made)["m", "Apply", ""]["f:spec"]["f:ports"]
    assert list(ports) == ['k:{"port":80,"protocol":"TCP"}', 'k:{"port":443,"protocol":"TCP"}']
    assert ports['k:{"port":80,"protocol":"TCP"}'] == {".": {}, "f:name": {}, "f:port": {}}


async def test_conflict_and_ways_out(api: Api) -> None:
    await applied(api, f"{DEPLOYMENTS}/web", deployment(replicas=3), "one")
    status, answer = await apply(api, f"{DEPLOYMENTS}/web", deployment(replicas=4), "two")
    assert (status, answer["reason"]) == (409, "Conflict")
    assert answer["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    assert answer["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}]
    }
    # Give up: the field is not applied.
    done = await applied(api, f"{DEPLOYMENTS}/web", deployment(), "two")
    assert "f:replicas" not in owners(done)["two", "Apply", ""]["f:spec"]
    # Share: the same value.
    done = await applied(api, f"{DEPLOYMENTS}/web", deployment(replicas=3), "two")
    assert all("f:replicas" in fields["f:spec"] for fields in owners(done).values())
    # Overwrite.
    done = await applied(api, f"{DEPLOYMENTS}/web", deployment(replicas=4), "two", force="true")
    assert done["spec"]["replicas"] == 4
    assert "f:replicas" not in owners(done)["one", "Apply", ""]["f:spec"]


async def test_conflict_with_an_update(api: Api) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment(replicas=3), {"fieldManager": "kubectl-client-side-apply"})
    status, answer = await apply(api, f"{DEPLOYMENTS}/web", deployment(replicas=4), "two")
    assert status == 409
    assert answer["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )


async def test_several_conflicts_are_grouped(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1", "y": "1"}), "b")
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1", "z": "1"}), "a")
    status, answer = await apply(api, f"{MAPS}/a", config_map("a", {"x": "2", "y": "2", "z": "2"}), "c")
    assert (status, len(answer["details"]["causes"])) == (409, 4)
    assert answer["message"] == (
        'Apply failed with 4 conflicts: conflicts with "a":\n- .data.x\n- .data.z\n'
        'conflicts with "b":\n- .data.x\n- .data.y'
    )


async def test_what_is_no_longer_applied_goes_unless_shared(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1", "y": "1", "z": "1"}), "one")
    await applied(api, f"{MAPS}/a", config_map("a", {"y": "1"}), "two")
    await api.ok("PATCH", f"{MAPS}/a", {"data": {"w": "1"}}, content_type=MERGE)
    done = await applied(api, f"{MAPS}/a", config_map("a", {"z": "1"}), "one")
    assert done["data"] == {"y": "1", "z": "1", "w": "1"}
    done = await applied(api, f"{MAPS}/a", config_map("a"), "one")
    assert done["data"] == {"y": "1", "w": "1"}


async def test_list_items_merge_and_keep_order(api: Api) -> None:
    def with_containers(*names: str) -> dict[str, Any]:
        body = deployment()
        body["spec"]["template"]["spec"]["containers"] = [{"name": name, "image": "i"} for name in names]
        return body

    await applied(api, f"{DEPLOYMENTS}/web", with_containers("a", "b"), "one")
    done = await applied(api, f"{DEPLOYMENTS}/web", with_containers("c", "a"), "two")
    assert [c["name"] for c in done["spec"]["template"]["spec"]["containers"]] == ["c", "a", "b"]
    done = await applied(api, f"{DEPLOYMENTS}/web", with_containers("b"), "one")
    assert [c["name"] for c in done["spec"]["template"]["spec"]["containers"]] == ["c", "a", "b"]
    done = await applied(api, f"{DEPLOYMENTS}/web", with_containers("a"), "two")
    assert sorted(c["name"] for c in done["spec"]["template"]["spec"]["containers"]) == ["a", "b"]


async def test_sets(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["x.io/a"]}}
    done = await applied(api, f"{MAPS}/a", body, "one")
    assert owners(done)["one", "Apply", ""] == {"f:metadata": {"f:finalizers": {'v:"x.io/a"': {}}}}
    body["metadata"]["finalizers"] = ["x.io/b"]
    done = await applied(api, f"{MAPS}/a", body, "two")
    assert sorted(done["metadata"]["finalizers"]) == ["x.io/a", "x.io/b"]


async def test_atomic_fields_have_one_owner(api: Api) -> None:
    await applied(api, f"{DEPLOYMENTS}/web", deployment(), "one")
    other = deployment()
    other["spec"]["selector"] = {"matchLabels": {"app": "web", "b": "c"}}
    status, answer = await apply(api, f"{DEPLOYMENTS}/web", other, "two")
    assert (status, answer["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .spec.selector')


async def test_update_takes_what_it_changes(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1", "y": "1"}), "one")
    done = await api.ok("PATCH", f"{MAPS}/a", {"data": {"x": "2"}}, {"fieldManager": "two"}, content_type=MERGE)
    assert owners(done) == {
        ("one", "Apply", ""): {"f:data": {"f:y": {}}},
        ("two", "Update", ""): {"f:data": {"f:x": {}}},
    }
    # Removing takes from everybody and gives to nobody.
    done = await api.ok("PUT", f"{MAPS}/a", config_map("a", {"x": "2"}), {"fieldManager": "three"})
    assert owners(done) == {("two", "Update", ""): {"f:data": {"f:x": {}}}}


async def test_one_manager_applies_and_updates_under_two_entries(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1"}), "one")
    done = await api.ok("PATCH", f"{MAPS}/a", {"data": {"y": "1"}}, {"fieldManager": "one"}, content_type=MERGE)
    assert set(owners(done)) == {("one", "Apply", ""), ("one", "Update", "")}


async def test_status_is_an_entry_of_its_own(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"), {"fieldManager": "me"})
    done = await api.ok(
        "PATCH",
        f"{PODS}/p/status",
        {"status": {"phase": "Running"}},
        {"fieldManager": "kubelet"},
        content_type=STRATEGIC,
    )
    assert owners(done)["kubelet", "Update", "status"] == {"f:status": {"f:phase": {}}}
    status, answer = await apply(
        api,
        f"{PODS}/p/status",
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Failed"}},
        "x",
    )
    assert (status, answer["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "kubelet" with subresource "status" using v1: .status.phase',
    )


async def test_apply_to_status_leaves_the_spec_alone(api: Api) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment(replicas=2), {"fieldManager": "me"})
    body = deployment(replicas=9) | {"status": {"observedGeneration": 1}}
    done = await applied(api, f"{DEPLOYMENTS}/web/status", body, "ctl")
    assert (done["spec"]["replicas"], done["status"]["observedGeneration"]) == (2, 1)
    assert owners(done)["ctl", "Apply", "status"] == {"f:status": {"f:observedGeneration": {}}}


async def test_scale_transfers_replicas(api: Api) -> None:
    await applied(api, f"{DEPLOYMENTS}/web", deployment(replicas=3), "one")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 5}}
    status, answer = await apply(api, f"{DEPLOYMENTS}/web/scale", scale, "hpa")
    assert (status, answer["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .spec.replicas')
    await api.ok("PUT", f"{DEPLOYMENTS}/web/scale", scale, {"fieldManager": "hpa"})
    done = await api.ok("GET", f"{DEPLOYMENTS}/web")
    assert done["spec"]["replicas"] == 5
    assert owners(done)["hpa", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owners(done)["one", "Apply", ""]["f:spec"]
    status, answer = await apply(api, f"{DEPLOYMENTS}/web", deployment(replicas=3), "one")
    assert answer["message"] == (
        'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
    )


async def test_clearing_managed_fields_and_before_first_apply(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", {"x": "1"}))
    body = {"metadata": {"managedFields": [{}]}}
    done = await api.ok("PATCH", f"{MAPS}/a", body, content_type=MERGE)
    assert owners(done) == {}
    # Nobody is tracked, so an update is not either.
    done = await api.ok("PATCH", f"{MAPS}/a", {"data": {"y": "1"}}, content_type=MERGE)
    assert owners(done) == {}
    status, answer = await apply(api, f"{MAPS}/a", config_map("a", {"x": "2"}), "one")
    assert (status, answer["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x',
    )
    done = await applied(api, f"{MAPS}/a", config_map("a", {"x": "2"}), "one", force="true")
    assert owners(done) == {
        ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:y": {}}},
        ("one", "Apply", ""): {"f:data": {"f:x": {}}},
    }


async def test_an_empty_list_does_not_clear(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"x": "1"}))
    made["metadata"]["managedFields"] = []
    done = await api.ok("PUT", f"{MAPS}/a", made)
    assert len(owners(done)) == 1


async def test_managers_may_be_written(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a", {"x": "1"}), {"fieldManager": "one"})
    made["metadata"]["managedFields"][0] |= {"manager": "two", "operation": "Apply"}
    done = await api.ok("PUT", f"{MAPS}/a", made, {"fieldManager": "one"})
    assert set(owners(done)) == {("two", "Apply", "")}


async def test_the_same_again_writes_nothing(api: Api) -> None:
    first = await applied(api, f"{MAPS}/a", config_map("a", {"x": "1"}))
    assert await applied(api, f"{MAPS}/a", config_map("a", {"x": "1"})) == first


async def test_empty_apply_gives_everything_up(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"x": "1"}), "one")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    done = await applied(api, f"{MAPS}/a", body, "one")
    assert owners(done) == {}
    assert "data" not in done or done["data"] == {}


async def test_yaml(api: Api) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n  k: w\n"
    response = await api.raw("PATCH", f"{MAPS}/a", text, {"fieldManager": "m"}, content_type=APPLY)
    assert response.status == 201
    assert 'key \\"k\\" already set in map' in response.headers["Warning"]
    status, answer = await apply(api, f"{MAPS}/a", text, fieldValidation="Strict")
    assert status == 400
    assert answer["message"].startswith("error strict decoding YAML: error converting YAML to JSON: yaml: ")


async def test_dry_run(api: Api) -> None:
    status, answer = await apply(api, f"{MAPS}/a", config_map("a", {"k": "1"}), dryRun="All")
    assert (status, answer["data"]) == (201, {"k": "1"})
    assert (await api.call("GET", f"{MAPS}/a"))[0] == 404


async def test_refusals(api: Api) -> None:
    status, answer = await api.call("PATCH", f"{MAPS}/a", config_map("a"), content_type=APPLY)
    assert status == 422
    assert answer["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    status, answer = await api.call("PATCH", f"{MAPS}/a", {}, {"force": "true"}, content_type=MERGE)
    assert (status, answer["message"]) == (
        422,
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
    )
    status, answer = await api.call("PATCH", f"{MAPS}/a", b"", content_type="application/apply-patch+cbor")
    assert status == 415


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        ({"metadata": {"name": "a", "managedFields": [{}]}}, 400, "metadata.managedFields must be nil"),
        (
            {"dta": {}},
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dta: field not declared in schema",
        ),
        (
            {"data": {"a": 3}},
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.a: expected string, got "
            "&value.valueUnstructured{Value:3}",
        ),
        ({"metadata": {"name": "b"}}, 400, "the name of the object (b) does not match the name on the URL (a)"),
    ],
)
async def test_bad_configurations(api: Api, change: dict[str, Any], status: int, message: str) -> None:
    found, answer = await apply(api, f"{MAPS}/a", config_map("a") | change)
    assert (found, answer["message"]) == (status, message)


async def test_items_with_the_same_keys(api: Api) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"] *= 2
    status, answer = await apply(api, f"{DEPLOYMENTS}/web", body)
    assert status == 500
    assert answer["message"].endswith('.spec.template.spec.containers: duplicate entries for key [name="c"]')


async def test_migration_from_client_side_apply(api: Api) -> None:
    body = config_map("a", {"x": "1"})
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(body)}
    made = body | {"metadata": {"name": "a", "annotations": annotation}}
    await api.ok("POST", MAPS, made, {"fieldManager": "kubectl-client-side-apply"})
    done = await applied(api, f"{MAPS}/a", config_map("a", {"x": "2"}), "kubectl")
    assert done["data"] == {"x": "2"}
    text = done["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(text)["data"] == {"x": "2"}
    # Other managers have no such way.
    status, _ = await apply(api, f"{MAPS}/a", config_map("a", {"x": "3"}), "other")
    assert status == 409


async def test_old_updaters_are_merged(api: Api) -> None:
    await applied(api, f"{MAPS}/a", config_map("a", {"k": "1"}), "one")
    for number in range(14):
        done = await api.ok(
            "PATCH", f"{MAPS}/a", {"data": {f"k{number}": "1"}}, {"fieldManager": f"u{number:02}"}, content_type=MERGE
        )
    updaters = [key for key in owners(done) if key[1] == "Update"]
    assert len(updaters) == 10
    assert ("ancient-changes", "Update", "") in updaters


async def test_versions_of_one_resource(api: Api) -> None:
    path = "/apis/autoscaling/{}/namespaces/d/horizontalpodautoscalers/h"
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}
    body = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}
    await applied(api, path.format("v1"), body | {"apiVersion": "autoscaling/v1"}, "one")
    other = body | {"apiVersion": "autoscaling/v2", "spec": spec | {"maxReplicas": 4}}
    status, answer = await apply(api, path.format("v2"), other, "two")
    assert (status, answer["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .spec.maxReplicas')


async def test_creating_takes_the_right_to_create(tmp_path: Path) -> None:
    rules = [{"verbs": ["patch", "get"], "apiGroups": [""], "resources": ["configmaps"]}]
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jo"}]
    path = "/api/v1/namespaces/default/configmaps/a"
    headers = {"Impersonate-User": "jo", "Content-Type": APPLY}
    async with secured(tmp_path) as secure:
        await secure.call("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
        await secure.ok("POST", f"{base}/roles", {"metadata": {"name": "r"}, "rules": rules})
        binding = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": subjects}
        await secure.ok("POST", f"{base}/rolebindings", binding)
        query = {"fieldManager": "m"}
        status, answer = await secure.call("PATCH", path, config_map("a"), query=query, headers=headers)
        assert status == 403
        assert 'User "jo" cannot create resource "configmaps"' in answer["message"]
        await secure.ok("POST", "/api/v1/namespaces/default/configmaps", config_map("a"))
        await secure.ok("PATCH", path, config_map("a", {"k": "v"}), query=query, headers=headers)
