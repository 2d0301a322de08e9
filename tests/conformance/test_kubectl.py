"""Stock kubectl against a whole cluster over HTTPS, with simulated nodes."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.testing.manifests import template

KUBECTL = shutil.which("kubectl") or ""
pytestmark = pytest.mark.skipif(not KUBECTL, reason="needs kubectl")


class Kubectl:
    def __init__(self, cluster: Any, home: Path) -> None:
        self.command = [KUBECTL, "--kubeconfig", cluster.kubeconfig, "--cache-dir", str(home)]

    def __call__(self, *words: str, given: str = "", fails: bool = False) -> str:
        done = subprocess.run([*self.command, *words], input=given, capture_output=True, text=True, check=False)
        assert fails or done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, count: int) -> list[str]:
        """Names of running Pods, once there are so many and no others."""
        self("wait", "pod", "--all", "--for=condition=Ready", "--timeout=20s")
        found = self("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()
        assert len(found) == count
        return found


@pytest.fixture
def kubectl(cluster: Any, tmp_path: Path) -> Kubectl:
    return Kubectl(cluster, tmp_path)


def controller(replicas: int = 1) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"app": "web"}, "template": template()}
    container = spec["template"]["spec"]["containers"][0]  # type: ignore[index]
    container["ports"] = [{"containerPort": 6379, "name": "agnhost-server"}]
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "primary"}, "spec": spec}


def test_api_versions(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]"""
    assert "v1" in kubectl("api-versions").splitlines()


