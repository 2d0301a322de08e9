"""Label and field selectors: parsing, matching, printing.

Source: apimachinery, packages labels and fields, by behaviour.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.machinery import names
from tiphys.machinery.fields import FieldError, invalid, not_supported, required
from tiphys.machinery.goformat import quote

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
DOUBLE_EQUALS: Final = "=="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
DOES_NOT_EXIST: Final = "!"
GREATER: Final = "gt"
LESS: Final = "lt"
_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt")


class SelectorError(ValueError):
    """The text is not a selector; ``str()`` is Kubernetes' sentence."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return found is not None and found in self.values
            case "notin" | "!=":
                return found is None or found not in self.values
            case "exists":
                return found is not None
            case "!":
                return found is None
        return found is not None and self._compares(found)

    def _compares(self, found: str) -> bool:
        number, bound = _integer(found), _integer(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if self.operator == GREATER else number < bound

    def __str__(self) -> str:
        joined = ",".join(sorted(self.values))
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return "!" + self.key
            case "in" | "notin":
                return f"{self.key} {self.operator} ({joined})"
            case "gt":
                return f"{self.key}>{joined}"
            case "lt":
                return f"{self.key}<{joined}"
        return f"{self.key}{self.operator}{joined}"


_INTEGER: Final = re.compile("[+-]?[0-9]+", re.ASCII)


def _integer(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


class Selector:
    """Requirements that must all hold. With none it matches everything."""

    __slots__ = ("_equal", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), nothing: bool = False) -> None:
        self.requirements: tuple[Requirement, ...] = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing
        #: Key and value of each, if all requirements are plain equalities: the usual case, matched faster.
        self._equal: tuple[tuple[str, str], ...] | None = None
        if not nothing and all(
            r.operator in (EQUALS, DOUBLE_EQUALS, IN) and len(r.values) == 1 for r in self.requirements
        ):
            self._equal = tuple((r.key, r.values[0]) for r in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.nothing and not self.requirements

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        labels = labels or {}
        if self._equal is not None:
            for key, value in self._equal:  # noqa: SIM110  # three times faster than all()
                if labels.get(key) != value:
                    return False
            return True
        return not self.nothing and all(r.matches(labels) for r in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return "Selector(nothing)" if self.nothing else f"Selector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return self.requirements == other.requirements and self.nothing == other.nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


def requirement(key: str, operator: str, values: Sequence[str], path: str = "") -> Requirement:
    """A checked requirement. Raises SelectorError."""
    found = problems(key, operator, values, path)
    if found:
        texts = list(dict.fromkeys(map(str, found)))
        raise SelectorError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return Requirement(key, operator, tuple(values))


def problems(key: str, operator: str, values: Sequence[str], path: str = "") -> list[FieldError]:
    """What is wrong with a requirement. Several faults of one name are one error, joined by semicolons."""
    prefix = f"{path}." if path else ""
    found: list[FieldError] = []
    if messages := names.qualified_name(key):
        found.append(invalid(f"{prefix}key", key, "; ".join(messages)))
    found += _value_count_problems(operator, list(values), prefix)
    for index, value in enumerate(values):
        if messages := names.label_value(value):
            found.append(invalid(f"{prefix}values[{index}][{key}]", value, "; ".join(messages)))
    return found


def _value_count_problems(operator: str, values: list[str], prefix: str) -> list[FieldError]:
    where = f"{prefix}values"
    if operator in (IN, NOT_IN):
        wrong, text = not values, "for 'in', 'notin' operators, values set can't be empty"
    elif operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
        wrong, text = len(values) != 1, "exact-match compatibility requires one single value"
    elif operator in (EXISTS, DOES_NOT_EXIST):
        wrong, text = bool(values), "values set must be empty for exists and does not exist"
    elif operator in (GREATER, LESS):
        wrong, text = len(values) != 1, "for 'Gt', 'Lt' operators, exactly one value is required"
    else:
        return [not_supported(f"{prefix}operator", operator, _OPERATORS)]
    found = [invalid(where, values, text)] if wrong else []
    if operator in (GREATER, LESS):
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        found += [invalid(f"{where}[{i}]", value, text) for i, value in enumerate(values) if _integer(value) is None]
    return found


_TOKEN: Final = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^ \t\r\n=!<>(),]+)|$)")


