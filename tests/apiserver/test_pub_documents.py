"""What is published: discovery, OpenAPI, health, metrics, and what bootstrap leaves behind."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.secure import Secure, secured
from tiphys.api.kinds import KINDS
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.apiserver.aggregation.catalog import Published
from tiphys.apiserver.bootstrap import policy
from tiphys.apiserver.discovery import aggregated_version
from tiphys.apiserver.health import Health, report
from tiphys.apiserver.openapi.serve import document
from tiphys.resources import table
from tiphys.store.memory import MemoryStore

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with secured(tmp_path) as running:
        yield running


async def test_plain_discovery(secure: Secure) -> None:
    found = await secure.ok("GET", "/api/v1")
    assert "apiVersion" not in found
    by_name = {entry["name"]: entry for entry in found["resources"]}
    assert by_name["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert by_name["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    assert by_name["services"]["storageVersionHash"] == "0/CO1lhkEBI="
    groups = {group["name"]: group for group in (await secure.ok("GET", "/apis"))["groups"]}
    assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
    assert await secure.ok("GET", "/apis/apps") == {"kind": "APIGroup", "apiVersion": "v1", **groups["apps"]}
    assert (await secure.ok("GET", "/"))["paths"][:3] == [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
    ]


async def test_aggregated_discovery_agrees_and_is_cached(secure: Secure) -> None:
    async with secure.session.get(secure.url("/apis"), headers={"Accept": f"{V2},application/json"}) as answer:
        assert answer.headers["Content-Type"] == V2
        assert answer.headers["Vary"] == "Accept"
        etag = answer.headers["ETag"]
        found = json.loads(await answer.read())
    headers = {"Accept": V2, "If-None-Match": etag}
    async with secure.session.get(secure.url("/apis"), headers=headers) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    for group in found["items"]:
        for version in group["versions"]:
            plain = await secure.ok("GET", f"/apis/{group['metadata']['name']}/{version['version']}")
            names = {entry["name"] for entry in plain["resources"]}
            listed = {entry["resource"] for entry in version["resources"]}
            for entry in version["resources"]:
                listed |= {f"{entry['resource']}/{sub['subresource']}" for sub in entry.get("subresources", ())}
            assert names == listed


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("", ""),
        ("application/json", ""),
        (f"application/json,{V2}", ""),
        (f"{V2},application/json", "v2"),
        (V2.replace("v2", "v2beta1"), "v2beta1"),
        (f"{V2.replace('v2', 'v3')},application/json", ""),
        ("application/json;g;v=;as", ""),
    ],
)
def test_form_of_discovery(accept: str, version: str) -> None:
    assert aggregated_version(accept) == version


async def test_openapi_v3(secure: Secure) -> None:
    index = await secure.ok("GET", "/openapi/v3")
    assert set(index["paths"]) == {f"api{'s/' + r.group if r.group else ''}/{r.version}" for r in table.RESOURCES}
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    async with secure.session.get(secure.url(url)) as answer:
        assert "immutable" in answer.headers["Cache-Control"]
        found = await answer.json()
    async with secure.session.get(secure.url("/openapi/v3/apis/apps/v1?hash=OLD"), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, url)
    assert (await secure.session.get(secure.url("/openapi/v3/apis/none/v1"))).status == 404
    patch = found["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert {"dryRun", "fieldValidation"} <= {parameter["name"] for parameter in patch["parameters"]}


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_every_reference_is_resolved(dialect: Any) -> None:
    found = json.loads(document([Published(row, built_in=True) for row in table.RESOURCES], dialect).body)
    schemas = found["definitions"] if dialect == "v2" else found["components"]["schemas"]
    prefix = "#/definitions/" if dialect == "v2" else "#/components/schemas/"
    references: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                references.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(found)
    assert {reference.removeprefix(prefix) for reference in references} <= set(schemas)
    operations = [op for path in found["paths"].values() for op in path.values() if isinstance(op, dict)]
    ids = [op["operationId"] for op in operations]
    assert len(ids) == len(set(ids))
    assert {
        "listCoreV1NamespacedPod",
        "readAppsV1NamespacedDeploymentScale",
        "deleteRbacAuthorizationV1ClusterRole",
    } <= set(ids)
    kinds = {
        (kind["group"], kind["version"], kind["kind"])
        for schema in schemas.values()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
    }
    assert {(row.group, row.version, row.kind) for row in table.RESOURCES} <= kinds & set(KINDS)


async def test_openapi_in_binary(secure: Secure) -> None:
    """All of v2 is there (that clients understand it is for the acceptance tests); v3 is plain only."""
    headers = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    async with secure.session.get(secure.url("/openapi/v2"), headers=headers) as answer:
        assert (answer.status, answer.content_type) == (
            200,
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        )
        body = await answer.read()
    document = await secure.ok("GET", "/openapi/v2")
    assert document["swagger"] == "2.0"
    for name in (*document["definitions"], *document["paths"]):
        assert name.encode() in body
    assert (await secure.call("GET", "/openapi/v3/api/v1", headers=headers))[0] == 406


async def test_health(secure: Secure) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/readyz/ping", "/livez/etcd"):
        async with secure.session.get(secure.url(path)) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
    async with secure.session.get(secure.url("/readyz?verbose&exclude=ping&exclude=nope")) as answer:
        text = await answer.text()
    assert "[+]ping excluded: ok\n" in text
    assert 'no matches for "nope"' in text
    assert text.endswith("readyz check passed\n")
    assert (await secure.session.get(secure.url("/livez/nope"))).status in (403, 404)


def test_failed_checks_keep_their_reasons() -> None:
    found = report("livez", {"a": "", "b": "secret"}, set(), verbose=False)
    assert found.status == 500
    assert found.body == b"[+]a ok\n[-]b failed: reason withheld\nlivez check failed\n"


async def test_metrics_count_requests(secure: Secure) -> None:
    await secure.add_account("a")
    assert (await secure.session.get(secure.url("/apis/invented/v1/names"))).status == 404
    await secure.call("GET", "/api/v1/nodes")
    async with secure.session.get(secure.url("/metrics")) as answer:
        lines = (await answer.text()).splitlines()
    counted = [line for line in lines if line.startswith("apiserver_request_total")]
    assert any(
        'code="201"' in line and 'resource="serviceaccounts"' in line and line.endswith(" 1") for line in counted
    )
    assert not any("invented" in line for line in lines)
    assert 'apiserver_current_inflight_requests{request_kind="mutating"} 0' in lines
    assert 'apiserver_storage_objects{resource="namespaces"} 4' in lines


async def test_bootstrap_writes_once_and_repairs() -> None:
    store = MemoryStore()
    config = ApiServerConfig(port=6443)
    made = security.seams(security.SecurityConfig(advertise_address="192.0.2.1"))
    async with ApiServer(config, store, seams=made) as server:
        objects = server.objects
        revision = store.revision
        assert {one.metadata.name for one in objects.all("", "namespaces")} == {
            "default",
            "kube-system",
            "kube-public",
            "kube-node-lease",
        }
        service = objects.find("", "services", "default", "kubernetes")
        assert (service.spec.clusterIP, service.spec.ports[0].targetPort) == ("10.96.0.1", 6443)
        endpoints = objects.find("", "endpoints", "default", "kubernetes")
        assert endpoints.subsets[0].addresses[0].ip == "192.0.2.1"
    async with ApiServer(config, store, seams=made) as server:
        assert store.revision == revision
        group = "rbac.authorization.k8s.io"
        await server.objects.delete(group, "clusterroles", "", "view")
        await server.objects.delete(group, "clusterrolebindings", "", "system:discovery")
    async with ApiServer(config, store, seams=made) as server:
        assert server.objects.find(group, "clusterroles", "", "view") is not None
        assert server.objects.find(group, "clusterrolebindings", "", "system:discovery") is not None


def test_policy_is_well_formed() -> None:
    names = {role.metadata.name for role in policy.cluster_roles()}
    assert len(names) == len(list(policy.cluster_roles()))
    assert {binding.roleRef.name for binding in policy.cluster_role_bindings()} <= names
    for role in policy.cluster_roles():
        for rule in role.rules or ():
            assert rule.verbs
            assert bool(rule.nonResourceURLs) != bool(rule.apiGroups and rule.resources)


async def test_a_check_that_recovers_is_shown_so() -> None:
    health = Health({}, {})
    for found in ("", "broken", ""):
        await health._run("livez", "flaky", lambda found=found: found)  # type: ignore[misc]
    assert 'kubernetes_healthcheck{name="flaky",type="livez"} 1' in list(health._lines())
