"""Entries that walk one object, or a collection, through its life."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import eventually
from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.server import MERGE, STRATEGIC
from tests.conformance.walking import LABELS, SELECTOR, Walk
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.apiserver.config import SecurityConfig
from tiphys.store.memory import MemoryStore

CORE = "/api/v1/namespaces/default"
STORAGE = "/apis/storage.k8s.io/v1"
POD_SPEC = {"containers": [{"name": "c", "image": "i"}]}


async def relabelled(walk: Walk, name: str) -> None:
    """Patched with a label, found by it, then updated with another."""
    found = await walk.patch(name, {"metadata": {"labels": {name: "patched"}}})
    assert found["metadata"]["labels"][name] == "patched"
    assert await walk.names(f"{name}=patched") == [name]
    found["metadata"]["labels"][name] = "updated"
    found = await walk.api.ok("PUT", f"{walk.path}/{name}", found)
    assert found["metadata"]["labels"][name] == "updated"
    assert await walk.names(f"{name}=updated") == [name]


async def lived(walk: Walk) -> None:
    """Created, read, patched, deleted; a replacement is updated and deleted with its collection."""
    await walk.create("first")
    assert (await walk.get("first"))["metadata"]["name"] == "first"
    await relabelled(walk, "first")
    await walk.delete("first")
    await walk.create("second")
    await relabelled(walk, "second")
    await walk.clear("second=updated")


# Configuration


async def test_config_maps(api: Api) -> None:
    """[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]"""
    walk = Walk(api, f"{CORE}/configmaps", {"data": {"valueName": "value"}}, "/api/v1/configmaps")
    async with api.watching(walk.path, labelSelector=SELECTOR) as lines:
        await walk.create("a")
        await walk.patch("a", {"metadata": {"labels": {"again": "yes"}}, "data": {"valueName": "value1"}})
        found = await walk.get("a")
        assert (found["data"], found["metadata"]["labels"]["again"]) == ({"valueName": "value1"}, "yes")
        listed = await api.ok("GET", walk.everywhere, query={"labelSelector": SELECTOR})
        assert [one["data"] for one in listed["items"]] == [{"valueName": "value1"}]
        await walk.clear()
        assert [one["type"] for one in await lines.wait(3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_config_map_is_updated(api: Api) -> None:
    """[sig-node] ConfigMap should update ConfigMap successfully [NodeConformance] [Conformance]"""
    walk = Walk(api, f"{CORE}/configmaps", {"data": {"data": "value"}})
    made = await walk.create("a")
    await api.ok("PUT", f"{walk.path}/a", made | {"data": {"data": "value-2"}})
    assert (await walk.get("a"))["data"] == {"data": "value-2"}


@pytest.mark.parametrize(("plural", "kind", "value"), [("configmaps", "ConfigMap", "v"), ("secrets", "Secret", "dg==")])
async def test_keys_are_not_empty(api: Api, plural: str, kind: str, value: str) -> None:
    """[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]
    [sig-node] Secrets should fail to create secret due to empty secret key [Conformance]"""
    body = {"metadata": {"name": "a"}, "data": {"": value}}
    status, found = await api.call("POST", f"{CORE}/{plural}", body)
    assert (status, found["reason"]) == (422, "Invalid")
    assert found["message"] == (
        f'{kind} "a" is invalid: data[]: Invalid value: "": a valid config key must consist of alphanumeric '
        "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
        "'[-._a-zA-Z0-9]+')"
    )


async def _immutable(walk: Walk, changed: dict[str, str]) -> None:
    await walk.create("a")
    await walk.patch("a", {"data": changed})
    found = await walk.patch("a", {"immutable": True})
    for refused in ({"data": {"k": "ZGlmZmVyZW50"}}, {"immutable": False}, {"immutable": None}):
        status, answer = await walk.api.call("PATCH", f"{walk.path}/a", refused, content_type=MERGE)
        assert (status, answer["reason"]) == (422, "Invalid"), answer
        assert "Forbidden: field is immutable when `immutable` is set" in answer["message"]
    await walk.patch("a", {"metadata": {"labels": {"after": "x"}}})
    assert (await walk.get("a"))["data"] == found["data"]
    await walk.delete("a")


async def test_immutable_config_maps(api: Api) -> None:
    """[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]"""
    await _immutable(Walk(api, f"{CORE}/configmaps", {"data": {"k": "1"}}), {"k": "2"})


async def test_immutable_secrets(api: Api) -> None:
    """[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]"""
    await _immutable(Walk(api, f"{CORE}/secrets", {"data": {"k": "MQ=="}}), {"k": "Mg=="})


async def test_secrets(api: Api) -> None:
    """[sig-node] Secrets should patch a secret [Conformance]"""
    walk = Walk(api, f"{CORE}/secrets", {"data": {"key": "dmFsdWU="}, "type": "Opaque"}, "/api/v1/secrets")
    await walk.create("a")
    assert await walk.names(path=walk.everywhere) == ["a"]
    change = {"metadata": {"labels": {"again": "yes"}}, "data": {"key": "dmFsdWUx"}}
    await api.ok("PATCH", f"{walk.path}/a", change, content_type=STRATEGIC)
    found = await walk.get("a")
    assert (found["data"], found["metadata"]["labels"]["again"]) == ({"key": "dmFsdWUx"}, "yes")
    await walk.clear()
    assert await walk.names(path=walk.everywhere) == []


async def test_pod_templates(api: Api) -> None:
    """[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]"""
    walk = Walk(api, f"{CORE}/podtemplates", {"template": {"spec": POD_SPEC}}, "/api/v1/podtemplates")
    await walk.create("a")
    await walk.patch("a", {"metadata": {"labels": {"podtemplate": "patched"}}})
    assert (await walk.get("a"))["metadata"]["labels"]["podtemplate"] == "patched"
    assert await walk.names("podtemplate=patched", walk.everywhere) == ["a"]
    await walk.delete("a")
    assert await walk.names("podtemplate=patched", walk.everywhere) == []


async def test_pod_templates_are_deleted_together(api: Api) -> None:
    """[sig-node] PodTemplates should delete a collection of pod templates [Conformance]"""
    walk = Walk(api, f"{CORE}/podtemplates", {"template": {"spec": POD_SPEC}})
    for name in ("a", "b", "c"):
        await walk.create(name)
    assert await walk.names() == ["a", "b", "c"]
    await walk.clear()


async def test_a_pod_template_is_replaced(api: Api) -> None:
    """[sig-node] PodTemplates should replace a pod template [Conformance]"""
    walk = Walk(api, f"{CORE}/podtemplates", {"template": {"spec": POD_SPEC}})
    await walk.create("a")
    await walk.replace("a", "updated")


async def test_replication_controllers(api: Api) -> None:
    """[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"""
    template = {"metadata": {"labels": {"app": "rc"}}, "spec": POD_SPEC}
    body = {"spec": {"replicas": 1, "selector": {"app": "rc"}, "template": template}}
    walk = Walk(api, f"{CORE}/replicationcontrollers", body, "/api/v1/replicationcontrollers")
    async with api.watching(walk.path, labelSelector=SELECTOR) as lines:
        await walk.create("rc")
        found = await walk.patch("rc", {"metadata": {"labels": {"walked": "yes", "more": "patched"}}})
        assert found["metadata"]["labels"]["more"] == "patched"
        found = await walk.patch("rc", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "/status")
        assert found["status"]["replicas"] == 0
        found = await walk.get("rc", "/status")
        assert found["kind"] == "ReplicationController"
        found = await walk.patch("rc", {"spec": {"replicas": 2}}, "/scale")
        assert (found["kind"], found["spec"]["replicas"]) == ("Scale", 2)
        listed = await api.ok("GET", walk.everywhere, query={"labelSelector": SELECTOR})
        assert [one["spec"]["replicas"] for one in listed["items"]] == [2]
        now = await walk.get("rc")
        now["status"] = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}
        found = await api.ok("PUT", f"{walk.path}/rc/status", now)
        assert found["status"] == now["status"]
        await walk.clear()
        assert (await lines.wait(5))[-1]["type"] == "DELETED"


# Nodes, storage


async def test_nodes(api: Api) -> None:
    """[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]"""
    body = {"status": {"capacity": {"cpu": "500m"}, "phase": "Running"}}
    walk = Walk(api, "/api/v1/nodes", body)
    await walk.create("fake")
    assert (await walk.get("fake"))["metadata"]["name"] == "fake"
    await relabelled(walk, "fake")
    await walk.delete("fake")


async def test_csi_nodes(api: Api) -> None:
    """[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]"""
    await lived(Walk(api, f"{STORAGE}/csinodes", {"spec": {"drivers": []}}))


async def test_csi_drivers(api: Api) -> None:
    """[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]"""
    spec = {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]}
    await lived(Walk(api, f"{STORAGE}/csidrivers", {"spec": spec}))


async def test_inline_volumes(api: Api) -> None:
    """[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]"""
    volume = {"name": "v", "csi": {"driver": "e2e.example.com"}}
    walk = Walk(api, f"{CORE}/pods", {"spec": POD_SPEC | {"volumes": [volume]}}, "/api/v1/pods")
    made = await walk.create("a")
    assert made["spec"]["volumes"][0] == volume
    assert await walk.names(path=walk.everywhere) == ["a"]
    await walk.annotate("a", "patched")
    assert (await walk.get("a"))["spec"]["volumes"][0] == volume
    await walk.delete("a")


async def test_storage_classes(api: Api) -> None:
    """[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]"""
    await lived(Walk(api, f"{STORAGE}/storageclasses", {"provisioner": "e2e-fake-provisioner"}))


async def test_volume_attributes_classes(api: Api) -> None:
    """[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a
    VolumeAttributesClass [Conformance]"""
    body = {"driverName": "e2e-fake-csi-driver", "parameters": {"iops": "100"}}
    await lived(Walk(api, f"{STORAGE}/volumeattributesclasses", body))


ATTACHMENT = {"spec": {"attacher": "e2e.example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}}


async def test_volume_attachments(api: Api) -> None:
    """[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment
    [Conformance]"""
    await lived(Walk(api, f"{STORAGE}/volumeattachments", ATTACHMENT))


async def test_the_status_of_volume_attachments(api: Api) -> None:
    """[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]"""
    walk = Walk(api, f"{STORAGE}/volumeattachments", ATTACHMENT)
    await walk.create("va")
    await walk.patch("va", {"metadata": {"labels": {"va": "patched"}}})
    found = await walk.get("va", "/status")
    assert found["status"]["attached"] is False
    found = await walk.patch("va", {"status": {"attached": True}}, "/status")
    assert found["status"]["attached"] is True
    found["status"]["attached"] = False
    found = await api.ok("PUT", f"{walk.path}/va/status", found)
    assert found["status"]["attached"] is False
    await walk.delete("va")


VOLUME = {
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/tmp"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "none",
    }
}
CLAIM = {
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "none",
    }
}


async def test_volumes_and_claims(api: Api) -> None:
    """[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC
    [Conformance]"""
    volumes = Walk(api, "/api/v1/persistentvolumes", VOLUME)
    claims = Walk(api, f"{CORE}/persistentvolumeclaims", CLAIM)
    for walk in (volumes, claims):
        await walk.create("a")
        assert await walk.names() == ["a"]
        await relabelled(walk, "a")
    for walk in (claims, volumes):
        await _deleted_without_protection(walk, "a")
    for walk in (volumes, claims):
        await walk.create("b")
        await relabelled(walk, "b")
        await api.ok("DELETE", walk.path, query={"labelSelector": "b=updated"})
        await walk.patch("b", {"metadata": {"finalizers": None}})
        assert await walk.names() == []


async def _deleted_without_protection(walk: Walk, name: str) -> None:
    """No controller runs here that would take the finalizers away."""
    found = await walk.api.ok("DELETE", f"{walk.path}/{name}")
    assert found["metadata"]["deletionTimestamp"]
    await walk.patch(name, {"metadata": {"finalizers": None}})
    assert (await walk.api.raw("GET", f"{walk.path}/{name}")).status == 404


async def test_the_status_of_volumes_and_claims(api: Api) -> None:
    """[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]"""
    volumes = Walk(api, "/api/v1/persistentvolumes", VOLUME)
    claims = Walk(api, f"{CORE}/persistentvolumeclaims", CLAIM)
    assert (await volumes.create("a"))["status"]["phase"] == "Pending"
    assert (await claims.create("a"))["status"]["phase"] == "Pending"
    patched = {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "m"}
    found = await claims.patch("a", {"status": {"conditions": [patched]}}, "/status")
    assert found["status"]["conditions"][0].items() >= patched.items()
    found = await volumes.patch("a", {"status": {"message": "patched", "reason": "E2E"}}, "/status")
    assert (found["status"]["message"], found["status"]["reason"]) == ("patched", "E2E")
    found = await claims.get("a", "/status")
    found["status"]["conditions"].append({"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "u"})
    found = await api.ok("PUT", f"{claims.path}/a/status", found)
    assert [one["type"] for one in found["status"]["conditions"]] == ["StatusPatched", "StatusUpdated"]
    found = await volumes.get("a", "/status")
    found["status"] |= {"reason": "Updated", "message": "updated"}
    found = await api.ok("PUT", f"{volumes.path}/a/status", found)
    assert (found["status"]["message"], found["status"]["reason"]) == ("updated", "Updated")


# Devices

DEVICES = "/apis/resource.k8s.io/v1"
CLAIM_SPEC = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}


async def test_device_classes(api: Api) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]"""
    walk = Walk(api, f"{DEVICES}/deviceclasses", {"spec": {"selectors": [{"cel": {"expression": "true"}}]}})
    await walk.operations()
    await _applied(walk, "applied")


async def test_resource_claims(api: Api) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]"""
    root = f"{DEVICES}/namespaces/default/resourceclaims"
    walk = Walk(api, root, {"spec": CLAIM_SPEC}, f"{DEVICES}/resourceclaims")
    await walk.operations()
    await _applied(walk, "applied")
    result = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "one"}
    allocation = {"devices": {"results": [result]}}
    await walk.create("s")
    found = await walk.patch("s", {"status": {"allocation": allocation}}, "/status")
    assert found["status"]["allocation"]["devices"]["results"][0].items() >= result.items()
    found["status"] = {}
    found = await api.ok("PUT", f"{root}/s/status", found)
    assert not found.get("status")


async def test_resource_claim_templates(api: Api) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]"""
    name = "resourceclaimtemplates"
    body = {"spec": {"spec": CLAIM_SPEC}}
    walk = Walk(api, f"{DEVICES}/namespaces/default/{name}", body, f"{DEVICES}/{name}")
    await walk.operations()
    await _applied(walk, "applied")


async def test_resource_slices(api: Api) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]"""
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "d.example.com", "nodeName": "n", "pool": pool, "devices": [{"name": "one"}]}
    walk = Walk(api, f"{DEVICES}/resourceslices", {"spec": spec})
    await walk.operations()
    await _applied(walk, "applied")


async def _applied(walk: Walk, name: str) -> None:
    """The same object by server-side apply, twice: made, then changed."""
    kinds = (await walk.api.ok("GET", DEVICES))["resources"]
    kind = next(one["kind"] for one in kinds if walk.path.endswith(f"/{one['name']}"))
    body = walk.named(name) | {"apiVersion": "resource.k8s.io/v1", "kind": kind}
    query, apply = {"fieldManager": "walker"}, "application/apply-patch+yaml"
    made = await walk.api.ok("PATCH", f"{walk.path}/{name}", body, query, content_type=apply)
    body["metadata"]["labels"]["more"] = "yes"
    found = await walk.api.ok("PATCH", f"{walk.path}/{name}", body, query, content_type=apply)
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["metadata"]["labels"] == {**LABELS, "more": "yes"}


# Scheduling


async def test_priority_classes(api: Api) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be
    operated with different HTTP methods [Conformance]"""
    walk = Walk(api, "/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 100})
    await walk.create("a")
    for change, field in (({"value": 10}, "value"), ({"preemptionPolicy": "Never"}, "preemptionPolicy")):
        status, found = await api.call("PATCH", f"{walk.path}/a", change, content_type=MERGE)
        assert (status, found["reason"]) == (422, "Invalid")
        assert f"{field}: " in found["message"]
    assert (await walk.patch("a", {"description": "patched"}))["description"] == "patched"
    found = await api.ok("PUT", f"{walk.path}/a", await walk.get("a") | {"description": "updated"})
    assert found["description"] == "updated"
    assert (found["value"], found.get("globalDefault", False)) == (100, False)
    await walk.clear()


async def test_limit_ranges(api: Api) -> None:
    """[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]"""
    limits = [{"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m"}, "default": {"cpu": "500m"}}]
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    everywhere = "/api/v1/limitranges"
    walk = Walk(api, f"{CORE}/limitranges", {"spec": {"limits": limits}}, everywhere)
    other = Walk(api, "/api/v1/namespaces/other/limitranges", {"spec": {"limits": limits}}, everywhere)
    await walk.create("a")
    await other.create("b")
    assert await walk.names(path=everywhere) == ["a", "b"]
    change = {
        "metadata": {"labels": {"a": "patched"}},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "40m"}, "max": {"cpu": "500m"}}]},
    }
    found = await walk.patch("a", change)
    assert found["spec"]["limits"][0]["min"] == {"cpu": "40m"}
    await api.ok("DELETE", walk.path, query={"labelSelector": "a=patched"})
    assert await walk.names(path=everywhere) == ["b"]


