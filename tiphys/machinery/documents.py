"""YAML as Kubernetes reads it: the plain data of one document, and its duplicate keys.

Built from the parser's events, so that nesting and aliases are bounded before
anything is built. Plain words resolve as in the YAML 1.1 of Kubernetes' own
tools: ``yes`` is true, ``010`` is 8, but ``1:30`` and dates stay text.
"""

import re
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 200
#: Nodes of a document with its aliases written out.
MAX_NODES: Final = 1_000_000

_TRUE: Final = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE: Final = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}
_NULL: Final = {"", "~", "null", "Null", "NULL"}
_INTEGER: Final = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[0-9][0-9_]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """Not one document of YAML that can be JSON."""


def parse(data: bytes) -> tuple[Any, list[str]]:
    """Plain data of the only document, and a sentence for each key that is set twice. Raises YamlError."""
    builder = _Builder()
    try:
        for event in yaml.parse(data.decode(), Loader=_LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise YamlError(f"yaml: line {line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(f"yaml: {error}") from error
    return builder.root, builder.duplicates


class _Open:
    """A collection that is being filled."""

    __slots__ = ("anchor", "expects_value", "key", "line", "merged", "size", "value")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.size = 1
        self.expects_value = False
        self.key = ""
        self.line = 0
        self.merged: set[str] = set()


class _Builder:
    def __init__(self) -> None:
        self.root: Any = None
        self.duplicates: list[str] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._documents = 0

    def feed(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            value = _resolved(event)
            self._remember(event.anchor, value, 1)
            self._add(value, 1, event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= MAX_DEPTH:
                raise YamlError("yaml: exceeded max depth")
            self._open.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._open.pop()
            self._remember(done.anchor, done.value, done.size)
            self._add(done.value, done.size, event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise YamlError(f"yaml: unknown anchor '{event.anchor}' referenced")
            value, size = self._anchors[event.anchor]
            self._add(value, size, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise YamlError("yaml: more than one document")

    def _remember(self, anchor: str | None, value: Any, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)

    def _add(self, value: Any, size: int, event: Any) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise YamlError("yaml: document contains excessive aliasing")
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.expects_value:
            top.key = _key(value, event)
            top.line = event.start_mark.line + 1
            top.expects_value = True
        else:
            self._set(top, value)
            top.expects_value = False

    def _set(self, top: _Open, value: Any) -> None:
        if top.key == "<<":
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise YamlError("yaml: map merge requires map or sequence of maps")
                for key, item in source.items():
                    if key not in top.value:
                        top.value[key] = item
                        top.merged.add(key)
            return
        if top.key in top.value and top.key not in top.merged:
            self.duplicates.append(f'line {top.line}: key "{top.key}" already set in map')
        top.merged.discard(top.key)
        top.value[top.key] = value


def _key(value: Any, event: Any) -> str:
    if isinstance(value, dict | list):
        raise YamlError(f"yaml: invalid map key: {value!r}")
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _resolved(event: Any) -> Any:
    """The value of a scalar; quoted and tagged text stays text."""
    text: str = event.value
    if event.tag == "tag:yaml.org,2002:binary":
        return text.replace("\n", "").replace(" ", "")
    if event.tag not in (None, "!") and event.tag != "tag:yaml.org,2002:str":
        return plain_scalar(text)
    if event.tag is not None or not event.implicit[0]:
        return text
    return plain_scalar(text)


def plain_scalar(text: str) -> Any:
    """What an unquoted word means."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int | float | str:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    try:
        if digits[:2] in ("0b", "0x", "0o"):
            number = int(digits, 0)
        elif digits[0] == "0" and len(digits) > 1:
            number = int(digits, 8)
        else:
            number = int(digits)
    except ValueError:
        # 089 is no octal number; as a float it is 89, as Kubernetes' tools have it.
        return float(text) if _FLOAT.fullmatch(text) else text
    number *= sign
    return number if -(2**63) <= number < 2**64 else float(number)
