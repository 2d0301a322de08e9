"""Admission: what is filled in, and what is refused in which words."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.secure import Secure, secured
from tiphys.api import rbac_v1
from tiphys.apiserver.admission.escalation import covers, parts
from tiphys.apiserver.admission.node_restriction import restricted

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with secured(tmp_path) as running:
        yield running


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def test_a_pod_gets_account_token_tolerations_and_priority(secure: Secure) -> None:
    account = await secure.add_account()
    account["imagePullSecrets"] = [{"name": "pull"}]
    await secure.ok("PUT", "/api/v1/namespaces/default/serviceaccounts/default", account)
    body = pod(initContainers=[{"name": "init", "image": "i"}])
    body["spec"]["containers"].append(
        {
            "name": "own",
            "image": "i",
            "volumeMounts": [{"name": "e", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }
    )
    body["spec"]["volumes"] = [{"name": "e", "emptyDir": {}}]
    spec = (await secure.ok("POST", PODS, body))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert [(t["key"], t["effect"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", "NoExecute", 300),
        ("node.kubernetes.io/unreachable", "NoExecute", 300),
    ]
    volume = spec["volumes"][1]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    }
    mounts = [c["volumeMounts"][0]["name"] for c in (*spec["initContainers"], *spec["containers"])]
    assert mounts == [volume["name"], volume["name"], "e"]


@pytest.mark.parametrize(
    ("pod_says", "account_says", "mounted"), [(False, None, 0), (None, False, 0), (True, False, 1)]
)
async def test_automount_may_be_switched_off(
    secure: Secure, pod_says: bool | None, account_says: bool | None, mounted: int
) -> None:
    account: dict[str, Any] = {"metadata": {"name": "default"}}
    if account_says is not None:
        account["automountServiceAccountToken"] = account_says
    await secure.ok("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    body = pod() if pod_says is None else pod(automountServiceAccountToken=pod_says)
    spec = (await secure.ok("POST", PODS, body))["spec"]
    assert len(spec.get("volumes", [])) == mounted


async def test_accounts_and_priorities_must_exist(secure: Secure) -> None:
    status, found = await secure.call("POST", PODS, pod())
    assert (status, found["message"]) == (
        403,
        'pods "web" is forbidden: error looking up service account default/default: serviceaccount "default" not found',
    )
    generated = {"metadata": {"generateName": "web-"}, "spec": pod()["spec"]}
    _, found = await secure.call("POST", PODS, generated)
    assert found["message"].startswith('pods "web-" is forbidden')
    await secure.add_account()
    _, found = await secure.call("POST", PODS, pod(priorityClassName="high"))
    assert found["message"] == 'pods "web" is forbidden: no PriorityClass with name high was found'
    _, found = await secure.call("POST", PODS, pod(priority=5))
    assert found["message"] == (
        'pods "web" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority '
        "admission controller computed 0 from the given PriorityClass name"
    )
    _, found = await secure.call("POST", PODS, pod(runtimeClassName="kata"))
    assert found["message"] == 'pods "web" is forbidden: pod rejected: RuntimeClass "kata" not found'
    spec = (await secure.ok("POST", PODS, pod(priorityClassName="system-node-critical")))["spec"]
    assert spec["priority"] == 2_000_001_000


async def test_namespaces_must_live(secure: Secure) -> None:
    path = "/api/v1/namespaces/no/configmaps"
    status, found = await secure.call("POST", path, {"metadata": {"name": "a"}})
    assert (status, found["message"]) == (404, 'namespaces "no" not found')
    status, found = await secure.call("DELETE", "/api/v1/namespaces/kube-system")
    assert (status, found["message"]) == (
        403,
        'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    )
    await secure.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "gone"}})
    gone = "/api/v1/namespaces/gone/configmaps"
    await secure.ok("POST", gone, {"metadata": {"name": "a", "finalizers": ["a/b"]}})
    await secure.ok("DELETE", "/api/v1/namespaces/gone")
    status, found = await secure.call("POST", gone, {"metadata": {"name": "b"}})
    assert (status, found["reason"]) == (403, "Forbidden")
    assert found["message"] == (
        'configmaps "b" is forbidden: unable to create new content in namespace gone because it is being terminated'
    )
    assert found["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert (await secure.call("PUT", f"{gone}/a", {"metadata": {"name": "a"}, "data": {"a": "b"}}))[0] == 200


async def test_new_nodes_are_not_ready(secure: Secure) -> None:
    node = await secure.add_node("n1")
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    kubelet = secure.files.kubelet
    node["spec"]["taints"] = []
    status, found = await secure.call("PUT", "/api/v1/nodes/n1", node, pair=kubelet)
    assert (status, found["message"]) == (
        403,
        'nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
    )
    await secure.add_account()
    status, found = await secure.call("POST", PODS, pod("mine", nodeName="n1"), pair=kubelet)
    assert status == 403
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in found["message"]


async def test_zone_and_region_come_with_the_binding(secure: Secure) -> None:
    node = await secure.add_node("n1")
    node["metadata"]["labels"] = {"topology.kubernetes.io/zone": "z", "other": "x"}
    await secure.ok("PUT", "/api/v1/nodes/n1", node)
    found = await secure.add_pod("web", node="n1")
    assert found["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z"}


async def test_zone_and_region_come_with_a_schedulers_binding(secure: Secure) -> None:
    node = await secure.add_node("n1")
    node["metadata"]["labels"] = {"topology.kubernetes.io/region": "r", "other": "x"}
    await secure.ok("PUT", "/api/v1/nodes/n1", node)
    await secure.add_pod("web")
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    await secure.ok("POST", f"{PODS}/web/binding", binding, pair=secure.files.scheduler)
    found = await secure.ok("GET", f"{PODS}/web")
    assert found["metadata"]["labels"] == {"topology.kubernetes.io/region": "r"}
    assert found["spec"]["nodeName"] == "n1"


async def test_default_classes(secure: Secure) -> None:
    for name in ("slow", "fast"):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if name == "fast" else {}
        storage_class = {"metadata": {"name": name, "annotations": annotations}, "provisioner": "p"}
        await secure.ok("POST", "/apis/storage.k8s.io/v1/storageclasses", storage_class)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    found = await secure.ok("POST", claims, {"metadata": {"name": "a"}, "spec": spec})
    assert found["spec"]["storageClassName"] == "fast"
    found = await secure.ok("POST", claims, {"metadata": {"name": "b"}, "spec": {**spec, "storageClassName": ""}})
    assert found["spec"]["storageClassName"] == ""


async def test_limits_fill_and_bound(secure: Secure) -> None:
    await secure.add_account()
    item = {
        "type": "Container",
        "default": {"cpu": "500m"},
        "defaultRequest": {"cpu": "250m"},
        "min": {"cpu": "100m"},
        "max": {"cpu": "1"},
    }
    ranges = "/api/v1/namespaces/default/limitranges"
    await secure.ok("POST", ranges, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})
    spec = (await secure.ok("POST", PODS, pod()))["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}
    resources = {"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}}
    body = pod("big", containers=[{"name": "c", "image": "i", "resources": resources}])
    status, found = await secure.call("POST", PODS, body)
    assert (status, found["message"]) == (
        403,
        'pods "big" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, '
        "maximum cpu usage per Container is 1, but limit is 2]",
    )


async def test_a_second_default_priority_class_is_refused(secure: Secure) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await secure.ok("POST", path, {"metadata": {"name": "a"}, "value": 7, "globalDefault": True})
    status, found = await secure.call("POST", path, {"metadata": {"name": "b"}, "value": 8, "globalDefault": True})
    assert status == 403
    assert "PriorityClass a is already marked as default" in found["message"]
    spec = (await secure.add_pod("web"))["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (7, "a")


@pytest.mark.parametrize(
    ("label", "is_restricted"),
    [
        ("app", False),
        ("example.com/a", False),
        ("kubernetes.io/hostname", False),
        ("kubernetes.io/role", True),
        ("node.kubernetes.io/x", False),
        ("sub.kubelet.kubernetes.io/x", False),
        ("node-role.kubernetes.io/control-plane", True),
        ("a.node-restriction.kubernetes.io/x", True),
        ("topology.kubernetes.io/zone", False),
    ],
)
def test_labels_that_nodes_may_not_set(label: str, is_restricted: bool) -> None:
    assert (restricted([label]) == {label}) is is_restricted


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        (("get", "", "pods", None), ("get", "", "pods", None), True),
        (("get", "", "pods", None), ("get", "", "pods", "a"), True),
        (("get", "", "pods", "a"), ("get", "", "pods", None), False),
        (("*", "*", "*", None), ("get", "apps", "deployments/scale", None), True),
        (("get", "", "pods", None), ("get", "", "pods/log", None), False),
        (("get", "", "*/log", None), ("get", "", "pods/log", None), True),
        (("get", "", "pods", None), ("*", "", "pods", None), False),
        (("get", "", "pods", None), ("get", "", "*", None), False),
    ],
)
def test_covering(held: tuple[str, ...], wanted: tuple[str, ...], covered: bool) -> None:
    def made(verb: str, group: str, resource: str, name: str | None) -> rbac_v1.PolicyRule:
        names = None if name is None else [name]
        return rbac_v1.PolicyRule(verbs=[verb], apiGroups=[group], resources=[resource], resourceNames=names)

    (part,) = parts(made(*wanted))
    assert covers(made(*held), part) is covered