async def test_limit_ranges_give_defaults(api: Api) -> None:
    """[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied.
    [Conformance]"""
    limit = {
        "type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
        "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
    }
    async with api.watching(f"{CORE}/limitranges") as lines:
        await api.ok("POST", f"{CORE}/limitranges", {"metadata": {"name": "lr"}, "spec": {"limits": [limit]}})
        assert (await lines.wait(1))[0]["object"]["spec"]["limits"][0] == limit
    assert await _resources(api, {}) == {"requests": limit["defaultRequest"], "limits": limit["default"]}
    given: dict[str, Any] = {
        "requests": {"cpu": "300m", "memory": "150Mi", "ephemeral-storage": "150Gi"},
        "limits": {"cpu": "300m", "ephemeral-storage": "300Gi"},
    }
    found = await _resources(api, given)
    assert found["requests"] == given["requests"]
    assert found["limits"] == {"cpu": "300m", "memory": "500Mi", "ephemeral-storage": "300Gi"}
    for requests in ({"cpu": "10m", "memory": "150Mi"}, {"cpu": "600m", "memory": "600Mi"}):
        status, refused = await api.call("POST", f"{CORE}/pods", _pod({"requests": requests}))
        assert (status, refused["reason"]) in ((403, "Forbidden"), (422, "Invalid"))
    now = await api.ok("GET", f"{CORE}/limitranges/lr")
    now["spec"]["limits"][0]["min"] = {"cpu": "9m", "memory": "49Mi"}
    await api.ok("PUT", f"{CORE}/limitranges/lr", now)
    await _resources(api, {"requests": {"cpu": "10m", "memory": "150Mi"}})
    await api.ok("DELETE", f"{CORE}/limitranges/lr")
    assert await _resources(api, {"requests": {"cpu": "600m"}}) == {"requests": {"cpu": "600m"}}