class _Tokens:
    """The tokens of a selector with one token of look-ahead; the end is an empty token."""

    def __init__(self, text: str) -> None:
        self._found: list[str] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.end() == position:
                break
            if token := match[1] or match[2]:
                self._found.append(token)
            position = match.end()
        self._next = 0

    def peek(self) -> str:
        return self._found[self._next] if self._next < len(self._found) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token


_SYMBOLS: Final = {"=", "==", "!=", "!", "<", ">", "(", ")", ","}


def _is_word(token: str) -> bool:
    return bool(token) and token not in _SYMBOLS


def parse_labels(text: str) -> Selector:
    """The selector that ``labelSelector=`` holds. Raises SelectorError."""
    tokens = _Tokens(text)
    found: list[Requirement] = []
    while tokens.peek():
        if not (_is_word(tokens.peek()) or tokens.peek() == "!"):
            raise SelectorError(f"found '{tokens.peek()}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_parsed_requirement(tokens))
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        token = tokens.take()
        if not token:
            break
        if token != ",":
            raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
        following = tokens.peek()
        if following != "!" and not _is_word(following):
            raise SelectorError(f"found '{following}', expected: identifier after ','")
    return Selector(found)


_BINARY_OPERATORS: Final = {
    "in": IN,
    "notin": NOT_IN,
    "=": EQUALS,
    "==": DOUBLE_EQUALS,
    "!=": NOT_EQUALS,
    ">": GREATER,
    "<": LESS,
}


def _parsed_requirement(tokens: _Tokens) -> Requirement:
    absent = tokens.peek() == "!"
    if absent:
        tokens.take()
    key = tokens.take()
    if not _is_word(key):
        raise SelectorError(f"found '{key}', expected: identifier")
    if messages := names.qualified_name(key):
        # Kubernetes has no path to name here, and says so.
        raise SelectorError(str(invalid("<nil>", key, "; ".join(messages))))
    if absent:
        return Requirement(key, DOES_NOT_EXIST)
    if tokens.peek() in ("", ","):
        return Requirement(key, EXISTS)
    operator = _BINARY_OPERATORS.get(token := tokens.take())
    if operator is None:
        raise SelectorError(f"found '{token}', expected: in, notin, =, ==, !=, gt, lt")
    values = _parsed_set(tokens) if operator in (IN, NOT_IN) else (_parsed_value(tokens),)
    return requirement(key, operator, values)


def _parsed_value(tokens: _Tokens) -> str:
    """One value; nothing before a comma or the end is the empty value."""
    if tokens.peek() in ("", ","):
        return ""
    token = tokens.take()
    if not _is_word(token):
        raise SelectorError(f"found '{token}', expected: identifier")
    return token


def _parsed_set(tokens: _Tokens) -> tuple[str, ...]:
    """Values in parentheses, sorted; beside a comma with nothing before or behind it stands the empty value."""
    token = tokens.take()
    if token != "(":
        raise SelectorError(f"found '{token}' expected: '('")
    if tokens.peek() == ")":
        tokens.take()
        return ()
    if tokens.peek() != "," and not _is_word(tokens.peek()):
        raise SelectorError(f"found '{tokens.peek()}', expected: ',', ')' or identifier")
    values: set[str] = set()
    previous = ","
    while (token := tokens.take()) != ")":
        if _is_word(token):
            if previous != ",":
                raise SelectorError(f"found '{token}', expected: ',' or ')'")
            values.add(token)
        elif token == ",":
            if previous == ",":
                values.add("")
        elif previous == ",":
            raise SelectorError(f"found '{token}', expected: ',', or identifier")
        else:
            raise SelectorError(f"found '{token}', expected: ',' or ')'")
        previous = token
    if previous == ",":
        values.add("")
    return tuple(sorted(values))


_EXPRESSIONS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}


