"""Values that Python lacks, equality and order.

int, float, str, bytes, bool, None, list and dict are CEL's as they are. A bool
is an int in Python and never in CEL, which is why everything here looks at ``type()``.
"""

from collections.abc import Iterable
from typing import Any, Final

from tiphys.machinery.cel.errors import EvaluationError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class UInt(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since 1970 in UTC."""

    __slots__ = ()


class TypeValue:
    """A type as a value: ``int``, ``type(x)``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Optional:
    """A value or none."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value


NONE: Final = Optional(False)


class Opaque:
    """A value of a library (Quantity, IP, …): ``same`` decides equality, ``cel_type`` is its type's name."""

    __slots__ = ()
    cel_type = ""

    def same(self, other: Any) -> bool:
        return self is other


class BoolKey:
    """A bool as a key of a map, apart from 0 and 1."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoolKey) and other.value == self.value

    def __hash__(self) -> int:
        return 2 + self.value


class SetList(list[Any]):
    """A list whose order does not matter (``x-kubernetes-list-type: set``)."""

    __slots__ = ()


class MapList(list[Any]):
    """A list of objects told apart by keys (``x-kubernetes-list-type: map``)."""

    __slots__ = ("keys",)

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key_of(self, item: Any) -> tuple[Any, ...]:
        return tuple(repr(item.get(key)) if isinstance(item, dict) else "" for key in self.keys)


class Message(dict[str, Any]):
    """An object made in an expression (``Object.spec{…}``, ``JSONPatch{…}``)."""

    __slots__ = ("cel_type",)

    def __init__(self, cel_type: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.cel_type = cel_type


_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    Duration: "google.protobuf.Duration",
    Timestamp: "google.protobuf.Timestamp",
    TypeValue: "type",
    Optional: "optional_type",
}


def type_name(value: Any) -> str:
    """What ``type(value)`` is called."""
    kind = type(value)
    found = _NAMES.get(kind)
    if found is not None:
        return found
    if isinstance(value, Opaque | Message):
        return value.cel_type
    if isinstance(value, str):
        return "string"
    return "map" if isinstance(value, dict) else "list"


def key_of(value: Any) -> Any:
    """A value as a key of a Python dict; equal numbers are equal keys."""
    kind = type(value)
    if kind is str or kind is int:
        return value
    if kind is bool:
        return BoolKey(value)
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is UInt or isinstance(value, str):
        return value
    raise EvaluationError(f"unsupported key type: {type_name(value)}")


def from_key(key: Any) -> Any:
    return key.value if type(key) is BoolKey else key


_NUMBERS: Final = frozenset({int, UInt, float})
_PLAIN: Final = frozenset({str, int, UInt, float, bytes, bool, Duration, Timestamp, type(None), TypeValue})


def equal(a: Any, b: Any) -> bool:
    """CEL's equality: numbers across their types, other types are never equal to each other."""
    kind, other = type(a), type(b)
    if kind is other and kind in _PLAIN:
        return bool(a == b)
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        return _lists_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
    if kind is Optional and other is Optional:
        return a.present == b.present and (not a.present or equal(a.value, b.value))
    if isinstance(a, Opaque):
        return kind is other and a.same(b)
    return isinstance(a, str) and isinstance(b, str) and a == b


def _lists_equal(a: list[Any], b: list[Any]) -> bool:
    if len(a) != len(b):
        return False
    if isinstance(a, SetList) or isinstance(b, SetList):
        return all(any(equal(one, other) for other in b) for one in a)
    if isinstance(a, MapList) or isinstance(b, MapList):
        keyed = a if isinstance(a, MapList) else b
        assert isinstance(keyed, MapList)
        index = {keyed.key_of(item): item for item in b}
        return all((key := keyed.key_of(item)) in index and equal(item, index[key]) for item in a)
    return all(map(equal, a, b))


_ORDERED: Final = frozenset({str, bytes, bool, Duration, Timestamp})


def compare(a: Any, b: Any) -> int:
    """-1, 0 or 1. Raises EvaluationError for what has no order."""
    kind, other = type(a), type(b)
    if (kind is other and kind in _ORDERED) or (kind in _NUMBERS and other in _NUMBERS):
        if a != a or b != b:
            raise EvaluationError("NaN values cannot be ordered")
        return int((a > b) - (a < b))
    if isinstance(a, str) and isinstance(b, str):
        return int((a > b) - (a < b))
    raise EvaluationError("no such overload")


def size(value: Any) -> int:
    """How large a value is where cost is counted: characters, bytes, items, entries; 1 for all else."""
    return len(value) if isinstance(value, str | bytes | list | dict) else 1


def is_zero(value: Any) -> bool:
    """Whether a value is its type's zero value."""
    return value is None or (isinstance(value, str | bytes | list | dict | int | float) and not value)