def _pod(resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "limited-"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    }


async def _resources(api: Api, given: dict[str, Any]) -> dict[str, Any]:
    made = await api.ok("POST", f"{CORE}/pods", _pod(given))
    found: dict[str, Any] = made["spec"]["containers"][0]["resources"]
    return found


# Events


async def test_core_events(api: Api) -> None:
    """[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]"""
    body = {
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": "default"},
    }
    walk = Walk(api, f"{CORE}/events", body, "/api/v1/events")
    await walk.create("a")
    assert await walk.names(path=walk.everywhere) == ["a"]
    found = await walk.patch("a", {"message": "patched"})
    assert (await walk.get("a"))["message"] == "patched"
    series = {"count": 100, "lastObservedTime": "2014-11-11T11:11:11.000000Z"}
    found["series"] = series
    await api.ok("PUT", f"{walk.path}/a", found)
    assert (await walk.get("a"))["series"] == series
    await walk.delete("a")
    assert await walk.names(path=walk.everywhere) == []


async def test_core_events_are_deleted_together(api: Api) -> None:
    """[sig-instrumentation] Events should delete a collection of events [Conformance]"""
    body = {"message": "m", "reason": "Test", "type": "Normal", "involvedObject": {"namespace": "default"}}
    walk = Walk(api, f"{CORE}/events", body)
    for name in ("a", "b", "c"):
        await walk.create(name)
    assert await walk.names() == ["a", "b", "c"]
    await walk.clear()


