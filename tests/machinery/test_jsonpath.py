import pytest

from tiphys.machinery import jsonpath

LIST = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"k.io/x": "1"}}, "n": 1, "ok": True, "ports": [80, 443]},
        {"metadata": {"name": "b"}, "n": 2, "ok": False, "ports": []},
        {"metadata": {"name": "c"}, "n": 3, "conditions": [{"type": "Ready", "status": "True"}]},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        ("kind is {.kind}!", "kind is List!"),
        ("{.items[*].metadata.name}", "a b c"),
        ("{.items[*]['metadata']['name']}", "a b c"),
        ("{.items[*]['n', 'ok']}", "1 true 2 false 3"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "c"),
        ("{.items[0:2].n}", "1 2"),
        ("{.items[1:].n}", "2 3"),
        ("{.items[::2].n}", "1 3"),
        ("{.items[0,2].n}", "1 3"),
        (r"{.items[0].metadata.labels.k\.io/x}", "1"),
        ("{.items[0].metadata.labels['k.io/x']}", "1"),
        ("{..name}", "a b c"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.n}{"\\n"}{end}', "a\t1\nb\t2\nc\t3\n"),
        ("{range .items[*]}{range .ports[*]}<{@}>{end};{end}", "<80><443>;;;"),
        ('{.items[?(@.metadata.name=="b")].n}', "2"),
        ("{.items[?(@.metadata.name=='b')].n}", "2"),
        ("{.items[?(@.n>1)].n}", "2 3"),
        ("{.items[?(@.n>=1)].n}", "1 2 3"),
        ("{.items[?(@.n!=2)].n}", "1 3"),
        ("{.items[?(@.ok==true)].n}", "1"),
        ("{.items[?(@.conditions)].n}", "3"),
        ('{.items[*].conditions[?(@.type=="Ready")].status}', "True"),
        ("{.items[0].ports}", "[80,443]"),
        ("{.items[0].metadata.labels}", '{"k.io/x":"1"}'),
        ("{.missing}", ""),
        ("{'a b'}{3}", "a b3"),
        ("", ""),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert jsonpath.Template(template).render(LIST) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{.kind", "unclosed action"),
        ("{range .items[*]}", "unclosed range"),
        ("{end}", "not in range, nothing to end"),
        ("{.items[x]}", "invalid array index x"),
        ("{.items[0}", "unterminated array"),
        ("{foo}", "unrecognized identifier foo"),
        ("{'a}", "unterminated quoted string"),
        ("{.items[?(@.n=1)]}", "unrecognized filter operator ="),
    ],
)
def test_malformed(template: str, message: str) -> None:
    with pytest.raises(jsonpath.JsonPathError) as caught:
        jsonpath.Template(template)
    assert str(caught.value) == message


def test_what_is_not_there() -> None:
    with pytest.raises(jsonpath.JsonPathError, match="array index out of bounds: index 9, length 3"):
        jsonpath.Template("{.items[9].n}").render(LIST)
    with pytest.raises(jsonpath.JsonPathError, match="missing is not found"):
        jsonpath.Template("{.missing}", allow_missing=False).render(LIST)


@pytest.mark.parametrize("text", [".a.b", "a.b", "{a.b}", "{.a.b}"])
def test_relaxed(text: str) -> None:
    assert jsonpath.relaxed(text) == "{.a.b}"


def test_json_is_written_as_go_writes_it() -> None:
    assert jsonpath.Template("{.a}").render({"a": {"b": "<&>", "a": 1}}) == '{"a":1,"b":"\\u003c\\u0026\\u003e"}'
    assert jsonpath.Template("{.a.b}").render({"a": {"b": "<&>"}}) == "<&>"


def test_find() -> None:
    assert jsonpath.Template("{.kind}x{.items[*].n}").find(LIST) == [["List"], [1, 2, 3]]
