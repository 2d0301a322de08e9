"""Strategic merge: by example, and against a definition that is slow and plain."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import apps_v1, core_v1
from tiphys.machinery import codec, errors
from tiphys.machinery.patch import strategic_merge


def containers(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


def merged_names(before: list[str], patch: dict[str, Any]) -> list[str]:
    merged = strategic_merge(core_v1.Pod, {"spec": {"containers": containers(*before)}}, {"spec": patch})
    return [container["name"] for container in merged["spec"]["containers"]]


POD = {
    "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]},
    "spec": {
        "containers": [
            {"name": "a", "image": "x", "args": ["1", "2"], "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "env": [{"name": "K", "value": "v"}]},
        ],
        "tolerations": [{"key": "old"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param({}, POD, id="nothing"),
        pytest.param(
            {"metadata": {"labels": {"b": None, "c": "3"}}},
            {**POD, "metadata": {"labels": {"a": "1", "c": "3"}, "finalizers": ["x", "y"]}},
            id="maps",
        ),
        pytest.param(
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]}},
            {**POD, "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["z", "y"]}},
            id="primitive lists",
        ),
        pytest.param(
            {"metadata": {"labels": {"$patch": "replace", "z": "1"}}},
            {**POD, "metadata": {"labels": {"z": "1"}, "finalizers": ["x", "y"]}},
            id="replace a map",
        ),
        pytest.param(
            {"metadata": {"labels": {"$patch": "delete"}}},
            {**POD, "metadata": {"labels": {}, "finalizers": ["x", "y"]}},
            id="delete a map",
        ),
        pytest.param(
            {"metadata": None, "status": {"phase": "x", "podIP": None}},
            {"spec": POD["spec"], "status": {"phase": "x"}},
            id="nulls",
        ),
    ],
)
def test_maps_and_primitives(patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert strategic_merge(core_v1.Pod, POD, patch) == expected


def spec_after(patch: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = strategic_merge(core_v1.Pod, POD, {"spec": patch})["spec"]
    return spec


def test_keyed_lists_merge_deeply() -> None:
    patch = {
        "containers": [
            {"name": "a", "args": ["3"], "ports": [{"containerPort": 81}]},
            {"name": "b", "env": [{"name": "K", "value": "w"}, {"name": "L", "value": "x", "valueFrom": None}]},
        ]
    }
    assert spec_after(patch)["containers"] == [
        {
            "name": "a",
            "image": "x",
            "args": ["3"],
            "ports": [{"containerPort": 81}, {"containerPort": 80, "protocol": "TCP"}],
        },
        {"name": "b", "env": [{"name": "K", "value": "w"}, {"name": "L", "value": "x"}]},
    ]


def test_lists_without_a_strategy_are_replaced() -> None:
    assert spec_after({"tolerations": [{"key": "new"}]})["tolerations"] == [{"key": "new"}]


def test_delete_and_replace_in_keyed_lists() -> None:
    assert merged_names(["a", "b", "c"], {"containers": [{"name": "b", "$patch": "delete"}]}) == ["a", "c"]
    replaced = {"containers": [{"$patch": "replace"}, {"name": "z"}]}
    assert merged_names(["a", "b"], replaced) == ["z"]
    assert merged_names([], {"containers": [{"name": "b", "$patch": "delete"}, {"name": "z"}]}) == ["z"]


def test_retain_keys() -> None:
    volumes = [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]
    assert spec_after({"volumes": volumes})["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(apps_v1.Deployment, doc, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    ("before", "order", "patch", "after"),
    [
        ("abc", "ba", "", "bac"),
        ("abc", "cab", "", "cab"),
        ("abxc", "cba", "", "xcba"),
        ("xab", "ba", "", "xba"),
        ("ab", "acb", "c", "acb"),
        ("ab", "ba", "b", "ba"),
        ("axb", "ab", "ab", "axb"),
    ],
)
def test_set_element_order(before: str, order: str, patch: str, after: str) -> None:
    directives: dict[str, Any] = {"$setElementOrder/containers": containers(*order)}
    if patch:
        directives["containers"] = containers(*patch, image="new")
    assert "".join(merged_names(list(before), directives)) == after


def test_set_element_order_with_a_deletion() -> None:
    patch = {
        "$setElementOrder/containers": containers("c", "a"),
        "containers": [{"name": "b", "$patch": "delete"}],
    }
    assert merged_names(["a", "b", "c"], patch) == ["c", "a"]


def test_order_of_primitives_and_of_numbers() -> None:
    patch = {"metadata": {"$setElementOrder/finalizers": ["z", "y"], "finalizers": ["z"]}}
    assert strategic_merge(core_v1.Pod, POD, patch)["metadata"]["finalizers"] == ["z", "x", "y"]
    ports = [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}]
    order = {"spec": {"$setElementOrder/ports": [{"port": 443}, {"port": 80}], "ports": [{"port": 80, "name": "c"}]}}
    merged = strategic_merge(core_v1.Service, {"spec": {"ports": ports}}, order)
    assert merged["spec"]["ports"] == [{"port": 443, "name": "b"}, {"port": 80, "name": "c"}]


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (
            {"spec": {"containers": [{"image": "x"}]}},
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ({"spec": {"$patch": "bogus"}}, 500, "unknown patch type: bogus in map: map[$patch:bogus]"),
        ({"spec": {"volumes": [{"name": "v", "$retainKeys": 1}]}}, 400, "invalid patch format of retainKeys"),
        (
            {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}},
            400,
            "invalid patch format of retainKeys",
        ),
        ({"spec": {"$setElementOrder": []}}, 400, "invalid patch format of setElementOrder list"),
        ({"metadata": {"$deleteFromPrimitiveList": []}}, 400, "invalid patch format of primitive list"),
        (
            {"spec": {"containers": [{"name": "a", "$patch": "merge"}]}},
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            {"spec": {"containers": [1]}},
            500,
            None,
        ),
        (
            {"spec": {"$setElementOrder/containers": containers("b", "a"), "containers": containers("a", "b")}},
            500,
            None,
        ),
    ],
)
def test_refusals(patch: Any, code: int, message: str | None) -> None:
    before = codec.encode(POD)
    with pytest.raises(errors.StatusError) as caught:
        strategic_merge(core_v1.Pod, POD, patch)
    assert caught.value.code == code
    assert message is None or caught.value.message == message
    assert codec.encode(POD) == before


names = st.lists(st.sampled_from("abcde"), unique=True)
values = st.one_of(st.none(), st.sampled_from(["x", "y"]))
plain_maps = st.dictionaries(st.sampled_from("pqr"), values, max_size=3)


@st.composite
def keyed_patches(draw: st.DrawFn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for name in draw(names):
        if draw(st.integers(0, 3)) == 0:
            items.append({"name": name, "$patch": "delete"})
        else:
            items.append({"name": name, "image": draw(values)})
    return items


def slow_content(before: list[dict[str, Any]], patch: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a keyed list must hold after a patch, without regard to order."""
    content = {item["name"]: dict(item) for item in before}
    for item in patch:
        if item.get("$patch") == "delete":
            content.pop(item["name"], None)
    for item in patch:
        if "$patch" in item:
            continue
        target = content.setdefault(item["name"], {})
        for field, value in item.items():
            if value is None:
                target.pop(field, None)
            else:
                target[field] = value
    return content