EVENT = {
    "regarding": {"namespace": "default"},
    "reason": "Test",
    "note": "note",
    "type": "Normal",
    "action": "Do",
    "eventTime": "2017-09-19T13:49:16.000000Z",
    "reportingController": "test-controller",
    "reportingInstance": "test-node",
}
EVENTS = "/apis/events.k8s.io/v1"


async def test_events(api: Api) -> None:
    """[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed
    [Conformance]"""
    walk = Walk(api, f"{EVENTS}/namespaces/default/events", EVENT, f"{EVENTS}/events")
    await walk.create("a")
    await walk.create("b")
    assert await walk.names() == await walk.names(path=walk.everywhere) == ["a", "b"]
    found = await api.ok("GET", walk.path, query={"fieldSelector": "reportingController=test-controller"})
    assert len(found["items"]) == 2
    first = {"series": {"count": 2, "lastObservedTime": "2014-11-11T11:11:10.000000Z"}}
    found = await api.ok("PATCH", f"{walk.path}/a", first, content_type=STRATEGIC)
    assert (await walk.get("a")).items() >= (EVENT | first).items()
    # What an Event of this group says does not change afterwards.
    status, refused = await api.call("PATCH", f"{walk.path}/a", {"note": "patched"}, content_type=STRATEGIC)
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "message")
    found["series"] = {"count": 100, "lastObservedTime": "2014-11-11T11:11:11.000000Z"}
    await api.ok("PUT", f"{walk.path}/a", found)
    assert (await walk.get("a"))["series"] == found["series"]
    await walk.delete("a")
    assert await walk.names() == ["b"]


