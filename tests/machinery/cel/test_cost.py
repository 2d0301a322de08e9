"""Estimates and what evaluation counts; figures as cel-go and Kubernetes document them in their own tables."""

from contextlib import suppress
from typing import Any

import pytest

from tiphys.machinery import cel
from tiphys.machinery.cel.library.authorization import Answer, Authorizer
from tiphys.machinery.cel.types import Type

MAX = 2**64 - 1


def text(size: int) -> Type:
    return Type("string", size=size)


def listed(item: Type, size: int) -> Type:
    return cel.list_of(item, size=size)


OBJECT = cel.object_of("o", {"n": cel.INT})

ESTIMATES: list[tuple[str, dict[str, Type], tuple[int, int]]] = [
    ("'Hello World!'", {}, (0, 0)),
    ("input", {"input": cel.list_of(cel.INT)}, (1, 1)),
    ("input['key']", {"input": cel.map_of(cel.STRING, cel.STRING)}, (2, 2)),
    ("input.n", {"input": OBJECT}, (2, 2)),
    ("has(input.n)", {"input": OBJECT}, (1, 1)),
    ("[1, 2, 3]", {}, (10, 10)),
    ("{'a': 1, 'b': 2}", {}, (30, 30)),
    ("input.all(x, true)", {"input": listed(OBJECT, 100)}, (2, 302)),
    ("input.all(x, x.all(y, true))", {"input": listed(listed(OBJECT, 10), 50)}, (2, 1752)),
    ("[1, 2, 3].all(x, true)", {}, (20, 20)),
    ("input.matches('[0-9]')", {"input": text(500)}, (3, 103)),
    ("'123'.matches('[0-9]')", {}, (2, 2)),
    ("true || false", {}, (0, 0)),
    ("1 < 2", {}, (1, 1)),
    ("1 == 2", {}, (1, 1)),
    ("2 in [1, 2, 3]", {}, (13, 13)),
    ("1 % 1", {}, (1, 1)),
    ("true ? 1 : 2", {}, (0, 0)),
    ("size('123')", {}, (1, 1)),
    ("string(input)", {"input": Type("bytes", size=500)}, (1, 51)),
    ("bytes(input)", {"input": text(500)}, (1, 51)),
    ("string(1)", {}, (1, 1)),
    ("input.contains(other)", {"input": text(500), "other": text(500)}, (2, 2502)),
    ("input.startsWith(other)", {"input": cel.STRING, "other": text(500)}, (2, 52)),
    ("input.endsWith(other)", {"input": cel.STRING, "other": text(500)}, (2, 52)),
    ("input.size()", {"input": cel.STRING}, (2, 2)),
    (
        "(x > 2 ? one : two).all(y, true)",
        {"x": cel.INT, "one": listed(OBJECT, 1), "two": listed(OBJECT, 1)},
        (4, 7),
    ),
    ("input.all(k, input[k].n > 3)", {"input": cel.map_of(cel.STRING, OBJECT, size=10)}, (2, 82)),
    (
        "input.all(k, input[k].all(x, true))",
        {"input": cel.map_of(cel.STRING, cel.map_of(cel.STRING, OBJECT, size=10), size=5)},
        (2, 187),
    ),
    ("(one + two).all(x, true)", {"one": listed(cel.INT, 10), "two": listed(cel.INT, 10)}, (4, 64)),
    ("'abcdefg'.contains(one + two)", {"one": text(10), "two": text(10)}, (2, 6)),
    ("[1, 2, 3, 4, 5].sum()", {}, (15, 15)),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].max()", {}, (20, 20)),
    ("input.isSorted()", {"input": listed(text(12), 5)}, (1, 16)),
    ("'01234567890123456789012345678901234567890123456789'.indexOf('123')", {}, (5, 5)),
    ("url('https:://kubernetes.io/').getHost()", {}, (4, 4)),
    ("ip('192.168.0.1').family()", {}, (3, 3)),
    ("ip('192.168.0.1') == ip('192.168.0.1')", {}, (5, 5)),
    ("ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", {}, (8, 8)),
    ("cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", {}, (7, 11)),
    ("cidr('192.168.0.0/16').containsIP('192.0.0.1')", {}, (4, 7)),
    ("authorizer.path('/healthz').check('get').allowed()", {"authorizer": cel.AUTHORIZER}, (350003, 350003)),
    ("input.map(x, x)", {"input": listed(cel.INT, 3)}, (12, 51)),
    ("input.all(x, x == '')", {"input": cel.list_of(cel.STRING)}, (2, MAX)),
]


@pytest.mark.parametrize(("source", "variables", "wanted"), ESTIMATES, ids=[one[0] for one in ESTIMATES])
def test_estimate(source: str, variables: dict[str, Type], wanted: tuple[int, int]) -> None:
    assert tuple(cel.environment(variables).compile(source).cost()) == wanted


