"""Sets of field paths, as ``managedFields`` holds them.

A set is kept in the form in which it is written (FieldsV1): nested dicts whose
keys are path elements: ``f:`` a field, ``k:`` the keys of a list's item, ``v:``
an item of a list of scalars, ``i:`` a position. A node without children is a
member; one with children is a member if it holds ``.``. Sets are never changed:
operations share with their results what they do not touch. All sets are in
canonical order, which those who make them (``structure``, ``parse``) see to.
Source: Kubernetes API reference, ManagedFieldsEntry v1 meta; KEP-555 Server-side Apply.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from tiphys.machinery.goformat import quote

Fields = dict[str, Any]
Path = tuple[str, ...]

SELF: Final = "."
_json: Final = msgspec.json.Encoder(order="deterministic")
_KINDS: Final = {"f": 0, "k": 1, "v": 2, "i": 3}


def field(name: str) -> str:
    """The element of a field or of a map's entry."""
    return "f:" + name


def item(keys: Mapping[str, Any]) -> str:
    """The element of an item of a keyed list."""
    return "k:" + _json.encode(keys).decode()


def scalar(value: Any) -> str:
    """The element of an item of a set."""
    return "v:" + _json.encode(value).decode()


def is_member(node: Fields) -> bool:
    """Whether the path that ends at ``node`` is in the set."""
    return not node or SELF in node


def of_paths(*paths: Path) -> Fields:
    """The set of these paths."""
    found: Fields = {}
    for path in paths:
        node: Fields = {}
        for element in reversed(path):
            node = {element: node}
        found = union(found, node)
    return found


def has(fields: Fields, path: Path) -> bool:
    """Whether ``path`` is in the set."""
    node = fields
    for element in path:
        below = node.get(element)
        if below is None:
            return False
        node = below
    return is_member(node)


def union(one: Fields, other: Fields) -> Fields:
    """What is in either; ``one`` itself if the other adds nothing."""
    if not one or not other:
        return one or other
    result: Fields | None = None
    grown = False
    for element, node in other.items():
        there = one.get(element)
        joined = node if there is None else _joined(there, node)
        if joined is not there:
            if result is None:
                result = dict(one)
            grown = grown or there is None
            result[element] = joined
    if result is None:
        return one
    return sorted_level(result) if grown else result


def _joined(one: Fields, other: Fields) -> Fields:
    if not other:
        return one if is_member(one) else {SELF: {}, **one}
    if not one:
        return other if SELF in other else {SELF: {}, **other}
    return union(one, other)


def difference(one: Fields, other: Fields) -> Fields:
    """What is in ``one`` and not in ``other``; a path does not stand for those below it."""
    if SELF not in one and other.keys().isdisjoint(one):
        return one
    result: Fields = {}
    for element, node in one.items():
        if element == SELF:
            continue
        there = other.get(element)
        if there is None:
            result[element] = node
        else:
            _put(result, element, is_member(node) and not is_member(there), difference(node, there))
    return result


def without(one: Fields, other: Fields) -> Fields:
    """What is in ``one`` and neither in ``other`` nor below a path of it."""
    result: Fields = {}
    for element, node in one.items():
        if element == SELF:
            continue
        there = other.get(element)
        if there is None:
            result[element] = node
        elif not is_member(there):
            _put(result, element, is_member(node), without(node, there))
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    """What is in both."""
    result: Fields = {}
    if len(one) > len(other):
        one, other = other, one
    for element, node in one.items():
        there = other.get(element)
        if there is not None and element != SELF:
            _put(result, element, is_member(node) and is_member(there), intersection(node, there))
    return result


def _put(result: Fields, element: str, member: bool, below: Fields) -> None:
    if below:
        result[element] = {SELF: {}, **below} if member else below
    elif member:
        result[element] = {}


def members(fields: Fields) -> Iterator[Path]:
    """All paths of the set, in canonical order."""
    for element, node in fields.items():
        if element == SELF:
            continue
        if is_member(node):
            yield (element,)
        for path in members(node):
            yield (element, *path)


