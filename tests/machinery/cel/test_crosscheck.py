"""Generated expressions against another implementation: the same types, refusals and values."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tiphys.machinery import cel

other = pytest.importorskip("cel_expr_python.cel")

VALUES: dict[str, Any] = {
    "i": 7,
    "s": "héllo",
    "b": True,
    "f": 2.5,
    "l": [3, 1, 2],
    "m": {"a": 1, "b": 2},
    "d": {"n": 3, "s": "x", "l": [1, "a"], "z": None},
}
OURS = cel.environment(
    {
        "i": cel.INT,
        "s": cel.STRING,
        "b": cel.BOOL,
        "f": cel.DOUBLE,
        "l": cel.list_of(cel.INT),
        "m": cel.map_of(cel.STRING, cel.INT),
        "d": cel.DYN,
    }
)
THEIRS = other.NewEnv(
    variables={
        "i": other.Type.INT,
        "s": other.Type.STRING,
        "b": other.Type.BOOL,
        "f": other.Type.DOUBLE,
        "l": other.Type.List(other.Type.INT),
        "m": other.Type.Map(other.Type.STRING, other.Type.INT),
        "d": other.Type.DYN,
    }
)

LEAVES: dict[str, list[str]] = {
    "int": ["0", "1", "-3", "i", "9223372036854775807", "l[0]", "l[5]", "m.a", "m.zz", "size(s)", "d.n", "int(f)"],
    "uint": ["0u", "3u", "uint(i)", "18446744073709551615u"],
    "double": ["f", "0.0", "-1.5", "1e300", "double(i)"],
    "string": ["s", "''", "'abc'", "'é'", "d.s", "string(i)", "string(b)"],
    "bool": ["b", "true", "false", "has(d.n)", "has(d.nope)", "d.nope", "d.z == null"],
    "list": ["l", "[]", "[1, 2]", "d.l"],
}
BINARY: dict[str, list[str]] = {
    "int": ["{int} + {int}", "{int} - {int}", "{int} * {int}", "{int} / {int}", "{int} % {int}", "-({int})"],
    "uint": ["{uint} + {uint}", "{uint} - {uint}", "{uint} / {uint}"],
    "double": ["{double} + {double}", "{double} * {double}", "{double} / {double}", "-({double})"],
    "string": ["{string} + {string}", "{bool} ? {string} : {string}"],
    "bool": [
        "{bool} && {bool}",
        "{bool} || {bool}",
        "!({bool})",
        "{int} < {int}",
        "dyn({int}) <= {double}",
        "dyn({uint}) > {int}",
        "{string} >= {string}",
        "{int} == {int}",
        "dyn({int}) == {double}",
        "dyn({string}) == {int}",
        "{list} == {list}",
        "{string} != {string}",
        "{int} in {list}",
        "{string} in m",
        "{string}.contains({string})",
        "{string}.startsWith({string})",
        "{list}.all(x, x > {int})",
        "{list}.exists(x, x == {int} || {bool})",
        "{list}.exists_one(x, 6 / x == {int})",
        "m.all(k, m[k] > {int})",
    ],
    "list": [
        "{list} + {list}",
        "{list}.map(x, x * {int})",
        "{list}.filter(x, x > {int})",
        "{list}.map(x, x > 1, x + {int})",
        "[{int}, {int}]",
        "{bool} ? {list} : {list}",
    ],
}


def expressions(kind: str, depth: int) -> SearchStrategy[str]:
    leaves = st.sampled_from(LEAVES[kind])
    if depth == 0:
        return leaves
    below = {name: expressions(name, depth - 1).map(lambda text: f"({text})") for name in LEAVES}

    def filled(pattern: str) -> SearchStrategy[str]:
        parts = pattern.replace("}", "{").split("{")
        return st.tuples(*(below[part] if part in below else st.just(part) for part in parts)).map("".join)

    return st.one_of(leaves, st.sampled_from(BINARY[kind]).flatmap(filled))


def theirs(text: str) -> tuple[str, Any]:
    try:
        program = THEIRS.compile(text)
    except RuntimeError:
        return "refused", None
    found = program.eval(data=VALUES)
    if found.type() == other.Type.ERROR:
        return "error", None
    return "value", found.plain_value()


def ours(text: str) -> tuple[str, Any]:
    try:
        program = OURS.compile(text)
    except cel.CompileError:
        return "refused", None
    try:
        return "value", program.evaluate(VALUES)
    except cel.EvaluationError as error:
        # cel-go, which Kubernetes uses, refuses to order what the other implementation finds false.
        return ("unordered" if "NaN" in str(error) else "error"), None


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(LEAVES)).flatmap(lambda kind: expressions(kind, 2)))
def test_generated_expressions_mean_the_same(text: str) -> None:
    mine, reference = ours(text), theirs(text)
    if mine[0] == "unordered":
        return
    assert mine[0] == reference[0], (text, mine, reference)
    assert same(mine[1], reference[1]), (text, mine, reference)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "i",
                "s",
                "x",
                "1",
                "'a'",
                "+",
                "&&",
                "(",
                ")",
                "[",
                "]",
                ".",
                ",",
                "?",
                ":",
                "size",
                "all",
                "!",
                "in",
                "{",
                "}",
            ]
        ),
        max_size=8,
    ).map(" ".join)
)
def test_arbitrary_tokens_are_refused_alike(text: str) -> None:
    assert (ours(text)[0] == "refused") == (theirs(text)[0] == "refused"), text
