"""Ownership against a slow model, sets against sets of paths, and the order of merged lists."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machinery.owners import Model
from tiphys.api import core_v1, meta_v1
from tiphys.api.scalars import Time
from tiphys.machinery import apply, codec, fieldsets, merging, structure

NODE = structure.node_of(core_v1.Pod)
MANAGERS = ["a", "b", "c"]
texts = st.sampled_from(["1", "2"])
#: A Pod of labels and containers, each container a few texts.
documents = st.fixed_dictionaries(
    {
        "data": st.dictionaries(st.sampled_from("xyz"), texts, max_size=3),
        "containers": st.dictionaries(
            st.sampled_from("pqr"), st.dictionaries(st.sampled_from(["image", "workingDir"]), texts), max_size=3
        ),
    }
)
steps = st.lists(
    st.tuples(st.sampled_from(["update", "apply", "force"]), st.sampled_from(MANAGERS), documents), max_size=8
)


def no_other_version(version: str, old: Any, new: Any) -> None:
    """There is one version only."""


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}
    if document["data"]:
        pod["metadata"]["labels"] = dict(document["data"])
    if document["containers"]:
        pod["spec"]["containers"] = [{"name": name, **item} for name, item in document["containers"].items()]
    return pod


def leaves_in(pod: dict[str, Any]) -> dict[tuple[str, ...], str]:
    found = {("data", key): value for key, value in ((pod.get("metadata") or {}).get("labels") or {}).items()}
    for item in (pod.get("spec") or {}).get("containers") or ():
        for field, value in item.items():
            found["item", item["name"], field] = value
    return found


def paths_in(fields: fieldsets.Fields) -> set[tuple[str, ...]]:
    """The leaves in a set of fields; containers of leaves are not the model's business."""
    found = set()
    for path in fieldsets.members(fields):
        if path[:2] == ("f:metadata", "f:labels") and len(path) == 3:
            found.add(("data", path[2][2:]))
        elif path[:2] == ("f:spec", "f:containers") and len(path) == 4:
            found.add(("item", path[2].split('"')[3], path[3][2:]))
    return found


def owned(managed: apply.Managed) -> dict[tuple[str, str], set[tuple[str, ...]]]:
    found = {(key.manager, key.operation): paths_in(owner.fields) for key, owner in managed.items()}
    return {key: paths for key, paths in found.items() if paths}


@settings(max_examples=400, deadline=None)
@given(steps)
def test_sequences_agree_with_the_model(sequence: list[tuple[str, str, dict[str, Any]]]) -> None:
    model = Model()
    live: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}
    managed: apply.Managed = {}
    for number, (verb, manager, document) in enumerate(sequence):
        writer = apply.Writer(manager, "v1", "", Time(f"2026-01-01T00:00:{number:02}Z"))
        new = pod_of(document)
        unchanged = codec.encode(new)
        if verb == "update":
            managed, live = apply.update(NODE, live, new, managed, writer, no_other_version), new
            model.update(manager, document)
        else:
            expected = model.conflicts(manager, document)
            try:
                merged, managed = apply.apply(NODE, live, new, managed, writer, no_other_version, force=verb == "force")
            except apply.Conflicts as conflicts:
                found = {(key.manager, path) for key, fields in conflicts.found.items() for path in paths_in(fields)}
                assert (found, verb) == (expected, "apply")
                continue
            assert not expected or verb == "force"
            assert unchanged == codec.encode(new)
            live = live if merged is None else merged
            model.apply(manager, document)
        assert owned(managed) == model.owned
        assert leaves_in(live) == model.leaves
        # What is stored reads back as it was.
        again = apply.decode(codec.copy(meta_v1.ObjectMeta(managedFields=apply.encode(managed))).managedFields)
        assert {key: owner.fields for key, owner in again.items()} == {
            key: owner.fields for key, owner in managed.items()
        }


@settings(max_examples=200, deadline=None)
@given(documents, documents)
def test_structs_compare_like_plain_data(one: dict[str, Any], other: dict[str, Any]) -> None:
    plain = [pod_of(one), pod_of(other)]
    for pod in plain:
        # Empty in a Struct, too.
        pod["spec"].setdefault("containers", [])
    typed = [codec.convert(core_v1.Pod, pod) for pod in plain]
    assert structure.compare(NODE, *typed) == structure.compare(NODE, *map(codec.to_builtins, typed))
    made = structure.made(NODE, typed[0], {})
    assert made == structure.compare(NODE, core_v1.Pod(), typed[0]).changed


elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"s"', "v:1"])
paths = st.lists(elements, min_size=1, max_size=3).map(tuple)
sets = st.sets(paths, max_size=6)


@settings(max_examples=300, deadline=None)
@given(sets, sets)
def test_sets_of_fields_are_sets(one: set[fieldsets.Path], other: set[fieldsets.Path]) -> None:
    left, right = fieldsets.of_paths(*one), fieldsets.of_paths(*other)

    def listed(fields: fieldsets.Fields) -> set[fieldsets.Path]:
        return set(fieldsets.members(fields))

    assert listed(left) == one
    assert listed(fieldsets.union(left, right)) == one | other
    assert listed(fieldsets.intersection(left, right)) == one & other
    assert listed(fieldsets.difference(left, right)) == one - other
    below = {path for path in one if any(path[: len(gone)] == gone for gone in other)}
    assert listed(fieldsets.without(left, right)) == one - below
    assert fieldsets.parse(codec.decode_builtins(codec.encode(left))) == left
    assert list(fieldsets.union(left, right)) == fieldsets.sorted_elements(fieldsets.union(left, right))


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("abc", "b", "abc"),
        ("abc", "cb", "acb"),
        ("abc", "dba", "dbca"),
        ("", "ba", "ba"),
        ("ab", "", "ab"),
        ("abcd", "xd", "abcxd"),
        ("ab", "ba", "ba"),
    ],
)
def test_order_of_merged_lists(live: str, config: str, merged: str) -> None:
    node = NODE.fields["metadata"].fields["finalizers"]
    assert merging.merge(node, list(live), list(config)) == (list(merged) or None)


@pytest.mark.parametrize("element", ["x:a", "f", "k:[1]", "k:{", 'i:"a"', ""])
def test_bad_elements_are_refused(element: str) -> None:
    with pytest.raises(ValueError, match="path element"):
        fieldsets.parse({element: {}})


def test_paths_as_messages_show_them() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"x"', "i:3")
    assert fieldsets.show(path) == '.spec[containerPort=80,protocol="TCP"][="x"][3]'


@pytest.mark.parametrize("place", ["first", "last", "alone", "none"])
def test_managed_fields_are_cut_out(place: str) -> None:
    metadata: dict[str, Any] = {} if place == "alone" else {"annotations": {"managedFields": '"managedFields":[1],'}}
    managed = {"managedFields": [{"manager": '}],"x', "fieldsV1": {"f:}],": {}}}]}
    whole = {**managed, **metadata} if place == "first" else {**metadata, **managed}
    document = {"metadata": metadata if place == "none" else whole, "spec": {"managedFields": [2]}}
    found = fieldsets.without_managed(codec.encode(document))
    assert codec.decode_builtins(found) == {"metadata": metadata, "spec": {"managedFields": [2]}}
