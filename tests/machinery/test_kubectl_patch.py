"""Patches against a stock kubectl, which can patch without a server."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import core_v1
from tiphys.machinery import codec, errors, patch

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a": "1", "b": "2"}, "finalizers": ["x.io/a", "x.io/b", "x.io/c"]},
    "spec": {
        "containers": [
            {
                "name": "a",
                "image": "x",
                "args": ["1", "2"],
                "env": [{"name": "K", "value": "v"}, {"name": "L", "value": "w"}, {"name": "M", "value": "u"}],
                "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}],
            },
            {"name": "b", "image": "y"},
            {"name": "c", "image": "z"},
        ],
        "tolerations": [{"key": "old"}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
    },
}


def named(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


STRATEGIC: list[dict[str, Any]] = [
    {"metadata": {"labels": {"a": None, "c": "3"}}},
    {"metadata": {"labels": {"$patch": "replace", "z": "1"}}},
    {"metadata": {"labels": {"$patch": "delete"}}},
    {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/b"]}},
    {"metadata": {"finalizers": ["x.io/z", "x.io/a"]}},
    {"metadata": {"$setElementOrder/finalizers": ["x.io/c", "x.io/z", "x.io/a"], "finalizers": ["x.io/z"]}},
    {"spec": {"containers": named("b", image="new")}},
    {"spec": {"containers": named("z", image="new")}},
    {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}},
    {"spec": {"containers": [{"$patch": "replace"}, {"name": "n", "image": "i"}]}},
    {"spec": {"containers": [{"name": "d", "$patch": "delete"}, {"name": "a", "image": "q"}]}},
    {"spec": {"$setElementOrder/containers": named("c", "a", "b")}},
    {"spec": {"$setElementOrder/containers": named("c", "a")}},
    {"spec": {"$setElementOrder/containers": named("b", "n", "a"), "containers": named("n", image="i")}},
    {"spec": {"$setElementOrder/containers": named("c", "a"), "containers": [{"name": "b", "$patch": "delete"}]}},
    {"spec": {"containers": [{"name": "a", "env": [{"name": "L", "value": None}, {"name": "N", "value": "n"}]}]}},
    {"spec": {"containers": [{"name": "a", "env": [{"name": "L", "$patch": "delete"}], "args": None}]}},
    {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 82}, {"containerPort": 81, "name": "n"}]}]}},
    {"spec": {"containers": [{"name": "a", "$setElementOrder/env": named("M", "K"), "env": named("M", value="1")}]}},
    {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}},
    {"spec": {"volumes": [{"name": "n", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}},
    {"spec": {"tolerations": [{"key": "new"}, {"key": "newer", "value": None}]}},
    {"spec": {"tolerations": []}},
    {"spec": {"nodeSelector": {"a": "b", "c": None}, "securityContext": {"runAsUser": 1, "$patch": "replace"}}},
    {"spec": {"affinity": {"nodeAffinity": {}}, "hostNetwork": False, "nodeName": ""}},
]
JSON_PATCHES: list[list[dict[str, Any]]] = [
    [{"op": "replace", "path": "/spec/containers/0/image", "value": "q"}],
    [{"op": "add", "path": "/spec/containers/-", "value": {"name": "d"}}],
    [{"op": "add", "path": "/spec/containers/1", "value": {"name": "d"}}],
    [{"op": "add", "path": "/spec/containers/-1", "value": {"name": "d"}}],
    [{"op": "remove", "path": "/spec/containers/-1"}],
    [{"op": "move", "from": "/spec/containers/0", "path": "/spec/containers/2"}],
    [{"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/x~1y"}],
    [{"op": "test", "path": "/metadata/labels/zzz", "value": None}, {"op": "remove", "path": "/metadata/labels"}],
]
JSON_PATCHES += [
    [{"op": "replace", "path": "/metadata/labels/absent", "value": "1"}],
    [{"op": "copy", "from": "/spec/nodeName", "path": "/spec/hostname"}],
    [{"op": "replace", "path": "/metadata/finalizers/-1", "value": "x.io/q"}],
    [{"op": "copy", "from": "/spec/containers/-1", "path": "/spec/containers/0"}],
    [{"op": "add", "path": "/metadata/finalizers/+1", "value": "x.io/z"}],
    [{"op": "add", "path": "x/spec/nodeName", "value": "n"}],
]
MERGES: list[dict[str, Any]] = [
    {"metadata": {"labels": {"a": None, "c": "3"}}},
    {"spec": {"containers": named("n", image="i")}},
    {"spec": {"volumes": None, "nodeSelector": {"a": None, "b": "c"}}},
]


def patched(kind: str, change: Any, folder: Path) -> tuple[int, str]:
    """Exit code and output of kubectl's own patching."""
    assert KUBECTL is not None
    file = folder / "pod.json"
    file.write_text(json.dumps(POD))
    done = subprocess.run(
        [KUBECTL, "patch", "--local", "-f", str(file), f"--type={kind}", "-p", json.dumps(change), "-o", "json"],
        capture_output=True,
        text=True,
        env={"HOME": str(folder), "KUBECONFIG": "/dev/null"},
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout or done.stderr


def ours(kind: str, change: Any) -> core_v1.Pod:
    if kind == "strategic":
        document = patch.strategic_merge(core_v1.Pod, POD, change)
    else:
        document = patch.json_patch(POD, change) if kind == "json" else patch.merge_patch(POD, change)
    return codec.convert(core_v1.Pod, document)


CASES = [
    *(("strategic", change) for change in STRATEGIC),
    *(("json", change) for change in JSON_PATCHES),
    *(("merge", change) for change in MERGES),
]


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_same_result(kind: str, change: Any, tmp_path: Path) -> None:
    code, output = patched(kind, change, tmp_path)
    assert code == 0, output
    assert ours(kind, change) == codec.decode(core_v1.Pod, output.encode())


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("strategic", {"spec": {"containers": [{"image": "x"}]}}),
        ("strategic", {"spec": {"$patch": "bogus"}}),
        ("strategic", {"spec": {"containers": [{"name": "a", "$patch": "merge"}]}}),
        ("json", [{"op": "replace", "path": "/nope/nope", "value": 1}]),
        ("json", [{"op": "remove", "path": "/spec/containers/7"}]),
        ("json", [{"op": "test", "path": "/metadata/labels/a", "value": 1}]),
    ],
)
def test_same_refusal(kind: str, change: Any, tmp_path: Path) -> None:
    code, output = patched(kind, change, tmp_path)
    assert code == 1
    with pytest.raises(errors.StatusError) as caught:
        ours(kind, change)
    if kind == "strategic":
        assert caught.value.message in output