async def test_events_are_deleted_together(api: Api) -> None:
    """[sig-instrumentation] Events API should delete a collection of events [Conformance]"""
    walk = Walk(api, f"{EVENTS}/namespaces/default/events", EVENT)
    for name in ("a", "b", "c"):
        await walk.create(name)
    assert await walk.names() == ["a", "b", "c"]
    await walk.clear()


# Network


async def test_endpoints(api: Api) -> None:
    """[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]"""
    body = {"subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}]}
    walk = Walk(api, f"{CORE}/endpoints", body, "/api/v1/endpoints")
    async with api.watching(walk.path, labelSelector=SELECTOR) as lines:
        made = await walk.create("e")
        assert await walk.names(path=walk.everywhere) == ["e"]
        made["metadata"]["labels"]["test-service"] = "updated"
        await api.ok("PUT", f"{walk.path}/e", made)
        assert (await walk.get("e"))["metadata"]["labels"]["test-service"] == "updated"
        changed = [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}]
        await walk.patch("e", {"metadata": {"labels": {"test-service": "patched"}}, "subsets": changed})
        found = await walk.get("e")
        assert found["subsets"] == [
            {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}
        ]
        await walk.clear()
        assert [one["type"] for one in await lines.wait(4)] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]


SERVICE = {"spec": {"type": "LoadBalancer", "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}}


async def test_the_status_of_services(api: Api) -> None:
    """[sig-network] Services should complete a service status lifecycle [Conformance]"""
    walk = Walk(api, f"{CORE}/services", SERVICE, "/api/v1/services")
    async with api.watching(walk.path, labelSelector=SELECTOR) as lines:
        await walk.create("s")
        assert (await walk.get("s", "/status"))["status"] == {"loadBalancer": {}}
        balancer = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
        found = await walk.annotate("s", "patchedstatus", "/status", status=balancer)
        assert found["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
        condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        found["status"]["conditions"] = [condition | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]
        found = await api.ok("PUT", f"{walk.path}/s/status", found)
        assert found["status"]["conditions"][0].items() >= condition.items()
        found = await walk.patch("s", {"metadata": {"labels": {"test-service": "patched"}}})
        assert found["status"]["conditions"]
        await walk.delete("s")
        assert (await lines.wait(5))[-1]["type"] == "DELETED"


async def test_services_are_deleted_together(api: Api) -> None:
    """[sig-network] Services should delete a collection of services [Conformance]"""
    walk = Walk(api, f"{CORE}/services", SERVICE | {"spec": SERVICE["spec"] | {"type": "ClusterIP"}})
    await walk.create("a")
    await walk.create("b")
    await walk.create("c", keep="yes")
    assert await walk.names() == ["a", "b", "c"]
    await api.ok("DELETE", walk.path, query={"labelSelector": "walked=yes,keep!=yes"})
    assert await walk.names() == ["c"]


@pytest.fixture
async def addressed() -> AsyncIterator[Api]:
    """A server that others can reach, as it says; nobody listens."""
    made = security.seams(SecurityConfig(advertise_address="192.0.2.1"))
    store = MemoryStore()
    async with ApiServer(ApiServerConfig(port=6443), store, seams=made) as server:
        api = Api(server, store)

        async def told() -> bool:
            return (await api.raw("GET", f"{CORE}/endpoints/kubernetes")).status == 200

        await eventually(told)
        yield api


async def test_the_service_of_the_server_is_found(addressed: Api) -> None:
    """[sig-network] Services should find a service from listing all namespaces [Conformance]"""
    found = await addressed.ok("GET", "/api/v1/services")
    assert ("default", "kubernetes") in {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in found["items"]}


async def test_the_service_of_the_server_is_secure(addressed: Api) -> None:
    """[sig-network] API Server should provide secure master service [Conformance]"""
    found = await addressed.ok("GET", f"{CORE}/services/kubernetes")
    assert found["spec"]["ports"] == [
        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": found["spec"]["ports"][0]["targetPort"]}
    ]
    assert found["spec"]["type"] == "ClusterIP"


async def test_endpoints_of_the_server(addressed: Api) -> None:
    """[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]"""
    endpoints = await addressed.ok("GET", f"{CORE}/endpoints/kubernetes")
    slices = await addressed.ok(
        "GET",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        query={"labelSelector": "kubernetes.io/service-name=kubernetes"},
    )
    found = slices["items"][0]
    subset = endpoints["subsets"][0]
    assert [one["ip"] for one in subset["addresses"]] == [a for e in found["endpoints"] for a in e["addresses"]]
    assert [one["port"] for one in subset["ports"]] == [one["port"] for one in found["ports"]]
    assert [one["name"] for one in subset["ports"]] == ["https"]
