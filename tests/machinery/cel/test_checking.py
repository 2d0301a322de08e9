"""What the checker says, word for word, and which types it finds."""

import pytest

from tiphys.machinery import cel

SCHEMA = {
    "type": "object",
    "required": ["replicas"],
    "properties": {
        "replicas": {"type": "integer"},
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "a.b": {"type": "string"},
        "x-y": {"type": "string"},
        "port": {"x-kubernetes-int-or-string": True},
        "ratio": {"type": "number"},
        "when": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "wait": {"type": "string", "format": "duration"}},
            },
        },
        "times": {"type": "array", "items": {"type": "string", "format": "duration"}},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": True},
        "untyped": {"x-kubernetes-preserve-unknown-fields": True},
    },
}


def environment() -> cel.Environment:
    schema = cel.schema_type(SCHEMA)
    assert schema is not None
    return cel.environment({"self": schema, "oldSelf": schema, "x": cel.INT, "d": cel.DYN})


def block(text: str, *issues: tuple[int, str]) -> str:
    return "\n".join(
        f"ERROR: <input>:1:{column}: {message}\n | {text}\n | {'.' * (column - 1)}^" for column, message in issues
    )


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("x.y", 2, "type 'int' does not support field selection"),
        ("y", 1, "undeclared reference to 'y' (in container '')"),
        ("y.z.w", 1, "undeclared reference to 'y' (in container '')"),
        ("f(x)", 2, "undeclared reference to 'f' (in container '')"),
        ("x.f()", 4, "undeclared reference to 'f' (in container '')"),
        ("1 + 'a'", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("x + 1u", 3, "found no matching overload for '_+_' applied to '(int, uint)'"),
        ("self.name > 1", 11, "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.name.size(1)", 15, "found no matching overload for 'size' applied to 'string.(int)'"),
        ("self.when + 1", 11, "found no matching overload for '_+_' applied to '(timestamp, int)'"),
        ("self.nope", 5, "undefined field 'nope'"),
        ("self.namespace", 5, "undefined field 'namespace'"),
        ("self.untyped", 5, "undefined field 'untyped'"),
        ("self.any.x", 9, "undefined field 'x'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}", 15, "expected type 'int' but found 'string'"),
        ("1 ? 2 : 3", 3, "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("true ? 2 : 'a'", 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("!1", 1, "found no matching overload for '!_' applied to '(int)'"),
        ("1 && true", 3, "found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("self.labels[1]", 12, "found no matching overload for '_[_]' applied to '(map(string, string), int)'"),
        ("'a' in self.name", 5, "found no matching overload for '@in' applied to '(string, string)'"),
        (
            "x.all(i, i > 0)",
            1,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(i, i)", 8, "found no matching overload for '_&&_' applied to '(bool, int)'"),
        ("has(x)", 5, "invalid argument to has() macro"),
        ("[1].all(1, true)", 9, "argument must be a simple name"),
        ("for", 1, "reserved identifier: for"),
        ("a b", 3, "Syntax error: extraneous input 'b' expecting <EOF>"),
        ("9223372036854775808", 1, "invalid int literal"),
        ("duration('1')", 10, "invalid duration argument"),
        ("timestamp('today')", 11, "invalid timestamp argument"),
        ("'a'.matches('(')", 13, "invalid matches argument"),
        ("Object{}", 7, "undeclared reference to 'Object' (in container '')"),
    ],
)
def test_message(text: str, column: int, message: str) -> None:
    with pytest.raises(cel.CompileError) as caught:
        environment().compile(text)
    assert str(caught.value) == block(text, (column, message))


def test_several_faults_come_together_in_the_order_of_the_text() -> None:
    with pytest.raises(cel.CompileError) as caught:
        environment().compile("a == b")
    messages = [
        (1, "undeclared reference to 'a' (in container '')"),
        (6, "undeclared reference to 'b' (in container '')"),
    ]
    assert str(caught.value) == block("a == b", *messages)


def test_the_place_is_found_on_later_lines() -> None:
    with pytest.raises(cel.CompileError) as caught:
        environment().compile("x >\n  self.nope")
    assert str(caught.value) == "ERROR: <input>:2:7: undefined field 'nope'\n |   self.nope\n | ......^"


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("self.replicas", "int"),
        ("self.__namespace__", "string"),
        ("self.a__dot__b", "string"),
        ("self.x__dash__y", "string"),
        ("self.port", "dyn"),
        ("self.ratio", "double"),
        ("self.when", "timestamp"),
        ("self.wait", "duration"),
        ("self.raw", "bytes"),
        ("self.any", "object"),
        ("self.labels", "map(string, string)"),
        ("self.tags", "list(string)"),
        ("self.embedded.metadata.name", "string"),
        ("self.?name", "optional_type(string)"),
        ("self.labels.?a.orValue('b')", "string"),
        ("[]", "list(dyn)"),
        ("[[], [1]]", "list(list(int))"),
        ("self.tags.map(t, size(t))", "list(int)"),
        ("self.labels.map(k, k)", "list(string)"),
        ("self.tags.transformMap(i, t, i)", "map(int, int)"),
        ("d.a.b", "dyn"),
        ("d + 1", "int"),
        ("d.size()", "int"),
        ("true ? d : 1", "dyn"),
        ("type(x)", "type"),
    ],
)
def test_type(text: str, type_: str) -> None:
    assert str(environment().compile(text).type) == type_


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.when.getFullYear()", 2024),
        ("self.wait == duration('60s')", True),
        ("self.raw == b'hi'", True),
        ("self.ratio / 2.0", 1.0),
        ("self.times.all(t, t > duration('1s'))", True),
        ("self.ports[0].wait == duration('5s')", True),
        ("self.ports.exists(p, p.wait == duration('5s'))", True),
        ("self.port == 80 || self.port == '80'", True),
        ("self.tags == oldSelf.tags", True),
        ("(self.tags + ['c', 'a']).size()", 3),
        ("self.ports == oldSelf.ports", True),
        ("(self.ports + oldSelf.ports).size()", 2),
        ("self.a__dot__b", "dotted"),
        ("has(self.a__dot__b) && !has(self.x__dash__y)", True),
        ("self.embedded.kind", "Pod"),
    ],
)
def test_values_are_what_the_schema_says(text: str, value: object) -> None:
    data = {
        "when": "2024-01-01T00:00:00Z",
        "wait": "1m",
        "raw": "aGk=",
        "ratio": 2,
        "times": ["2s", "1h"],
        "port": 80,
        "a.b": "dotted",
        "tags": ["a", "b"],
        "ports": [{"name": "x", "wait": "5s"}, {"name": "y", "wait": "1s"}],
        "embedded": {"kind": "Pod"},
    }
    old = {"tags": ["b", "a"], "ports": [{"name": "y", "wait": "1s"}, {"name": "x", "wait": "5s"}]}
    assert environment().compile(text).evaluate({"self": data, "oldSelf": old}) == value


def test_the_type_of_the_result_is_asked_for() -> None:
    with pytest.raises(cel.ReturnTypeError, match=r"^must evaluate to bool$"):
        environment().compile("x", returns=(cel.BOOL,))
    environment().compile("d", returns=(cel.BOOL,))


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("name", "name"),
        ("namespace", "__namespace__"),
        ("a.b-c/d$e", "a__dot__b__dash__c__slash__d__dollar__e"),
        ("a__b", "a__underscores__b"),
        ("1a", None),
        ("a b", None),
    ],
)
def test_escaping(name: str, spelled: str | None) -> None:
    assert cel.escape(name) == spelled
    if spelled:
        assert cel.unescape(spelled) == name


def test_values_of_kubernetes_types_can_be_bound() -> None:
    """As device selectors do: attributes are versions and texts, capacities are quantities."""
    environment = cel.environment({"capacity": cel.map_of(cel.STRING, cel.QUANTITY), "version": cel.SEMVER})
    program = environment.compile("capacity['memory'].isGreaterThan(quantity('1Gi')) && version.major() == 2")
    values = {"capacity": {"memory": cel.quantity_value("2Gi")}, "version": cel.semver_value("2.0.1")}
    assert program.evaluate(values) is True
