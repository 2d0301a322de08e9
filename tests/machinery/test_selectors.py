import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import meta_v1
from tiphys.machinery import selectors

WEB = {"app": "web", "tier": "front", "level": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier = front", True),
        ("app=db", False),
        ("app!=db", True),
        ("none!=db", True),
        ("app!=web", False),
        ("app", True),
        ("none", False),
        ("!none", True),
        ("! app", False),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("none in (db)", False),
        ("app notin (db)", True),
        ("none notin (db)", True),
        ("app notin (web)", False),
        ("level>4", True),
        ("level > 5", False),
        ("level<6,level>4", True),
        ("app>1", False),
        ("app=web,none", False),
        ("in in (in)", False),
        ("none=", False),
    ],
)
def test_matching(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(WEB) is matches


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("b=1,a==2", "a==2,b=1"),
        ("a in (z,y,y)", "a in (y,z)"),
        ("a notin (,)", "a notin ()"),
        ("!a", "!a"),
        ("a>5", "a>5"),
        (" a ", "a"),
        ("a=", "a="),
        ("k.io/x!=y", "k.io/x!=y"),
    ],
)
def test_printing(text: str, printed: str) -> None:
    assert str(selectors.parse_labels(text)) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: "
            "for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("a==!", "unable to parse requirement: found '!', expected: identifier"),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.parse_labels(text)
    assert str(caught.value) == message


def test_bad_names_are_explained() -> None:
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.parse_labels("a_=b")
    assert str(caught.value).startswith(
        'unable to parse requirement: <nil>: Invalid value: "a_": name part must consist'
    )
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.parse_labels("app=-")
    assert str(caught.value).startswith(
        'unable to parse requirement: values[0][app]: Invalid value: "-": a valid label must be an empty string or'
    )


def test_label_selectors_of_objects() -> None:
    none = selectors.from_label_selector(None)
    assert not none.matches({})
    assert not none.empty
    assert selectors.from_label_selector(meta_v1.LabelSelector()).empty
    selector = selectors.from_label_selector(
        meta_v1.LabelSelector(
            matchLabels={"app": "web"},
            matchExpressions=[
                meta_v1.LabelSelectorRequirement(key="tier", operator="In", values=["front", "back"]),
                meta_v1.LabelSelectorRequirement(key="none", operator="DoesNotExist"),
            ],
        )
    )
    assert selector.matches(WEB)
    assert not selector.matches({"app": "web"})
    assert str(selector) == "app=web,!none,tier in (back,front)"
    with pytest.raises(selectors.SelectorError, match='"Sometimes" is not a valid label selector operator'):
        selectors.from_label_selector(
            meta_v1.LabelSelector(matchExpressions=[meta_v1.LabelSelectorRequirement(key="a", operator="Sometimes")])
        )


def test_validation_of_label_selectors() -> None:
    selector = meta_v1.LabelSelector(
        matchLabels={"-": "ok"},
        matchExpressions=[
            meta_v1.LabelSelectorRequirement(key="a", operator="In"),
            meta_v1.LabelSelectorRequirement(key="a", operator="Exists", values=["x"]),
            meta_v1.LabelSelectorRequirement(key="a", operator="Nope"),
        ],
    )
    found = selectors.validate_label_selector(selector, "spec.selector")
    assert [(e.type, e.path) for e in found] == [
        ("FieldValueInvalid", "spec.selector.matchLabels"),
        ("FieldValueRequired", "spec.selector.matchExpressions[0].values"),
        ("FieldValueForbidden", "spec.selector.matchExpressions[1].values"),
        ("FieldValueInvalid", "spec.selector.matchExpressions[2].operator"),
    ]


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
)
def test_equality_selectors_are_subsets(wanted: dict[str, str], labels: dict[str, str]) -> None:
    selector = selectors.from_labels(wanted)
    assert selector.matches(labels) == (wanted.items() <= labels.items())
    assert selectors.parse_labels(str(selector)) == selector


@given(st.text(alphabet="ab=!<>(), in", max_size=15))
def test_garbage_never_does_worse_than_refuse(text: str) -> None:
    try:
        selector = selectors.parse_labels(text)
    except selectors.SelectorError:
        return
    # Kubernetes prints the set of the empty value as "()", which it does not read.
    if "()" not in str(selector):
        assert selectors.parse_labels(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "fields", "matches"),
    [
        ("", {}, True),
        ("spec.nodeName=n1", {"spec.nodeName": "n1"}, True),
        ("spec.nodeName==n1", {"spec.nodeName": "n2"}, False),
        ("spec.nodeName!=n1", {}, True),
        ("spec.nodeName=", {}, True),
        (r"a=x\,y", {"a": "x,y"}, True),
        (r"a=x\=y,b=1", {"a": "x=y", "b": "1"}, True),
    ],
)
def test_field_selectors(text: str, fields: dict[str, str], matches: bool) -> None:
    selector = selectors.parse_fields(text)
    assert selector.matches(fields) is matches
    assert selectors.parse_fields(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=b\c", "invalid field selector: invalid escape sequence: \\c"),
    ],
)
def test_malformed_field_selectors(text: str, message: str) -> None:
    with pytest.raises(selectors.SelectorError) as caught:
        selectors.parse_fields(text)
    assert str(caught.value) == message


def test_exact_field() -> None:
    selector = selectors.parse_fields("metadata.name=a,spec.x!=b")
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("spec.x") is None
    assert selector.matches_object("a", {"metadata.name": str, "spec.x": lambda _: "c"})
