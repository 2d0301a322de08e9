"""JSONPath templates as kubectl's ``-o jsonpath``, custom columns, ``--sort-by`` and ``wait`` have them.

Source: Kubernetes docs, "JSONPath Support"; client-go, package jsonpath, by behaviour.
"""

import json
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tiphys.machinery.goformat import json_kind, number


class JsonPathError(ValueError):
    """The template is malformed, or a value that it needs is not there."""


@dataclass(frozen=True, slots=True)
class Text:
    """Printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Field:
    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    pass


@dataclass(frozen=True, slots=True)
class Recursive:
    pass


@dataclass(frozen=True, slots=True)
class Slice:
    start: int | None
    stop: int | None
    step: int | None
    #: ``[n]``: one element, which must be there.
    single: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    paths: tuple["Path", ...]


@dataclass(frozen=True, slots=True)
class Filter:
    left: "Path"
    operator: str
    right: "Path | None"


@dataclass(frozen=True, slots=True)
class Path:
    steps: tuple["Step", ...]


@dataclass(frozen=True, slots=True)
class Range:
    path: Path
    body: tuple["Node", ...]


Step = Literal | Field | Wildcard | Recursive | Slice | Union | Filter
Node = Text | Path | Range

_SLICE: Final = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?", re.ASCII)
_FILTER: Final = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_TERMINATORS: Final = set(" \t\r\n.,[]$@{}")
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Template:
    """A parsed template."""

    def __init__(self, text: str, allow_missing: bool = True) -> None:
        self._nodes = _Parser(text).template()
        self._allow_missing = allow_missing

    def find(self, data: Any) -> list[list[Any]]:
        """The results of each path of the template, in order. Raises JsonPathError."""
        return [self._walk(node, data) for node in self._nodes if isinstance(node, Path)]

    def render(self, data: Any) -> str:
        """The filled template. Raises JsonPathError."""
        return "".join(self._rendered(self._nodes, data))

    def _rendered(self, nodes: Iterable[Node], data: Any) -> Iterable[str]:
        for node in nodes:
            if isinstance(node, Text):
                yield node.text
            elif isinstance(node, Range):
                for item in self._walk(node.path, data):
                    yield from self._rendered(node.body, item)
            else:
                yield " ".join(map(printed, self._walk(node, data)))

    def _walk(self, path: Path, data: Any) -> list[Any]:
        values = [data]
        for step in path.steps:
            values = [found for value in values for found in self._step(step, value)]
        return values

    def _step(self, step: Step, value: Any) -> list[Any]:
        match step:
            case Literal():
                return [step.value]
            case Field():
                return self._field(step.name, value)
            case Wildcard():
                return (
                    list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
                )
            case Recursive():
                return list(_descendants(value))
            case Slice():
                return _sliced(step, value)
            case Union():
                return [found for path in step.paths for found in self._walk(path, value)]
        if not isinstance(value, list):
            if isinstance(value, dict):
                value = list(value.values())
            else:
                return []
        return [item for item in value if self._passes(step, item)]

    def _field(self, name: str, value: Any) -> list[Any]:
        if isinstance(value, dict) and name in value:
            return [value[name]]
        if self._allow_missing:
            return []
        raise JsonPathError(f"{name} is not found")

    def _passes(self, test: Filter, item: Any) -> bool:
        left = self._found(test.left, item)
        if test.right is None:
            return bool(left)
        right = self._found(test.right, item)
        if not left or not right:
            return False
        if len(left) > 1 or len(right) > 1:
            raise JsonPathError("can only compare one element at a time")
        return _compared(test.operator, left[0], right[0])

    def _found(self, path: Path, item: Any) -> list[Any]:
        try:
            return self._walk(path, item)
        except JsonPathError:
            return []


def relaxed(expression: str) -> str:
    """``x.y``, ``.x.y`` and ``{x.y}`` as the template ``{.x.y}``. Raises JsonPathError."""
    if not expression:
        return expression
    match = re.fullmatch(r"\{?\.?([^{}]+)\}?", expression) if not expression.startswith("{") else None
    if expression.startswith("{"):
        match = re.fullmatch(r"\{\.?([^{}]+)\}", expression)
    if match is None:
        raise JsonPathError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return "{." + match[1] + "}"


def printed(value: Any) -> str:
    """A result as text: objects and lists as JSON, the rest bare."""
    match json_kind(value):
        case "object" | "array":
            return _escaped(json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True))
        case "bool":
            return "true" if value else "false"
        case "number":
            return number(value)
        case "null":
            return ""
    return str(value)


def _escaped(text: str) -> str:
    """JSON as Go writes it: safe inside HTML."""
    for char in "<>&\u2028\u2029":
        if char in text:
            text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _compared(name: str, left: Any, right: Any) -> bool:
    kinds = {json_kind(left), json_kind(right)}
    if len(kinds) > 1:
        return name == "!="
    if kinds & {"bool", "null", "object", "array"} and name not in ("==", "!="):
        raise JsonPathError(f"cannot compare {kinds.pop()}s by {name}")
    return _OPERATORS[name](left, right)


def _descendants(value: Any) -> Iterable[Any]:
    yield value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in below:
        yield from _descendants(item)


def _sliced(step: Slice, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise JsonPathError(f"{printed(value)} is not array or slice")
    if not step.single:
        if step.step is not None and step.step <= 0:
            raise JsonPathError("step must be > 0")
        return value[step.start : step.stop : step.step]
    index = step.start or 0
    place = index + len(value) if index < 0 else index
    if not 0 <= place < len(value):
        raise JsonPathError(f"array index out of bounds: index {index}, length {len(value)}")
    return [value[place]]


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self) -> tuple[Node, ...]:
        """The whole text; ranges nest."""
        levels: list[tuple[Path | None, list[Node]]] = [(None, [])]
        while self._at < len(self._text):
            start = self._text.find("{", self._at)
            if start < 0:
                start = len(self._text)
            if start > self._at:
                levels[-1][1].append(Text(self._text[self._at : start]))
            self._at = start + 1
            if start < len(self._text):
                self._action(levels)
        if len(levels) > 1:
            raise JsonPathError("unclosed range")
        return tuple(levels[0][1])

    def _action(self, levels: list[tuple[Path | None, list[Node]]]) -> None:
        """What stands between braces."""
        self._spaces()
        if self._word("range"):
            levels.append((self._path("}"), []))
        elif self._word("end"):
            path, body = levels.pop()
            if path is None:
                raise JsonPathError("not in range, nothing to end")
            levels[-1][1].append(Range(path, tuple(body)))
        else:
            path = self._path("}")
            # Each literal of an action is printed on its own, without a space between.
            if path.steps and all(isinstance(step, Literal) for step in path.steps):
                levels[-1][1].extend(Path((step,)) for step in path.steps)
            elif path.steps or self._text[self._at - 1 : self._at] != "{":
                levels[-1][1].append(path)
        self._spaces()
        if self._peek() != "}":
            raise JsonPathError("unclosed action")
        self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _spaces(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _word(self, word: str) -> bool:
        after = self._text[self._at + len(word) : self._at + len(word) + 1]
        if self._text.startswith(word, self._at) and not after.isalnum():
            self._at += len(word)
            return True
        return False

    def _path(self, end: str) -> Path:
        """Steps up to ``end``, which is left in place."""
        steps: list[Step] = []
        while True:
            self._spaces()
            char = self._peek()
            if not char or char == end:
                return Path(tuple(steps))
            if char in "@$":
                self._at += 1
            elif char == ".":
                self._dot(steps)
            elif char == "[":
                steps.append(self._bracket())
            elif char in "\"'":
                steps.append(Literal(self._quoted()))
            else:
                steps.append(self._bare())

    def _dot(self, steps: list[Step]) -> None:
        self._at += 1
        if self._peek() == ".":
            self._at += 1
            steps.append(Recursive())
        if self._peek() == "[":
            return
        name = self._name()
        if name == "*":
            steps.append(Wildcard())
        elif name:
            steps.append(Field(name))

    def _name(self) -> str:
        found = []
        while (char := self._peek()) and char not in _TERMINATORS:
            self._at += 1
            if char == "\\":
                char = self._peek()
                self._at += 1
            found.append(char)
        return "".join(found)

    def _bare(self) -> Step:
        start = self._at
        match = re.compile(r"[-+]?\d+(?:\.\d+)?(?![\w.])", re.ASCII).match(self._text, start)
        if match:
            self._at = match.end()
            return Literal(float(match[0]) if "." in match[0] else int(match[0]))
        name = self._name()
        if name in ("true", "false"):
            return Literal(name == "true")
        if name == "*":
            return Wildcard()
        if name and name[0].isalpha():
            # Inside unions and filters a bare word stands for text.
            raise JsonPathError(f"unrecognized identifier {name}")
        raise JsonPathError(f"unrecognized character in action: {self._text[start : start + 1]!r}")

    def _quoted(self) -> str:
        quote = self._peek()
        self._at += 1
        found = []
        while (char := self._peek()) != quote:
            if not char:
                raise JsonPathError("unterminated quoted string")
            self._at += 1
            if char == "\\":
                escaped = self._peek()
                self._at += 1
                char = _ESCAPES.get(escaped, escaped)
            found.append(char)
        self._at += 1
        return "".join(found)

    def _bracket(self) -> Step:
        text = self._bracketed()
        if text.startswith("?(") and text.endswith(")"):
            return _filter(text[2:-1])
        parts = _split(text)
        if len(parts) > 1:
            return Union(tuple(Path((_bracket_step(part),)) for part in parts))
        return _bracket_step(text)

    def _bracketed(self) -> str:
        """The text up to the bracket that closes this one; quotes and inner brackets are looked over."""
        start = self._at + 1
        depth = 0
        while True:
            char = self._peek()
            if not char:
                raise JsonPathError("unterminated array")
            if char in "\"'":
                self._quoted()
                continue
            self._at += 1
            depth += (char == "[") - (char == "]")
            if depth == 0:
                return self._text[start : self._at - 1].strip()


def _split(text: str) -> list[str]:
    """``text`` at commas outside quotes."""
    return [part.strip() for part in re.findall(r"(?:[^,'\"]|'[^']*'|\"[^\"]*\")+", text)] or [text]


def _bracket_step(text: str) -> Step:
    if text == "*":
        return Wildcard()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return Field(text[1:-1].replace("\\'", "'").replace("\\.", "."))
    match = _SLICE.fullmatch(text)
    if match is None or not text:
        raise JsonPathError(f"invalid array index {text}")
    if match[2] is None:
        return Slice(int(match[1]), None, None, single=True)
    return Slice(_bound(match[1]), _bound(match[2][1:]), _bound((match[3] or ":")[1:]))


def _bound(text: str) -> int | None:
    return int(text) if text.lstrip("-") else None


def _filter(text: str) -> Filter:
    match = _FILTER.fullmatch(text)
    if match is None:
        return Filter(_Parser(text)._path(""), "exists", None)
    if match[2] not in _OPERATORS:
        raise JsonPathError(f"unrecognized filter operator {match[2]}")
    return Filter(_Parser(match[1].strip())._path(""), match[2], _Parser(match[3].strip())._path(""))
