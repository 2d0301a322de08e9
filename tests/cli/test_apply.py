"""apply against a real server, in turn with kubectl, and delete after it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.served import Place
from tiphys.api import apps_v1, core_v1
from tiphys.cli.applying import annotation, diff

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: site, labels: {app: site, tier: front}}
spec:
  replicas: 1
  selector: {matchLabels: {app: site}}
  template:
    metadata: {labels: {app: site}}
    spec:
      containers:
      - {name: web, image: "i:1", env: [{name: A, value: "1"}, {name: B, value: "<&>"}]}
      - {name: side, image: "s:1"}
---
apiVersion: v1
kind: Service
metadata: {name: site}
spec:
  selector: {app: site}
  ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53, protocol: TCP}]
"""


@pytest.fixture
def space(place: Place, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-").partition("[")[0]
    assert place.kubectl("create", "ns", name).code == 0
    return name


def read(place: Place, space: str, what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.tiphys("get", what, "-n", space, "-o", "json").out)
    return found


def test_created_unchanged_configured(place: Place, space: str) -> None:
    def apply(text: str, *more: str) -> list[str]:
        done = place.tiphys("apply", "-n", space, "-f", "-", *more, stdin=text)
        assert done.code == 0, done.err
        return done.out.splitlines()

    assert apply(WEB, "--dry-run=client") == [
        "deployment.apps/site created (dry run)",
        "service/site created (dry run)",
    ]
    assert apply(WEB) == ["deployment.apps/site created", "service/site created"]
    assert apply(WEB) == ["deployment.apps/site unchanged", "service/site unchanged"]
    changed = WEB.replace(", tier: front", "").replace('      - {name: side, image: "s:1"}\n', "").replace("i:1", "i:2")
    assert apply(changed, "--dry-run=server")[0] == "deployment.apps/site configured (server dry run)"
    assert apply(changed) == ["deployment.apps/site configured", "service/site unchanged"]
    found = read(place, space, "deploy/site")
    assert found["metadata"]["labels"] == {"app": "site"}
    containers = found["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in containers] == [("web", "i:2")]


def test_leaves_alone_what_others_set(place: Place, space: str) -> None:
    text = WEB.replace("  replicas: 1\n", "")
    place.tiphys("apply", "-n", space, "-f", "-", stdin=text)
    place.kubectl("scale", "deploy/site", "--replicas=3", "-n", space)
    place.kubectl("set", "env", "deploy/site", "-n", space, "-c", "web", "C=3")
    assert place.tiphys("apply", "-n", space, "-f", "-", stdin=text).out.startswith("deployment.apps/site unchanged")
    found = read(place, space, "deploy/site")["spec"]
    assert found["replicas"] == 3
    assert [v["name"] for v in found["template"]["spec"]["containers"][0]["env"]] == ["A", "B", "C"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_takes_turns_with_kubectl(place: Place, space: str) -> None:
    """Neither sees anything to do after the other, and each removes what the other had applied."""
    place.tiphys("apply", "-n", space, "-f", "-", stdin=WEB)
    theirs = place.kubectl("apply", "-n", space, "-f", "-", stdin=WEB)
    assert theirs.out.splitlines()[0] == "deployment.apps/site unchanged"
    less = WEB.replace(', {name: B, value: "<&>"}', "")
    assert place.kubectl("apply", "-n", space, "-f", "-", stdin=less).out.startswith("deployment.apps/site configured")
    assert place.tiphys("apply", "-n", space, "-f", "-", stdin=less).out.startswith("deployment.apps/site unchanged")
    place.tiphys("apply", "-n", space, "-f", "-", stdin=less.replace("{name: A", "{name: Z"))
    env = read(place, space, "deploy/site")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [variable["name"] for variable in env] == ["Z"]


def test_an_object_made_otherwise(place: Place, space: str) -> None:
    place.kubectl("create", "cm", "made", "--from-literal=a=1", "-n", space)
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {b: "2"}\n'
    done = place.tiphys("apply", "-n", space, "-f", "-", stdin=text)
    assert done.out == "configmap/made configured\n"
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in done.err
    assert read(place, space, "cm/made")["data"] == {"a": "1", "b": "2"}


BAD = {
    "kind: ConfigMap\nmetadata: {name: a}": "unable to decode STDIN: Object 'apiVersion' is missing or empty",
    "a: [": "error parsing STDIN: error converting YAML to JSON: yaml: line",
    "apiVersion: v1\nkind: Foo\nmetadata: {name: a}": 'no matches for kind "Foo" in version "v1"',
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {}": "resource name may not be empty",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbogus: 1": 'unknown field "bogus"',
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_}": 'The ConfigMap "A_" is invalid: metadata.name',
    "[]": "an object is expected",
    "": "no objects passed to apply",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b}": "already",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_manifests(place: Place, text: str) -> None:
    done = place.tiphys("apply", "-f", "-", stdin=text)
    assert done.code == 1
    assert BAD[text] in done.err
    assert "Traceback" not in done.err


def test_goes_on_after_an_error(place: Place, space: str) -> None:
    text = "apiVersion: v1\nkind: Foo\nmetadata: {name: a}\n---\n" + WEB
    done = place.tiphys("apply", "-n", space, "-f", "-", stdin=text)
    assert (done.code, len(done.out.splitlines())) == (1, 2)


def test_delete(place: Place, space: str, tmp_path: Path) -> None:
    manifest = tmp_path / "web.yaml"
    manifest.write_text(WEB)
    place.tiphys("apply", "-n", space, "-f", str(tmp_path))
    done = place.tiphys("delete", "-n", space, "-f", str(manifest), "--dry-run=server")
    assert done.out.splitlines()[0] == f'deployment.apps "site" deleted from {space} namespace (server dry run)'
    done = place.tiphys("delete", "-n", space, "-f", str(manifest))
    assert done.out.splitlines() == [
        f'deployment.apps "site" deleted from {space} namespace',
        f'service "site" deleted from {space} namespace',
    ]
    assert place.tiphys("get", "deploy,svc", "-n", space).out == ""
    again = place.tiphys("delete", "-n", space, "-f", str(manifest))
    assert again.code == 1
    assert again.err.startswith('Error from server (NotFound): deployments.apps "site" not found')
    assert place.tiphys("delete", "-n", space, "-f", str(manifest), "--ignore-not-found").code == 0


def test_delete_waits_for_finalizers(place: Place, space: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [x.io/hold]}\n"
    place.tiphys("apply", "-n", space, "-f", "-", stdin=text)
    done = place.tiphys("delete", "cm/held", "-n", space, "--timeout=1s")
    assert (done.code, done.err) == (1, "error: timed out waiting for the condition on configmaps/held\n")
    assert place.kubectl("patch", "cm", "held", "-n", space, "-p", '{"metadata":{"finalizers":null}}').code == 0


def test_patch_of_lists() -> None:
    old = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}
    live = {"spec": {"containers": [{"name": "a", "image": "1", "x": 1}, {"name": "b", "image": "1"}]}}
    new = {"spec": {"containers": [{"name": "c", "image": "1"}, {"name": "a", "image": "2"}]}}
    assert diff.strategic_patch(core_v1.Pod, old, new, live) == {
        "spec": {
            "containers": [
                {"name": "c", "image": "1"},
                {"name": "a", "image": "2"},
                {"name": "b", "$patch": "delete"},
            ],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        }
    }


def test_patch_keeps_only_the_keys_of_a_union() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    new = {"spec": {"strategy": {"type": "Recreate"}}}
    patch = diff.strategic_patch(apps_v1.Deployment, {}, new, live)
    assert patch == {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}


def test_patch_of_unknown_kinds_replaces_lists() -> None:
    assert diff.merge_patch({"a": 1, "l": [1]}, {"l": [2]}, {"a": 1, "l": [1], "b": 2}) == {"a": None, "l": [2]}
    assert diff.merge_patch({"a": 1}, {}, {"b": 2}) == {}


def test_annotation_is_the_text_that_kubectl_writes() -> None:
    made = annotation.annotated({"kind": "X", "metadata": {"name": "a", "annotations": {"b": "<"}}})
    text = made["metadata"]["annotations"][annotation.LAST_APPLIED]
    assert text == '{"kind":"X","metadata":{"annotations":{"b":"\\u003c"},"name":"a"}}\n'
    assert annotation.last_applied(made) == {"kind": "X", "metadata": {"name": "a", "annotations": {"b": "<"}}}
