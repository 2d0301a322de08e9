"""Older Kubernetes, by schema."""

import pytest

from tests.testing.manifests import deployment, pod
from tiphys.api import core_v1, meta_v1
from tiphys.machinery import codec, errors
from tiphys.resources import table
from tiphys.testing import Cluster
from tiphys.testing.versions import of, parse
from tiphys.testing.versions.absence import drop, unknown


def ask(cluster, path):
    return codec.decode_builtins(cluster.run(cluster.client().request("GET", path)))


@pytest.mark.parametrize("text", ["1.27", "1.37", "2.30", "1.x", "", "1.30.1"])
def test_what_is_no_version(text):
    with pytest.raises(ValueError, match="can be simulated"):
        parse(text)


def test_what_minors_do_not_have():
    rows = {(row.group, row.version, row.plural): row for row in table.ALL}
    since = {
        ("", "v1", "pods"): 28,
        ("networking.k8s.io", "v1", "ipaddresses"): 33,
        ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"): 30,
        ("resource.k8s.io", "v1", "resourceclaims"): 34,
    }
    for path, minor in since.items():
        assert of(minor).lacks(rows[path]) is False, path
        assert minor == 28 or of(minor - 1).lacks(rows[path]) is True, path
    assert [row.plural for row in table.RESOURCES if of(36).lacks(row)] == []


def test_fields_are_found_and_dropped_at_any_depth():
    tree = of(28).fields(core_v1.Pod)
    sleep = {"preStop": {"sleep": {"seconds": 3}}}
    document = {"spec": {"containers": [{"name": "a"}, {"name": "b", "lifecycle": sleep}]}}
    assert list(unknown(document, tree)) == ["spec.containers[1].lifecycle.preStop.sleep"]
    obj = codec.convert(core_v1.Pod, document)
    drop(obj, tree)
    assert obj.spec.containers[1].lifecycle.preStop.sleep is None
    assert list(unknown(document, of(30).fields(core_v1.Pod))) == []


@pytest.mark.cluster(kubernetes_version="1.29")
def test_what_an_older_cluster_serves(cluster):
    assert ask(cluster, "/version")["gitVersion"] == "v1.29.0"
    groups = {group["name"]: [v["version"] for v in group["versions"]] for group in ask(cluster, "/apis")["groups"]}
    assert "resource.k8s.io" not in groups
    names = [resource["name"] for resource in ask(cluster, "/apis/networking.k8s.io/v1")["resources"]]
    assert "ingresses" in names
    assert "ipaddresses" not in names
    with pytest.raises(errors.NotFound, match="the server could not find the requested resource"):
        cluster.list("ipaddresses")
    document = ask(cluster, "/openapi/v3/apis/apps/v1")["components"]["schemas"]
    assert "terminatingReplicas" not in document["io.k8s.api.apps.v1.DeploymentStatus"]["properties"]
    assert "replicas" in document["io.k8s.api.apps.v1.DeploymentStatus"]["properties"]


@pytest.mark.cluster(kubernetes_version="1.28")
def test_unknown_fields_are_warned_of_refused_and_dropped(cluster):
    lifecycle = {"preStop": {"sleep": {"seconds": 3}}}
    newer = pod("a", containers=[{"name": "c", "image": "nginx:1", "lifecycle": lifecycle}])
    path = 'unknown field "spec.containers[0].lifecycle.preStop.sleep"'

    async def create(validation):
        client = cluster.client()
        from tiphys.wire.exchange import Request

        headers = {"content-type": "application/json", "accept": "application/json"}
        request = Request(
            "POST",
            "/api/v1/namespaces/default/pods",
            {"fieldValidation": (validation,)},
            headers,
            codec.encode(newer),
        )
        return await client.transport.send(request)

    refused = cluster.run(create("Strict"))
    assert refused.status == 400
    assert codec.decode(meta_v1.Status, refused.body).message == (
        f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {path}'
    )
    warned = cluster.run(create("Warn"))
    assert warned.status in (201, 422)
    assert path.replace('"', '\\"') in warned.headers["Warning"]


@pytest.mark.parametrize("minor", range(28, 37))
def test_a_deployment_runs_in_all_of_them(minor):
    with Cluster(kubernetes_version=f"1.{minor}") as cluster:
        cluster.apply(deployment(2))
        found = cluster.advance_until("deployment/web", "Available")
        assert (found.status.terminatingReplicas is None) == (minor < 33)
        assert found.status.readyReplicas == 2