def schema(**properties: Any) -> Type:
    found = cel.schema_type({"type": "object", "properties": properties})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("source", "properties", "most"),
    [
        # A character may take four bytes; a tenth of them is the cost of reading.
        ("self.s.startsWith('a')", {"s": {"type": "string", "maxLength": 10}}, 3),
        ("'a'.startsWith(self.s)", {"s": {"type": "string", "maxLength": 10}}, 6),
        ("'a'.startsWith(self.s)", {"s": {"type": "string", "enum": ["abc", "0123456789ab"]}}, 4),
        ("'a'.startsWith(self.s)", {"s": {"type": "string"}}, 2 + 314573),
        ("self.l.all(x, true)", {"l": {"type": "array", "maxItems": 7, "items": {"type": "string"}}}, 3 + 21),
        ("self.l.all(x, true)", {"l": {"type": "array", "items": {"type": "string"}}}, 3 + 3 * 1048575),
        ("self.l.all(x, true)", {"l": {"type": "array", "items": {"type": "integer"}}}, 3 + 3 * 1572863),
        (
            "self.m.all(k, true)",
            {"m": {"type": "object", "additionalProperties": {"type": "integer"}}},
            3 + 3 * 449389,
        ),
        (
            "self.m.all(k, true)",
            {"m": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "integer"}}},
            15,
        ),
    ],
)
def test_sizes_come_from_the_schema(source: str, properties: dict[str, Any], most: int) -> None:
    assert cel.environment({"self": schema(**properties)}).compile(source).cost().high == most


@pytest.mark.parametrize(
    ("source", "cost"),
    [
        ("x + 1", 2),
        ("d.a.b == 1", 4),
        ("x > 1 && x < 1", 4),
        ("x < 1 && x < 1", 2),
        ("l.all(i, i > 0)", 2 + 3 * 5),
        ("l.exists(i, i == 1)", 2 + 6),
        ("l.map(i, i)", 1 + 10 + 3 * 13 + 1),
        ("'abc'.contains('b')", 1),
        ("s.contains(s)", 2 + 100),
        ("s.matches('a+')", 1 + 11),
        ("s + s == s", 3 + 20 + 10),
        ("cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7),
        ("a.group('').resource('pods').check('get').allowed()", 350004),
    ],
)
def test_what_evaluation_costs(source: str, cost: int) -> None:
    environment = cel.environment(
        {
            "x": cel.INT,
            "d": cel.DYN,
            "l": cel.list_of(cel.INT),
            "s": cel.STRING,
            "a": cel.AUTHORIZER,
        }
    )
    values = {
        "x": 3,
        "d": {"a": {"b": 1}},
        "l": [1, 2, 3],
        "s": "a" * 100,
        "a": Authorizer(lambda question: Answer(True)),
    }
    assert environment.compile(source).measured(values)[1] == cost


def test_one_evaluation_is_bounded() -> None:
    program = cel.environment({"l": cel.list_of(cel.INT)}).compile("l.all(a, l.all(b, l.all(c, a + b + c >= 0)))")
    with pytest.raises(cel.CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"l": list(range(1000))})
    with pytest.raises(cel.CostExceeded):
        program.evaluate({"l": [1, 2, 3]}, limit=50)


def test_a_budget_is_shared() -> None:
    program = cel.environment({"l": cel.list_of(cel.INT)}).compile("l.all(a, a >= 0)")
    budget = cel.Budget(100)
    program.evaluate({"l": list(range(10))}, budget)
    assert budget.remaining == 100 - 52
    with pytest.raises(cel.BudgetExceeded, match="running out of cost budget"):
        program.evaluate({"l": list(range(10))}, budget)


HOSTILE = {
    "parentheses": "(" * 5000 + "1" + ")" * 5000,
    "brackets": "[" * 5000 + "]" * 5000,
    "selections": "x" + ".a" * 20000,
    "negations": "!" * 5001 + "true" + " && -" + "(-" * 5000,
    "sums": "1" + " + 1" * 20000,
    "conditionals": "true ? 1 : " * 5000 + "1",
    "long": "'" + "a" * 200_000 + "'",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_expressions_that_are_too_deep_or_too_long_are_refused(source: str) -> None:
    with pytest.raises(cel.CompileError, match=r"recursion limit exceeded|size exceeds limit|Syntax error"):
        cel.environment({"x": cel.DYN}).compile(source)


@pytest.mark.parametrize(
    "source",
    [
        # Doubling lists is free in CEL's own cost.
        "[l]" + ".map(x, x + x)" * 40 + "[0].size() > 0",
        "[s]" + ".map(x, x + x)" * 60 + "[0].size() > 0",
        "l" + ".map(x, l)" * 3 + ".all(a, a.all(b, b >= 0)) || l.all(x, l.map(y, l).size() > 0)",
        "s.matches('(a+)+$')",
        "l.map(x, s.replace('a', s)).size() > 0",
    ],
)
def test_hostile_evaluations_end(source: str) -> None:
    program = cel.environment({"l": cel.list_of(cel.DYN), "s": cel.STRING}).compile(source)
    with suppress(cel.CostExceeded, cel.EvaluationError):
        program.evaluate({"l": list(range(200)), "s": "a" * 3000 + "b"})


def test_nesting_up_to_the_limit_compiles_and_runs() -> None:
    source = "(" * 200 + "x" + " + 1)" * 200
    program = cel.environment({"x": cel.INT}).compile(source)
    assert program.evaluate({"x": 1}) == 201
    assert program.cost() == (201, 201)
    nested = "[1]" + "".join(f".all(v{n}, [1]" for n in range(60)) + ".size() == 1" + ")" * 60
    assert cel.environment({}).compile(nested).evaluate({}) is True
