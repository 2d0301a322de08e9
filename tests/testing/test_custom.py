"""Custom resources and webhooks of a test's own."""

import asyncio

import pytest

from tests.testing.manifests import pod
from tiphys.machinery import errors

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: databases, singular: database, kind: Database, shortNames: [db]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties: {size: {type: integer, minimum: 1}, engine: {type: string, default: tidy}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
DATABASE = """
apiVersion: example.test/v1
kind: Database
metadata: {name: main}
spec: {size: 3}
"""


def configuration(kind, service="hooks", path="/check", **fields):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
    webhook = {
        "name": "check.example.test",
        "clientConfig": {"service": {"namespace": "default", "name": service, "path": path}},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    } | fields
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": "check"},
        "webhooks": [webhook],
    }


def test_a_definition_and_its_objects_in_one_breath(cluster):
    found = cluster.apply(CRD + "---" + DATABASE)[-1]
    assert (found.spec.size, found.spec.engine, found.metadata.namespace) == (3, "tidy", "default")
    assert cluster.get("db/main").spec.size == 3
    assert [one.metadata.name for one in cluster.list("databases.example.test")] == ["main"]


def test_custom_objects_are_changed_and_awaited_like_others(cluster):
    cluster.apply(CRD, DATABASE)
    cluster.apply(
        {"apiVersion": "example.test/v1", "kind": "Database", "metadata": {"name": "main"}, "spec": {"size": 5}}
    )
    assert cluster.get("database/main").spec.size == 5
    conditions = [{"type": "Ready", "status": "True"}]
    with cluster.until("database/main", "Ready", within="1s"):
        cluster.patch("database/main", {"status": {"conditions": conditions, "nodes": 3}}, subresource="status")
    assert cluster.get("database/main").status.conditions[0].type == "Ready"
    cluster.delete("database/main")
    assert cluster.find("database/main") is None
    with pytest.raises(errors.Invalid, match=r"spec\.size: Invalid value: 0"):
        cluster.apply(
            {"apiVersion": "example.test/v1", "kind": "Database", "metadata": {"name": "b"}, "spec": {"size": 0}}
        )


def test_what_a_custom_object_owns_goes_with_it(cluster):
    owner = cluster.apply(CRD, DATABASE)[-1]
    reference = {"apiVersion": "example.test/v1", "kind": "Database", "name": "main", "uid": owner.metadata.uid}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "ownerReferences": [reference]}, "data": {}}
    )
    cluster.delete("database/main")
    cluster.advance_until("configmap/c", "gone", within="1m")


def test_a_validating_webhook_is_a_function(cluster):
    hook = cluster.webhook(
        lambda r: "no latest" if ":latest" in r.object.spec.containers[0].image else None, "hooks", "/check"
    )
    cluster.apply(configuration("Validating"))
    cluster.apply(pod("good"))
    with pytest.raises(errors.Forbidden, match=r'webhook "check\.example\.test" denied the request: no latest'):
        cluster.apply(pod("bad", containers=[{"name": "c", "image": "example.test/web:latest"}]))
    assert [r.name for r in hook.requests if r.operation == "CREATE"] == ["good", "bad"]


def test_a_mutating_webhook_returns_the_object_as_it_should_be(cluster):
    def label(request):
        request.object["metadata"].setdefault("labels", {})["team"] = "blue"
        return request.object

    cluster.webhook(label, "hooks", "/check")
    cluster.apply(configuration("Mutating"))
    assert cluster.apply(pod("a"))[0].metadata.labels["team"] == "blue"


def test_a_webhook_that_is_late_or_down(cluster):
    hook = cluster.webhook(lambda _: True, "hooks", "/check")
    cluster.apply(configuration("Validating", timeoutSeconds=2))
    hook.delay_seconds = 3
    before = cluster.elapsed
    with pytest.raises(errors.InternalError, match="context deadline exceeded"):
        cluster.apply(pod("a"))
    assert cluster.elapsed - before == pytest.approx(2)
    hook.delay_seconds = 1
    cluster.apply(pod("a"))
    hook.down = True
    with pytest.raises(errors.InternalError, match="connection refused"):
        cluster.apply(pod("b"))
    cluster.apply(configuration("Validating", failurePolicy="Ignore"))
    cluster.apply(pod("b"))


def test_a_webhook_may_be_a_coroutine_and_raise_nothing_but_answers(cluster):
    async def slow(_):
        await asyncio.sleep(1)
        return {"warnings": ["it took a while"]}

    cluster.webhook(slow, url="https://hooks.example.test/check")
    cluster.apply(configuration("Validating", clientConfig={"url": "https://hooks.example.test/check"}))
    before = cluster.elapsed
    cluster.apply(pod("a"))
    assert cluster.elapsed - before >= 1


def test_versions_are_converted_by_a_function(cluster):
    def convert(obj, version):
        spec = dict(obj["spec"])
        if version.endswith("/v2"):
            spec["replicas"] = spec.pop("size")
        else:
            spec["size"] = spec.pop("replicas")
        return obj | {"spec": spec}

    cluster.webhook(convert, "hooks", "/convert")
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": free}}
        for name in ("v2", "v1")
    ]
    client = {"service": {"namespace": "default", "name": "hooks", "path": "/convert"}}
    cluster.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "databases.example.test"},
            "spec": {
                "group": "example.test",
                "scope": "Namespaced",
                "names": {"plural": "databases", "kind": "Database"},
                "versions": versions,
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client},
                },
            },
        },
        DATABASE,
    )
    # The newest version is the preferred one.
    assert cluster.get("database/main").spec.replicas == 3
    assert cluster.get("database.v1.example.test/main").spec.size == 3
