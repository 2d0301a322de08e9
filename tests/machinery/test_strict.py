import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import core_v1
from tiphys.machinery import strict


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"spec":{"containers":[{"name":"a"}]},"metadata":{"labels":{"any":"thing"}}}', []),
        (b'{"spec":{"bogus":1}}', ['unknown field "spec.bogus"']),
        (b'{"spec":{"nodeName":"a","nodeName":"b"}}', ['duplicate field "spec.nodeName"']),
        (
            b'{"x":{"y":1},"spec":{"containers":[{},{"nam":"a"},{"name":"a","name":"a"}]},"x":2}',
            [
                'unknown field "x"',
                'unknown field "spec.containers[1].nam"',
                'duplicate field "spec.containers[2].name"',
            ],
        ),
        (b'{"metadata":{"labels":{"a.b/c":"1","a.b/c":"2"}}}', ['duplicate field "metadata.labels.a.b/c"']),
        (b'{"metadata":{"labels":{"\\u0022":"1","\\"":"2"}}}', ['duplicate field "metadata.labels.""']),
        (b'{"metadata":{"annotations":{"a":"\\u0022","b":"\\"\\""}}}', []),
        (b'{"Spec":{}}', ['unknown field "Spec"']),
    ],
)
def test_problems(data: bytes, found: list[str]) -> None:
    assert strict.problems(core_v1.Pod, data) == found


def test_custom_resources_only_have_duplicates() -> None:
    assert strict.problems(None, b'{"any":{"thing":[{"a":1,"a":2}]}}') == ['duplicate field "any.thing[0].a"']
    assert strict.problems(None, b'{"any":{"thing":[{"a":1,"b":2}]}}') == []


def test_no_more_than_a_hundred() -> None:
    data = json.dumps({f"x{index}": 1 for index in range(200)}).encode()
    assert len(strict.problems(core_v1.Pod, data)) == 100


def test_yaml() -> None:
    found = strict.yaml_problems(core_v1.Pod, {"spec": {"bogus": 1}}, ['line 3: key "a" already set in map'])
    assert found == [
        'yaml: unmarshal errors:\n  line 3: key "a" already set in map',
        'unknown field "spec.bogus"',
    ]


keys = st.text(alphabet='ab"\\é', max_size=2)


def encoded(pairs: list[tuple[str, Any]]) -> bytes:
    body = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    return f"{{{body}}}".encode()


@given(st.lists(st.tuples(keys, keys | st.integers()), max_size=4))
def test_duplicates_are_found_by_counting_quotes(pairs: list[tuple[str, Any]]) -> None:
    twice = len({key for key, _ in pairs}) < len(pairs)
    assert bool(strict.problems(None, encoded(pairs))) is twice


def test_prune_leaves_its_argument_alone() -> None:
    doc = {"spec": {"bogus": 1, "nodeName": None}, "metadata": {"name": "a"}}
    assert strict.prune(core_v1.Pod, doc) == {"spec": {}, "metadata": {"name": "a"}}
    assert doc == {"spec": {"bogus": 1, "nodeName": None}, "metadata": {"name": "a"}}


def test_deep_nesting_is_walked() -> None:
    deep = b'{"a":' * 800 + b"1" + b"}" * 800
    assert strict.problems(None, b'{"x":1,"x":%b}' % deep) == ['duplicate field "x"']
