"""Strategic merge by example."""

from tiphys.api import apps_v1, core_v1
from tiphys.machinery.patch import json_patch, strategic_merge


def test_keyed_lists_merge_by_key() -> None:
    doc = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}}
    patch = {"spec": {"containers": [{"name": "b", "image": "y"}]}}
    merged = strategic_merge(core_v1.Pod, doc, patch)
    assert merged == {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    assert doc["spec"]["containers"][1] == {"name": "b"}


def test_order() -> None:
    doc = {"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    merged = strategic_merge(core_v1.Pod, doc, patch)
    assert [c["name"] for c in merged["spec"]["containers"]] == ["b", "a", "c"]


def test_retain_keys() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(apps_v1.Deployment, doc, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_json_patch_leaves_the_document_alone() -> None:
    doc = {"a": {"b": [1, 2]}}
    assert json_patch(doc, [{"op": "add", "path": "/a/b/-", "value": 3}, {"op": "remove", "path": "/a/b/0"}]) == {
        "a": {"b": [2, 3]}
    }
    assert doc == {"a": {"b": [1, 2]}}
