"""Schemas compiled: what is pruned, defaulted and refused, and that fast and slow forms agree."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.machinery import codec
from tiphys.machinery.custom import CustomObject
from tiphys.resources.apiextensions.schema import checking, defaulting, formats, problems, pruning
from tiphys.resources.apiextensions.schema.compiled import Schema


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}
ITEMS = {"type": "array", "items": TEXT}

#: Schema, value, sentences.
REFUSED: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "type": ({"type": "integer"}, "x", ['a: Invalid value: "string": a in body must be of type integer: "string"']),
    "fraction": ({"type": "integer"}, 1.5, ['a: Invalid value: "number": a in body must be of type integer: "number"']),
    "truth is no number": (
        {"type": "number"},
        True,
        ['a: Invalid value: "boolean": a in body must be of type number: "boolean"'],
    ),
    "null": (TEXT, None, ['a: Invalid value: "null": a in body must be of type string: "null"']),
    "int or string": (
        {"x-kubernetes-int-or-string": True},
        [],
        ['a: Invalid value: "array": a in body must be of type integer,string: "array"'],
    ),
    "pattern": (TEXT | {"pattern": "^a+$"}, "b", ["a: Invalid value: \"b\": a in body should match '^a+$'"]),
    "longest": (TEXT | {"maxLength": 1}, "bb", ["a: Too long: may not be more than 1 byte"]),
    "shortest": (TEXT | {"minLength": 3}, "b", ['a: Invalid value: "b": a in body should be at least 3 chars long']),
    "minimum": (
        {"type": "integer", "minimum": 2},
        1,
        ["a: Invalid value: 1: a in body should be greater than or equal to 2"],
    ),
    "exclusive maximum": (
        {"type": "number", "maximum": 2, "exclusiveMaximum": True},
        2,
        ["a: Invalid value: 2: a in body should be less than 2"],
    ),
    "multiple": (
        {"type": "integer", "multipleOf": 3},
        4,
        ["a: Invalid value: 4: a in body should be a multiple of 3"],
    ),
    "range of a format": (
        {"type": "integer", "format": "int32"},
        2**31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a'],
    ),
    "enum": (TEXT | {"enum": ["x", "y"]}, "z", ['a: Unsupported value: "z": supported values: "x", "y"']),
    "format": (
        TEXT | {"format": "ipv4"},
        "300.1.1.1",
        ['a: Invalid value: "300.1.1.1": a in body must be of type ipv4: "300.1.1.1"'],
    ),
    "too many": (ITEMS | {"maxItems": 1}, ["a", "b"], ["a: Too many: 2: must have at most 1 item"]),
    "too few": (ITEMS | {"minItems": 1}, [], ["a: Invalid value: 0: a in body should have at least 1 items"]),
    "required": (obj(b=TEXT) | {"required": ["b"]}, {}, ["a.b: Required value"]),
    "item": (ITEMS, ["x", 1], ['a[1]: Invalid value: "integer": a[1] in body must be of type string: "integer"']),
    "map": (
        {"type": "object", "additionalProperties": TEXT},
        {"k": 1},
        ['a.k: Invalid value: "integer": a.k in body must be of type string: "integer"'],
    ),
    "any of": (
        obj(b=TEXT, c=TEXT) | {"anyOf": [{"required": ["b"]}, {"required": ["c"]}]},
        {},
        ['<nil>: Invalid value: "": "a" must validate at least one schema (anyOf)', "a.b: Required value"],
    ),
    "one of": (
        obj(b=TEXT, c=TEXT) | {"oneOf": [{"required": ["b"]}, {"required": ["c"]}]},
        {"b": "", "c": ""},
        ['<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ),
    "all of": (
        TEXT | {"allOf": [{"minLength": 2}, {"pattern": "^x"}]},
        "x",
        [
            '<nil>: Invalid value: "": "a" must validate all the schemas (allOf)',
            'a: Invalid value: "x": a in body should be at least 2 chars long',
        ],
    ),
    "not": (TEXT | {"not": {"enum": ["x"]}}, "x", ['<nil>: Invalid value: "": "a" must not validate the schema (not)']),
    "embedded": (
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        {"kind": "Pod"},
        ["a.apiVersion: Required value: must not be empty"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    schema, value, sentences = REFUSED[name]
    check = checking.check_of(schema)
    assert check is not None and not check(value)
    assert [str(problem) for problem in problems.problems(schema, value, "a")] == sentences


def test_a_pattern_that_would_backtrack_does_not() -> None:
    check = checking.check_of(TEXT | {"pattern": "^(a+)+$"})
    assert check is not None and not check("a" * 50_000 + "b")


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("date-time", "2026-01-31T08:00:00Z", "2026-01-31"),
        ("date", "2026-01-31", "31.1.2026"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e"),
        ("email", "a@b.c", "a"),
        ("byte", "YWJj", "???"),
        ("duration", "1h2m", "soon"),
        ("hostname", "a.example.com", "-a-"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("isbn", "978-0-306-40615-7", "978-0-306-40615-8"),
    ],
)
def test_formats(form: str, good: str, bad: str) -> None:
    check = formats.find(form)
    assert check is not None and check(good) and not check(bad)


MAP = {"type": "object"}
KEPT = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("schema", "value", "left", "dropped"),
    [
        (obj(a=TEXT), {"a": "x", "b": 1}, {"a": "x"}, ["b"]),
        (obj(a=obj(b=TEXT)), {"a": {"b": "x", "c": {}}}, {"a": {"b": "x"}}, ["a.c"]),
        (obj(a={"type": "array", "items": obj(b=TEXT)}), {"a": [{"c": 1}]}, {"a": [{}]}, ["a[0].c"]),
        (obj(a=MAP | {"additionalProperties": obj(b=TEXT)}), {"a": {"x": {"c": 1}}}, {"a": {"x": {}}}, ["a.x.c"]),
        (obj(a=KEPT), {"a": {"x": {"y": 1}}}, {"a": {"x": {"y": 1}}}, []),
        (obj(a=KEPT | obj(b=obj(c=TEXT))), {"a": {"x": 1, "b": {"d": 1}}}, {"a": {"x": 1, "b": {}}}, ["a.b.d"]),
        (
            obj(a={"x-kubernetes-embedded-resource": True, **obj(spec=obj())}),
            {"a": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "x"}, "spec": {"q": 1}, "z": 1}},
            {"a": {"apiVersion": "v1", "kind": "P", "metadata": {"name": "x"}, "spec": {}}},
            ["a.spec.q", "a.z"],
        ),
    ],
)  # fmt: skip
def test_pruning(schema: Any, value: Any, left: Any, dropped: list[str]) -> None:
    check = pruning.clean(schema)
    assert (check is None or check(value)) == (not dropped)
    found: list[str] = []
    pruning.prune(schema, value, "", found)
    assert (value, sorted(found)) == (left, dropped)


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        (obj(a=TEXT | {"default": "x"}), {}, {"a": "x"}),
        (obj(a=TEXT | {"default": "x"}), {"a": None}, {"a": "x"}),
        (obj(a=TEXT | {"default": "x", "nullable": True}), {"a": None}, {"a": None}),
        (obj(a=TEXT), {"a": None}, {}),
        (obj(a=obj(b=TEXT | {"default": "x"})), {}, {}),
        (obj(a=obj(b=TEXT | {"default": "x"}) | {"default": {}}), {}, {"a": {"b": "x"}}),
        (obj(a={"type": "array", "items": obj(b=TEXT | {"default": "x"})}), {"a": [{}]}, {"a": [{"b": "x"}]}),
        (
            obj(a={"type": "object", "additionalProperties": TEXT | {"default": "x"}}),
            {"a": {"k": None}},
            {"a": {"k": "x"}},
        ),
    ],
)
def test_defaults(schema: Any, value: Any, filled: Any) -> None:
    fill = defaulting.default(schema)
    assert fill is not None
    fill(value)
    assert value == filled


def test_defaults_are_nobodys_to_share() -> None:
    fill = defaulting.default(obj(a=obj() | {"default": {"b": []}}))
    one: dict[str, Any] = {}
    other: dict[str, Any] = {}
    assert fill is not None
    fill(one)
    fill(other)
    one["a"]["b"].append(1)
    assert other == {"a": {"b": []}}


def test_ratcheting_by_keys() -> None:
    item = obj(name=TEXT, size={"type": "integer", "maximum": 5}) | {"required": ["name"]}
    schema = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    old = [{"name": "a", "size": 9}, {"name": "b", "size": 9}]
    new = [{"name": "b", "size": 8}, {"name": "a", "size": 9}]
    found = [str(problem) for problem in problems.problems(schema, new, "l", old)]
    assert found == ["l[0].size: Invalid value: 8: l[0].size in body should be less than or equal to 5"]


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    leaves: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            TEXT,
            TEXT | {"maxLength": 2, "pattern": "a"},
            TEXT | {"enum": ["a", "b"], "nullable": True},
            {"type": "integer", "minimum": 0, "multipleOf": 2},
            {"type": "number", "maximum": 3, "exclusiveMaximum": True},
            {"type": "boolean"},
            {"x-kubernetes-int-or-string": True},
            {"x-kubernetes-preserve-unknown-fields": True},
            TEXT | {"anyOf": [{"minLength": 2}, {"pattern": "^b"}]},
            TEXT | {"not": {"enum": ["a"]}, "allOf": [{"maxLength": 3}]},
        ]
    )
    names = st.sampled_from(["a", "b", "c"])

    def deeper(below: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        objects = st.builds(
            lambda known, required, most: (
                obj(**known) | {"required": required} | ({"maxProperties": 1} if most else {})
            ),
            st.dictionaries(names, below, max_size=3),
            st.lists(names, max_size=1),
            st.booleans(),
        )
        lists = st.builds(
            lambda inner, kind: {"type": "array", "items": inner, "maxItems": 2, "x-kubernetes-list-type": kind},
            below,
            st.sampled_from(["atomic", "set"]),
        )
        maps = st.builds(lambda inner: {"type": "object", "additionalProperties": inner}, below)
        return objects | lists | maps

    return st.recursive(leaves, deeper, max_leaves=8)


def values() -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(["a", "b", "bbb", "", 0, 1, 2, -2, 2.5, 3, True, None])
    return st.recursive(
        leaves,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), below),
        max_leaves=8,
    )


@settings(max_examples=1500, deadline=None)
@given(schemas(), values())
def test_fast_and_slow_agree(schema: dict[str, Any], value: Any) -> None:
    check = checking.check_of(schema)
    assert (check is None or check(value)) == (not list(problems.problems(schema, value, "a")))
    clean = pruning.clean(schema)
    dropped: list[str] = []
    copy = codec.decode_builtins(codec.encode(value))
    pruning.prune(schema, copy, "", dropped)
    # The slow form also prunes below values of the wrong type, which are refused anyway.
    if not dropped:
        assert clean is None or clean(value)
    elif check is None or check(value):
        assert clean is not None and not clean(value)
    assert list(problems.problems(schema, value, "a", value)) == []


def test_unknown_metadata_and_duplicates_are_told() -> None:
    schema = Schema(obj(spec=obj(a=TEXT)))

    class Foo(CustomObject):
        api_version = "g/v1"
        kind_name = "Foo"

        @classmethod
        def prune(cls, obj: CustomObject) -> list[str]:
            return schema.prune(obj)

    text = b'{"apiVersion":"g/v1","kind":"Foo","metadata":{"name":"a","x":1},"spec":{"a":"1","a":"2","b":1}}'
    found, told = codec.decode_checked(Foo, text)
    assert told == ['duplicate field "spec.a"', 'unknown field "metadata.x"', 'unknown field "spec.b"']
    assert found == {"apiVersion": "g/v1", "kind": "Foo", "metadata": found.metadata, "spec": {"a": "2"}}
