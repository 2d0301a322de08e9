"""JSON patch and merge patch: the examples of the RFCs, and slow definitions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import core_v1
from tiphys.machinery import errors
from tiphys.machinery.jsonpatch import same
from tiphys.machinery.patch import json_patch, merge_patch, strategic_merge


def op(name: str, path: str, *value: Any, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **({"value": value[0]} if value else {}), **more}


@pytest.mark.parametrize(
    ("doc", "ops", "after"),
    [
        # RFC 6902, Appendix A
        ({"foo": "bar"}, [op("add", "/baz", "qux")], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [op("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [op("replace", "/baz", "boo")], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [op("move", "/qux/thud", **{"from": "/foo/waldo"})],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        ({"foo": ["a", "b", "c", "d"]}, [op("move", "/foo/3", **{"from": "/foo/1"})], {"foo": ["a", "c", "d", "b"]}),
        ({"baz": "qux", "foo": ["a", 2]}, [op("test", "/baz", "qux"), op("test", "/foo/1", 2)], None),
        ({"foo": "bar"}, [op("add", "/child", {"g": {}}, xyz=123)], {"foo": "bar", "child": {"g": {}}}),
        ({"/": 9, "~1": 10}, [op("test", "/~01", 10), op("test", "/~1", 9)], None),
        ({"foo": ["bar"]}, [op("add", "/foo/-", ["abc", "def"])], {"foo": ["bar", ["abc", "def"]]}),
        # What Kubernetes allows beyond it
        ({"a": [1, 2]}, [op("remove", "/a/-1")], {"a": [1]}),
        ({"a": [1, 2]}, [op("replace", "/a/-2", 0)], {"a": [0, 2]}),
        ({"a": 1}, [op("test", "/b", None)], None),
        ({"a": 1}, [op("replace", "/b", 2)], {"a": 1, "b": 2}),
        ({"a": 1}, [op("copy", "/b", **{"from": "/c"})], {"a": 1, "b": None}),
        ({"a": 1}, [op("test", "", {"a": 1}), op("replace", "", {"b": 2}), op("add", "x/c", 3)], {"b": 2, "c": 3}),
        (
            {"a": {"x": 1}},
            [op("copy", "/b", **{"from": "/a"}), op("add", "/b/y", 2)],
            {"a": {"x": 1}, "b": {"x": 1, "y": 2}},
        ),
        (
            {"a": {"x": {}}},
            [op("add", "/a/x/z", 1), op("copy", "/b", **{"from": "/a"}), op("add", "/b/x/y", 2)],
            {"a": {"x": {"z": 1}}, "b": {"x": {"z": 1, "y": 2}}},
        ),
        ({"": 1}, [op("replace", "/", 2)], {"": 2}),
        ({"a": {"": 1}}, [op("remove", "/a/")], {"a": {}}),
    ],
)
def test_examples(doc: Any, ops: list[Any], after: Any) -> None:
    before = json.dumps(doc)
    assert json_patch(doc, ops) == (doc if after is None else after)
    assert json.dumps(doc) == before


@pytest.mark.parametrize(
    "bad",
    [
        op("remove", "/nope"),
        op("replace", "/nope/x", 1),
        op("replace", "/a/9", 1),
        op("replace", "", 1),
        op("test", "", {}),
        op("add", "/nope/x", 1),
        op("add", "/a/3", 1),
        op("add", "/a/x", 1),
        op("add", "/a/-4", 1),
        op("add", "/a/0/x", 1),
        op("remove", "/a/2"),
        op("remove", "/a/-"),
        op("test", "/a/0", True),
        op("test", "/a/0", 2),
        op("test", "/s", {"s": 1}),
        op("add", "", {}),
        op("add", "a", 1),
        op("frobnicate", "/a"),
        op("move", "/x"),
        op("copy", "/x", **{"from": "/nope/x"}),
        op("move", "/x", **{"from": "/nope"}),
        {"op": "add", "value": 1},
        {"path": "/a"},
        {"op": 3, "path": "/a"},
    ],
)
def test_what_does_not_apply(bad: dict[str, Any]) -> None:
    doc = {"a": [1, 2], "s": "s"}
    with pytest.raises(errors.Rejected) as caught:
        json_patch(doc, [op("add", "/good", 1), bad])
    assert caught.value.code == 422
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert doc == {"a": [1, 2], "s": "s"}


def test_what_is_no_patch() -> None:
    with pytest.raises(errors.BadRequest, match="cannot unmarshal object into Go value of type jsonpatch"):
        json_patch({}, {})
    with pytest.raises(errors.BadRequest, match=r"jsonpatch\.Operation"):
        json_patch({}, ["x"])
    with pytest.raises(errors.RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        json_patch({}, [op("add", "/a", 1)] * 10001)


def test_copies_cannot_grow_without_bound() -> None:
    doubling = [op("copy", "/a/-", **{"from": "/a"})] * 40
    with pytest.raises(errors.Rejected) as caught:
        json_patch({"a": ["x" * 100]}, doubling)
    assert "accumulated size" in caught.value.why


scalars = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "x"]))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), documents, max_size=3)
pointers = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), min_size=1, max_size=3).map(lambda p: "/" + "/".join(p))
operations = st.builds(
    lambda name, path, value, source: op(name, path, value, **{"from": source}),
    st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
    pointers,
    documents,
    pointers,
)


def slow_json_patch(doc: Any, ops: list[dict[str, Any]]) -> Any:
    """RFC 6902 on a private copy, with copies everywhere; KeyError if it does not apply."""
    doc = json.loads(json.dumps(doc))

    def find(path: str) -> tuple[Any, Any]:
        *way, last = path[1:].split("/")
        place = doc
        for step in way:
            place = place[key(place, step)]
        return place, last

    def key(place: Any, step: str, size: int = 0) -> Any:
        if isinstance(place, dict):
            return step
        if not isinstance(place, list) or step not in "01" or int(step) >= len(place) + size:
            raise KeyError(step)
        return int(step)

    def get(path: str) -> Any:
        place, last = find(path)
        return json.loads(json.dumps(place[key(place, last)]))

    def add(path: str, value: Any) -> None:
        place, last = find(path)
        if isinstance(place, list):
            place.insert(len(place) if last == "-" else key(place, last, 1), value)
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise KeyError(last)

    def remove(path: str) -> None:
        place, last = find(path)
        del place[key(place, last)]

    for item in ops:
        value = json.loads(json.dumps(item["value"]))
        match item["op"]:
            case "add":
                add(item["path"], value)
            case "remove":
                remove(item["path"])
            case "replace":
                place, last = find(item["path"])
                if not isinstance(place, dict | list):
                    raise KeyError(last)
                place[key(place, last)] = value
            case "move" | "copy":
                place, last = find(item["from"])
                absent = isinstance(place, dict) and last not in place
                moved = None if absent else get(item["from"])
                if item["op"] == "move":
                    remove(item["from"])
                add(item["path"], moved)
            case "test":
                place, last = find(item["path"])
                found = place.get(last) if isinstance(place, dict) else get(item["path"])
                if json.dumps(found, sort_keys=True) != json.dumps(value, sort_keys=True):
                    raise KeyError(item["path"])
    return doc


@given(objects, st.lists(operations, max_size=5))
def test_json_patch_agrees_with_the_slow_definition(doc: Any, ops: list[dict[str, Any]]) -> None:
    before = json.dumps([doc, ops])
    try:
        expected = slow_json_patch(doc, ops)
    except (KeyError, TypeError, IndexError):
        with pytest.raises(errors.Rejected):
            json_patch(doc, ops)
    else:
        assert same(json_patch(doc, ops), expected)
    assert json.dumps([doc, ops]) == before


@pytest.mark.parametrize(
    ("doc", "patch", "after"),
    [
        # RFC 7386, Appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_examples(doc: Any, patch: Any, after: Any) -> None:
    assert merge_patch(doc, patch) == after


def slow_merge(target: Any, patch: Any) -> Any:
    """The pseudo code of RFC 7386 §2."""
    if not isinstance(patch, dict):
        return patch
    target = json.loads(json.dumps(target)) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = slow_merge(target.get(name), value)
    return target


@given(documents, documents)
def test_merge_patch_agrees_with_the_rfc(doc: Any, patch: Any) -> None:
    before = json.dumps([doc, patch])
    assert same(merge_patch(doc, patch), slow_merge(doc, patch))
    assert json.dumps([doc, patch]) == before


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_nesting_too_deep_is_refused() -> None:
    deep = nested(5000)
    with pytest.raises(errors.BadRequest, match="exceeded max depth"):
        merge_patch(deep, deep)
    with pytest.raises(errors.BadRequest, match="exceeded max depth"):
        strategic_merge(core_v1.Pod, {"metadata": {"labels": deep}}, {"metadata": {"labels": deep}})
    with pytest.raises(errors.BadRequest, match="exceeded max depth"):
        json_patch({"x": deep}, [op("test", "/x", nested(5000))])