@given(names, keyed_patches())
def test_keyed_lists_agree_with_the_slow_definition(before: list[str], patch: list[dict[str, Any]]) -> None:
    doc = {"spec": {"containers": containers(*before, image="old")}}
    merged = strategic_merge(core_v1.Pod, doc, {"spec": {"containers": patch}})["spec"]["containers"]
    assert {item["name"]: item for item in merged} == slow_content(doc["spec"]["containers"], patch)
    assert len(merged) == len({item["name"] for item in merged})
    order = [item["name"] for item in merged]
    named = [item["name"] for item in patch if "$patch" not in item]
    assert [name for name in order if name in named] == named
    untouched = [name for name in before if name in order and name not in named]
    assert [name for name in order if name not in named] == untouched


@given(names, names)
def test_element_order_is_obeyed(before: list[str], order: list[str]) -> None:
    patch = {"$setElementOrder/containers": containers(*order)}
    after = merged_names(before, patch)
    assert sorted(after) == sorted(before)
    assert [name for name in after if name in order] == [name for name in order if name in before]
    assert [name for name in after if name not in order] == [name for name in before if name not in order]


@given(plain_maps.map(lambda m: {k: v for k, v in m.items() if v}), plain_maps)
def test_maps_agree_with_dicts(before: dict[str, str], patch: dict[str, str | None]) -> None:
    merged = strategic_merge(core_v1.Pod, {"metadata": {"labels": before}}, {"metadata": {"labels": patch}})
    expected = {key: value for key, value in {**before, **patch}.items() if value is not None}
    assert merged["metadata"]["labels"] == expected
