"""The smaller plugins: each with what it changes, and its refusal to the letter."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.webhooks.server import MAPS, PODS, Admitting, Hooks, admitting, hooks
from tiphys.wire.exchange import UserInfo

NAMESPACES = "/api/v1/namespaces"
SERVICES = "/api/v1/namespaces/default/services"


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]} | spec}


def configured(directory: Path, name: str, configuration: dict[str, Any]) -> dict[str, Any]:
    """Settings with a plugin on, and its configuration in a file of its own."""
    (directory / "plugin.yaml").write_text(json.dumps(configuration))
    plugins = [{"name": name, "path": "plugin.yaml"}]
    whole = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    (directory / "admission.yaml").write_text(json.dumps(whole))
    return {"enable_admission_plugins": (name,), "admission_config_file": str(directory / "admission.yaml")}


async def refusal(api: Admitting, path: str, body: Any, code: int = 403, method: str = "POST") -> str:
    status, found = await api.call(method, path, body)
    assert status == code, found
    return str(found["message"])


async def test_namespaces_that_are_not_there() -> None:
    # The order of the flag does not matter: one makes the Namespace before the other asks for it.
    async with admitting(enable_admission_plugins=("NamespaceExists", "NamespaceAutoProvision")) as api:
        await api.ok("POST", f"{NAMESPACES}/new/configmaps", {"metadata": {"name": "a"}})
        assert (await api.ok("GET", f"{NAMESPACES}/new"))["status"]["phase"] == "Active"
        query = {"dryRun": "All"}
        status, found = await api.call("POST", f"{NAMESPACES}/dry/configmaps", {"metadata": {"name": "a"}}, query)
        assert (status, found["message"]) == (404, 'namespaces "dry" not found')


async def test_hard_anti_affinity_beyond_nodes() -> None:
    async with admitting(enable_admission_plugins=("LimitPodHardAntiAffinityTopology",)) as api:
        term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        assert await refusal(api, PODS, pod(affinity=affinity)) == (
            'pods "web" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only '
            "key kubernetes.io/hostname is allowed"
        )
        term["topologyKey"] = "kubernetes.io/hostname"
        await api.ok("POST", PODS, pod(affinity=affinity))


async def test_images_are_always_pulled() -> None:
    async with admitting(enable_admission_plugins=("AlwaysPullImages",)) as api:
        listed = [{"name": "c", "image": "i:1", "imagePullPolicy": "Never"}]
        made = await api.ok("POST", PODS, pod(containers=listed, initContainers=[dict(listed[0], name="init")]))
        spec = made["spec"]
        assert {one["imagePullPolicy"] for one in (*spec["containers"], *spec["initContainers"])} == {"Always"}


async def test_extended_resources_are_tolerated() -> None:
    async with admitting(enable_admission_plugins=("ExtendedResourceToleration",)) as api:
        amounts = {"example.com/gpu": "1", "cpu": "1", "hugepages-2Mi": "2Mi", "memory": "1Mi"}
        listed = [{"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}]
        made = await api.ok("POST", PODS, pod(containers=listed))
        added = [one for one in made["spec"]["tolerations"] if one["key"] == "example.com/gpu"]
        assert added == [{"key": "example.com/gpu", "operator": "Exists"}]
        assert len(made["spec"]["tolerations"]) == 3


async def test_external_addresses() -> None:
    async with admitting(enable_admission_plugins=("DenyServiceExternalIPs",)) as api:
        spec: dict[str, Any] = {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"]}
        assert await refusal(api, SERVICES, {"metadata": {"name": "web"}, "spec": spec}) == (
            'services "web" is forbidden: Use of external IPs is denied by admission control.'
        )
        del spec["externalIPs"]
        await api.ok("POST", SERVICES, {"metadata": {"name": "web"}, "spec": spec})


async def test_a_namespace_chooses_nodes(tmp_path: Path) -> None:
    selectors = {"clusterDefaultNodeSelector": "tier=common", "default": "tier=common,disk=ssd"}
    settings = configured(tmp_path, "PodNodeSelector", {"podNodeSelectorPluginConfig": selectors})
    async with admitting(**settings) as api:
        made = await api.ok("POST", PODS, pod(nodeSelector={"disk": "ssd"}))
        assert made["spec"]["nodeSelector"] == {"tier": "common", "disk": "ssd"}
        assert await refusal(api, PODS, pod("b", nodeSelector={"tier": "rare"})) == (
            'pods "b" is forbidden: pod node label selector conflicts with its namespace node label selector'
        )
        assert await refusal(api, PODS, pod("b", nodeSelector={"disk": "hdd"})) == (
            'pods "b" is forbidden: pod node label selector labels conflict with its namespace whitelist'
        )
        found = await api.ok("GET", f"{NAMESPACES}/default")
        found["metadata"]["annotations"] = {"scheduler.alpha.kubernetes.io/node-selector": "disk=ssd"}
        await api.ok("PUT", f"{NAMESPACES}/default", found)
        assert (await api.ok("POST", PODS, pod("b")))["spec"]["nodeSelector"] == {"disk": "ssd"}


async def test_a_namespace_chooses_tolerations() -> None:
    async with admitting(enable_admission_plugins=("PodTolerationRestriction",)) as api:
        found = await api.ok("GET", f"{NAMESPACES}/default")
        keys = ("a", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        allowed = [{"key": key, "operator": "Exists"} for key in keys]
        found["metadata"]["annotations"] = {
            "scheduler.alpha.kubernetes.io/defaultTolerations": json.dumps([{"key": "a", "operator": "Exists"}]),
            "scheduler.alpha.kubernetes.io/tolerationsWhitelist": json.dumps(allowed),
        }
        await api.ok("PUT", f"{NAMESPACES}/default", found)
        # What the Namespace gives covers what the Pod has.
        mine = {"key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule"}
        made = await api.ok("POST", PODS, pod(tolerations=[mine]))
        assert [one for one in made["spec"]["tolerations"] if one["key"] == "a"] == [{"key": "a", "operator": "Exists"}]
        assert await refusal(api, PODS, pod("b", tolerations=[{"key": "other", "operator": "Exists"}]), 500) == (
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
        )


async def test_claims_grow_where_their_class_allows_it(api: Admitting) -> None:
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    for name, grows in (("fixed", False), ("growing", True)):
        await api.ok("POST", classes, {"metadata": {"name": name}, "provisioner": "p", "allowVolumeExpansion": grows})
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"

    async def grown(name: str, phase: str) -> tuple[int, Any]:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": name,
        }
        made = await api.ok("POST", claims, {"metadata": {"name": name}, "spec": spec | {"volumeName": "v"}})
        if phase:
            made["status"] = {"phase": phase}
            made = await api.ok("PUT", f"{claims}/{name}/status", made)
        made["spec"]["resources"]["requests"]["storage"] = "2Gi"
        return await api.call("PUT", f"{claims}/{name}", made)

    status, found = await grown("growing", "Bound")
    assert status == 200
    status, found = await grown("fixed", "Bound")
    assert (status, found["message"]) == (
        403,
        'persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be resized and the '
        "storageclass that provisions the pvc must support resize",
    )


async def test_volumes_in_use_are_protected(api: Admitting) -> None:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    made = await api.ok("POST", claims, {"metadata": {"name": "a"}, "spec": spec})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    made = await api.ok("POST", "/api/v1/persistentvolumes", {"metadata": {"name": "a"}, "spec": spec})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


async def test_owners_that_one_may_not_delete() -> None:
    async with admitting(enable_admission_plugins=("OwnerReferencesPermissionEnforcement",)) as api:
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "update", "get", "patch"]}]
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        await api.ok("POST", roles, {"metadata": {"name": "writer"}, "rules": rules})
        binding = {
            "metadata": {"name": "writer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "writer"},
            "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        await api.ok("POST", f"{roles}bindings".replace("clusterrolesb", "clusterroleb"), binding)
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        api.user = UserInfo("bob", groups=("system:authenticated",))
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}
        body = {"metadata": {"name": "a", "ownerReferences": [reference]}}
        assert await refusal(api, f"{MAPS}/a", body, method="PUT") == (
            'configmaps "a" is forbidden: cannot set an ownerRef on a resource you can\'t delete: , <nil>'
        )
        body["metadata"]["name"] = "b"
        await api.ok("POST", MAPS, body)
        body["metadata"]["name"] = "c"
        reference["blockOwnerDeletion"] = True  # type: ignore[assignment]
        assert await refusal(api, MAPS, body) == (
            'configmaps "c" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you '
            "can't set finalizers on: , <nil>"
        )
        reference["kind"] = "Nothing"
        assert await refusal(api, MAPS, body) == (
            'configmaps "c" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping '
            'for APIVersion v1 Kind Nothing: no matches for kind "Nothing" in version "v1"'
        )


async def test_events_are_limited(tmp_path: Path) -> None:
    limits = [{"type": "Namespace", "qps": 1, "burst": 2}, {"type": "User", "qps": 1, "burst": 3}]
    async with admitting(**configured(tmp_path, "EventRateLimit", {"limits": limits})) as api:

        def event(name: str, namespace: str) -> dict[str, Any]:
            about = {"kind": "Pod", "name": "p", "namespace": namespace}
            return {"metadata": {"name": name}, "involvedObject": about}

        for name in ("a", "b"):
            await api.ok("POST", f"{NAMESPACES}/default/events", event(name, "default"))
        assert await refusal(api, f"{NAMESPACES}/default/events", event("c", "default"), 429) == (
            "Too many requests: limit reached on type Namespace for key default"
        )
        assert await refusal(api, f"{NAMESPACES}/kube-system/events", event("c", "kube-system"), 429) == (
            "Too many requests: limit reached on type User for key kubernetes-admin"
        )


@pytest.fixture
async def remote(tmp_path: Path) -> Any:
    async with hooks(tmp_path) as running:
        yield running


async def test_another_server_decides_on_images(tmp_path: Path, remote: Hooks) -> None:
    from aiohttp import web

    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": f"https://127.0.0.1:{remote.port}/images",
                    "certificate-authority-data": remote.bundle,
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    policy = {"kubeConfigFile": str(tmp_path / "kubeconfig"), "retryBackoff": 1}
    answers: list[dict[str, Any]] = [{"allowed": True}, {"allowed": False, "reason": "old"}, {"allowed": False}]

    async def answer() -> web.Response:
        return web.json_response({"kind": "ImageReview", "status": answers.pop(0)})

    remote.raw["images"] = answer
    async with admitting(**configured(tmp_path, "ImagePolicyWebhook", {"imagePolicy": policy})) as api:
        await api.ok("POST", PODS, pod("a"))
        # The same images are not asked about twice.
        await api.ok("POST", PODS, pod("b"))
        assert await refusal(api, PODS, pod("c", containers=[{"name": "c", "image": "2"}])) == (
            'pods "c" is forbidden: image policy webhook backend denied one or more images: old'
        )
        assert await refusal(api, PODS, pod("c", containers=[{"name": "c", "image": "3"}])) == (
            'pods "c" is forbidden: one or more images rejected by webhook backend'
        )


async def test_everything_may_be_denied() -> None:
    async with admitting() as api:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
    from tiphys.apiserver.admission.always import AlwaysDeny
    from tiphys.apiserver.seams import Attributes
    from tiphys.machinery import errors

    attributes = Attributes("create", "", resource="configmaps", name="a", operation="CREATE")
    with pytest.raises(errors.Forbidden) as refused:
        AlwaysDeny().admit(attributes, None, None)
    assert refused.value.message == 'configmaps "a" is forbidden: admission control is denying all modifications'