def test_cluster_info(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in
    cluster-info [Conformance]"""
    assert re.search(r"Kubernetes control plane.* is running at ", kubectl("cluster-info"))


def test_version(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]"""
    found = json.loads(kubectl("version", "-o", "json"))
    for who in ("clientVersion", "serverVersion"):
        assert all(found[who][field] for field in ("major", "minor", "gitVersion", "gitCommit", "buildDate"))


def test_describe(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and
    pods [Conformance]"""
    cluster.apply(
        controller(),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "primary"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 6379, "targetPort": "agnhost-server"}]},
        },
    )
    cluster.advance("10s")
    (name,) = kubectl.wait(1)
    expected: dict[tuple[str, ...], tuple[str, ...]] = {
        ("pod", name): (
            "Name:",
            "Namespace:",
            "Node:",
            "Labels:",
            "app=web",
            "Status:",
            "Running",
            "IP:",
            "Controlled By:",
            "ReplicationController/primary",
            "Image:",
            "State:",
            "QoS Class:",
        ),
        ("rc", "primary"): (
            "Name:",
            "Namespace:",
            "Selector:",
            "app=web",
            "Labels:",
            "Replicas:",
            "Pods Status:",
            "Pod Template:",
            "Events:",
        ),
        ("service", "primary"): (
            "Name:",
            "Labels:",
            "Selector:",
            "Type:",
            "IP:",
            "Port:",
            "Endpoints:",
            "Session Affinity:",
        ),
        ("node", cluster.list("nodes")[0].metadata.name): (
            "Name:",
            "Labels:",
            "Annotations:",
            "CreationTimestamp",
            "Conditions:",
            "Addresses:",
            "Capacity:",
            "Version",
            "Kubelet Version",
            "Pods",
        ),
        ("namespace", "default"): ("Name:", "Labels:", "Annotations:", "Status:", "Active"),
    }
    for words, fields in expected.items():
        shown = kubectl("describe", *words)
        assert [field for field in fields if field not in shown] == []


def test_diff(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments
    [Conformance]"""
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template("agnhost:1")}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    kubectl("create", "-f", "-", given=json.dumps(body))
    changed = json.dumps(body | {"spec": spec | {"template": template("busybox:1")}})
    shown = kubectl("diff", "-f", "-", given=changed, fails=True)
    assert re.search(r"^-.*image: agnhost:1$", shown, re.M)
    assert re.search(r"^\+.*image: busybox:1$", shown, re.M)


def test_expose(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]"""
    cluster.apply(controller())
    cluster.advance("10s")
    kubectl("expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    cluster.advance("5s")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        assert cluster.get(f"service/{name}").spec.ports[0].port == port
        subset = cluster.get(f"endpoints/{name}").subsets[0]
        assert (len(subset.addresses), subset.ports[0].port) == (1, 6379)


def test_label(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]"""
    kubectl("run", "pause", "--image=pause:1")
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert "pause" in kubectl("get", "pod", "-l", "testing-label=testing-label-value")
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert "testing-label" not in cluster.get("pod/pause").metadata.labels


def test_patch(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]"""
    cluster.apply(controller())
    cluster.advance("10s")
    for name in kubectl.wait(1):
        kubectl("patch", "pod", name, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
        assert cluster.get(f"pod/{name}").metadata.annotations["x"] == "y"


def test_replace(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image [Conformance]"""
    kubectl("run", "web", "--image=httpd:1", "--labels=run=web")
    cluster.advance("10s")
    kubectl.wait(1)
    body = kubectl("get", "pod", "web", "-o", "json").replace("httpd:1", "busybox:1")
    kubectl("replace", "-f", "-", given=body)
    assert cluster.get("pod/web").spec.containers[0].image == "busybox:1"


def test_run(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never
    [Conformance]"""
    kubectl("run", "web", "--restart=Never", "--image=httpd:1")
    spec = cluster.get("pod/web").spec
    assert ([c.image for c in spec.containers], spec.restartPolicy) == (["httpd:1"], "Never")


def test_dry_run(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods
    [Conformance]"""
    kubectl("run", "web", "--image=httpd:1")
    change = json.dumps({"spec": {"containers": [{"name": "web", "image": "busybox:1"}]}})
    kubectl("patch", "pod", "web", "-p", change, "--dry-run=server")
    assert cluster.get("pod/web").spec.containers[0].image == "httpd:1"


def test_update_demo(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]"""
    kubectl("create", "-f", "-", given=json.dumps(controller(2)))
    cluster.advance("10s")
    kubectl.wait(2)
    kubectl("delete", "--grace-period=0", "--force", "rc", "primary")
    cluster.advance("40s")
    assert kubectl("get", "rc,pods", "--no-headers") == ""


def test_update_demo_scales(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-cli] Kubectl client Update Demo should scale a replication controller [Conformance]"""
    kubectl("create", "-f", "-", given=json.dumps(controller(2)))
    for replicas in (1, 2):
        kubectl("scale", "rc", "primary", f"--replicas={replicas}", "--timeout=1m")
        cluster.advance("40s")
        kubectl.wait(replicas)


def _proxied(kubectl: Kubectl, *words: str) -> "subprocess.Popen[str]":
    command = [*kubectl.command, "proxy", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
    writer.write(b"GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])


def test_proxy_on_a_port(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]"""
    process = _proxied(kubectl, "-p", "0")
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1])

        async def ask() -> Any:
            return await _ask(*await asyncio.open_connection("127.0.0.1", port))

        assert asyncio.run(ask())["versions"] == ["v1"]
    finally:
        process.kill()
        process.wait()


def test_proxy_on_a_socket(kubectl: Kubectl, tmp_path: Path) -> None:
    """[sig-cli] Kubectl client Proxy server should support --unix-socket=/path [Conformance]"""
    path = tmp_path / "s"
    process = _proxied(kubectl, f"--unix-socket={path}")
    try:
        assert process.stdout is not None
        process.stdout.readline()

        async def ask() -> Any:
            return await _ask(*await asyncio.open_unix_connection(path))

        assert asyncio.run(ask())["versions"] == ["v1"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


# What is published of definitions

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: foos.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: foos, singular: foo, kind: Foo, listKind: FooList}}
  versions:
  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {schema}}}}}
"""
FOO = '{{"apiVersion":"{group}/v1","kind":"Foo","metadata":{{"name":"test-foo"}}{more}}}'


def _define(kubectl: Kubectl, cluster: Any, group: str, schema: dict[str, Any]) -> None:
    kubectl("create", "-f", "-", given=CRD.format(group=group, schema=json.dumps(schema)))
    kubectl("wait", "crd", f"foos.{group}", "--for=condition=Established", "--timeout=10s")
    cluster.advance("1s")


def _lives(kubectl: Kubectl, body: str) -> None:
    kubectl("create", "-f", "-", given=body)
    kubectl("delete", "-f", "-", given=body)
    kubectl("apply", "-f", "-", given=body)
    kubectl("delete", "-f", "-", given=body)


def test_schema_is_published(kubectl: Kubectl, cluster: Any) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema
    [Conformance]"""
    bar = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "Name of Bar."},
            "age": {"type": "string", "description": "Age of Bar."},
            "bazs": {"type": "array", "items": {"type": "string"}, "description": "List of Bazs."},
        },
    }
    spec = {
        "type": "object",
        "description": "Specification of Foo",
        "properties": {"bars": {"type": "array", "items": bar, "description": "List of Bars and their specs."}},
    }
    schema = {"type": "object", "description": "Foo CRD for Testing", "properties": {"spec": spec}}
    group = "foo.example.com"
    _define(kubectl, cluster, group, schema)
    _lives(kubectl, FOO.format(group=group, more=',"spec":{"bars":[{"name":"test-bar"}]}'))
    for more, said in (
        (',"spec":{"foo":true}', 'unknown field "spec.foo"'),
        (',"spec":{"bars":[{"age":"10"}]}', "spec.bars[0].name"),
    ):
        for verb in ("create", "apply"):
            done = subprocess.run(
                [*kubectl.command, verb, "-f", "-"],
                input=FOO.format(group=group, more=more),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode != 0
            assert said in done.stderr
    assert "Foo CRD for Testing" in kubectl("explain", "foos")
    assert "Specification of Foo" in kubectl("explain", "foos.spec")
    shown = kubectl("explain", "foos.spec.bars")
    assert all(text in shown for text in ("List of Bars and their specs", "age", "name", "bazs", "-required-"))


@pytest.mark.parametrize(
    ("schema", "more", "explained"),
    [
        ({}, ',"a":{"b":1}', "Foo"),
        (
            {"properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
            ',"spec":{"dummy":"x"}',
            "Foo",
        ),
        (
            {
                "properties": {
                    "spec": {
                        "type": "object",
                        "description": "Specification of Waldo",
                        "properties": {"dummy": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                }
            },
            ',"spec":{"dummy":{"any":"x"}}',
            "<preserved-unknown",
        ),
    ],
)
def test_what_is_free_is_published(
    kubectl: Kubectl, cluster: Any, schema: dict[str, Any], more: str, explained: str
) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown
    fields
    at the schema root [Conformance]
    [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema
    [Conformance]
    [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields
    in an embedded object [Conformance]"""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    given = schema and {"type": "object", **schema}
    _define(kubectl, cluster, "free.example.com", given or free)
    _lives(kubectl, FOO.format(group="free.example.com", more=more))
    shown = kubectl("explain", "foos", "--recursive")
    assert ("KIND:       Foo" in shown) and (explained.startswith("<") or explained in shown)