def from_label_selector(selector: meta_v1.LabelSelector | None) -> Selector:
    """None matches nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return NOTHING
    found = [requirement(key, EQUALS, (value,)) for key, value in (selector.matchLabels or {}).items()]
    for expression in selector.matchExpressions or ():
        operator = _EXPRESSIONS.get(expression.operator)
        if operator is None:
            raise SelectorError(f"{quote(expression.operator)} is not a valid label selector operator")
        found.append(requirement(expression.key, operator, tuple(expression.values or ())))
    return Selector(found)


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """Equality on each, unchecked. An empty map matches everything."""
    return Selector(Requirement(key, EQUALS, (value,)) for key, value in (labels or {}).items())


def validate_label_selector(selector: meta_v1.LabelSelector | None, path: str) -> list[FieldError]:
    """What is wrong with a selector in an object."""
    found: list[FieldError] = []
    if selector is None:
        return found
    for key, value in (selector.matchLabels or {}).items():
        found += [invalid(f"{path}.matchLabels", key, message) for message in names.qualified_name(key)]
        found += [invalid(f"{path}.matchLabels", value, message) for message in names.label_value(value)]
    for index, expression in enumerate(selector.matchExpressions or ()):
        found += _expression_problems(expression, f"{path}.matchExpressions[{index}]")
    return found


def _expression_problems(expression: meta_v1.LabelSelectorRequirement, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if expression.operator in ("In", "NotIn"):
        if not expression.values:
            found.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif expression.operator in ("Exists", "DoesNotExist"):
        if expression.values:
            found.append(
                FieldError(
                    "FieldValueForbidden",
                    f"{path}.values",
                    "",
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                )
            )
    else:
        found.append(invalid(f"{path}.operator", expression.operator, "not a valid selector operator"))
    found += [invalid(f"{path}.key", expression.key, message) for message in names.qualified_name(expression.key)]
    for index, value in enumerate(expression.values or ()):
        found += [invalid(f"{path}.values[{index}]", value, message) for message in names.label_value(value)]
    return found


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """``field``, ``=`` or ``!=`` and the value."""

    field: str
    operator: str
    value: str

    @property
    def key(self) -> str:
        return self.field

    @property
    def values(self) -> tuple[str, ...]:
        return (self.value,)


class FieldSelector:
    """Terms that must all hold over a map from field to text; an absent field reads as empty text."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Iterable[FieldRequirement] = ()) -> None:
        self.requirements: tuple[FieldRequirement, ...] = tuple(requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str] | None) -> bool:
        fields = fields or {}
        return all((fields.get(r.field, "") == r.value) is (r.operator == EQUALS) for r in self.requirements)

    def matches_object(self, obj: Any, read: Mapping[str, Callable[[Any], str]]) -> bool:
        """The same over an object whose fields are read on demand."""
        return all((read[r.field](obj) == r.value) is (r.operator == EQUALS) for r in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value that ``field`` must equal, if there is such a term."""
        return next((r.value for r in self.requirements if r.field == field and r.operator == EQUALS), None)

    def __str__(self) -> str:
        return ",".join(f"{r.field}{r.operator}{escaped(r.value)}" for r in self.requirements)

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return self.requirements == other.requirements if isinstance(other, FieldSelector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.requirements)


def escaped(value: str) -> str:
    """A value as it stands in a field selector's text."""
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescaped(value: str) -> str:
    result: list[str] = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if not following:
                raise SelectorError("invalid field selector: invalid escape sequence: \\")
            if following not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{following}")
            result.append(following)
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            result.append(char)
    return "".join(result)


def parse_fields(text: str) -> FieldSelector:
    """The selector that ``fieldSelector=`` holds. Raises SelectorError."""
    found = []
    for term in sorted(_terms(text)):
        if not term:
            continue
        match = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = NOT_EQUALS if match[2] == "!=" else EQUALS
        found.append(FieldRequirement(match[1], operator, _unescaped(match[3])))
    return FieldSelector(found)


def _terms(text: str) -> list[str]:
    """The text split at commas that no backslash escapes."""
    return re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)