def show(path: Path) -> str:
    """The path as messages print it: ``.spec.containers[name="c"].image``."""
    return "".join(map(_shown, path))


def _shown(element: str) -> str:
    kind, text = element[:1], element[2:]
    if kind == "f":
        return "." + text
    if kind == "i":
        return f"[{text}]"
    value = msgspec.json.decode(text)
    if kind == "v":
        return f"[={_shown_value(value)}]"
    return "[" + ",".join(f"{name}={_shown_value(keyed)}" for name, keyed in sorted(value.items())) + "]"


def _shown_value(value: Any) -> str:
    return quote(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def sorted_level(fields: Fields) -> Fields:
    """The same set with the elements of its first level in canonical order."""
    elements = sorted_elements(fields)
    return {element: fields[element] for element in elements}


def sorted_elements(elements: Iterable[str]) -> list[str]:
    """Path elements of one level in canonical order."""
    found = sorted(elements)
    # "." sorts first and fields by name; only items need a look at their keys.
    if len(found) > 1 and found[-1][0] != "f":
        found.sort(key=_rank)
    return found


def _rank(element: str) -> tuple[int, Any]:
    kind = element[:1]
    if kind == SELF:
        return -1, ""
    text = element[2:]
    if kind == "f":
        return 0, text
    value = msgspec.json.decode(text)
    if kind == "k":
        return 1, [(name, _comparable(value[name])) for name in sorted(value)]
    return _KINDS[kind], _comparable(value)


def _comparable(value: Any) -> tuple[int, Any]:
    """Numbers before text before truth values, so that any two can be compared."""
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (3, str(value))


def parse(raw: Any) -> Fields:
    """The set that a client has written, in canonical form. Raises ValueError."""
    if not isinstance(raw, dict):
        raise ValueError("expected an object")
    found: Fields = {}
    for element, below in raw.items():
        if element == SELF:
            found[SELF] = {}
            continue
        if len(element) < 2 or element[1] != ":" or element[0] not in _KINDS:
            raise ValueError(f"unrecognized path element {element}")
        found[_canonical(element)] = parse(below)
    return sorted_level(found) if len(found) > 1 or SELF not in found else {}


def _canonical(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return element
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as problem:
        raise ValueError(f"invalid path element {element}: {problem}") from problem
    if kind == "k":
        if not isinstance(value, dict):
            raise ValueError(f"invalid path element {element}")
        return item(value)
    if kind == "i" and not isinstance(value, int):
        raise ValueError(f"invalid path element {element}")
    return scalar(value) if kind == "v" else element


class _Metadata(msgspec.Struct):
    managedFields: msgspec.Raw = msgspec.Raw(b"")


class _Managed(msgspec.Struct):
    """Finds the managed fields of an object and skips the rest."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_NAME: Final = b'"managedFields":'
_managed_decoder: Final = msgspec.json.Decoder(_Managed)


def parted(data: bytes) -> tuple[bytes, bytes]:
    """An object's JSON without its managed fields, which are as long as the rest and seldom looked at; and these.

    They are the array's JSON; empty if there are none, or if they cannot be told from the rest.
    """
    at = data.find(_NAME)
    if at < 0:
        return data, b""
    try:
        raw = bytes(_managed_decoder.decode(data).metadata.managedFields)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data, b""
    member = _NAME + raw
    # Not found as one long text, for which find would prepare itself at length.
    while at > 0 and not data.startswith(member, at):
        at = data.find(_NAME, at + 1)
    if not raw or at < 1:
        return data, b""
    end = at + len(member)
    if data[at - 1 : at] == b",":
        return data[: at - 1] + data[end:], raw
    return data[:at] + data[end + (data[end : end + 1] == b",") :], raw


def without_managed(data: bytes) -> bytes:
    """The first of ``parted``."""
    return parted(data)[0]
