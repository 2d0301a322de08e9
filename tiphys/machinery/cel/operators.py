"""Operators whose arguments are not simply evaluated, or that are worth a shorter way than the common call."""

import math
from collections.abc import Callable
from typing import Any, Final

from tiphys.machinery.cel import values
from tiphys.machinery.cel.ast import Call, Const, ListNode
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.frame import Frame
from tiphys.machinery.cel.limits import STRING_FACTOR
from tiphys.machinery.cel.values import NONE, MapList, Optional, SetList, UInt, equal, size

Run = Callable[[Frame], Any]


def shown(value: Any) -> str:
    """A value in a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise EvaluationError("no such overload")


def _and(node: Call, arguments: list[Run]) -> Run:
    left, right = arguments

    def run(frame: Frame) -> bool:
        try:
            first = left(frame)
            if first is False:
                return False
            if first is True:
                return _truth(right(frame))
            fault = EvaluationError("no such overload")
        except EvaluationError as error:
            fault = error
        if right(frame) is False:
            return False
        raise fault

    return run


def _or(node: Call, arguments: list[Run]) -> Run:
    left, right = arguments

    def run(frame: Frame) -> bool:
        try:
            first = left(frame)
            if first is True:
                return True
            if first is False:
                return _truth(right(frame))
            fault = EvaluationError("no such overload")
        except EvaluationError as error:
            fault = error
        if right(frame) is True:
            return True
        raise fault

    return run


def _not(node: Call, arguments: list[Run]) -> Run:
    operand = arguments[0]

    def run(frame: Frame) -> bool:
        value = operand(frame)
        frame.cost += 1
        return not _truth(value)

    return run


def _conditional(node: Call, arguments: list[Run]) -> Run:
    condition, yes, no = arguments
    return lambda frame: yes(frame) if _truth(condition(frame)) else no(frame)


def _pair_cost(one: Any, other: Any) -> int:
    """What comparing costs: a tenth of the smaller, and 1 for what has no size."""
    if type(one) in _SCALARS or type(other) in _SCALARS:
        return 1 if size(one) and size(other) else 0
    return math.ceil(min(size(one), size(other)) * STRING_FACTOR)


_SCALARS: Final = frozenset({int, bool, float, UInt, type(None), values.Duration, values.Timestamp})


def _equality(wanted: bool) -> Callable[[Call, list[Run]], Run]:
    def make(node: Call, arguments: list[Run]) -> Run:
        left, right = arguments

        def run(frame: Frame) -> bool:
            one, other = left(frame), right(frame)
            frame.cost += _pair_cost(one, other)
            return equal(one, other) is wanted

        return run

    return make


def _ordering(accepts: Callable[[int], bool]) -> Callable[[Call, list[Run]], Run]:
    def make(node: Call, arguments: list[Run]) -> Run:
        left, right = arguments

        def run(frame: Frame) -> bool:
            one, other = left(frame), right(frame)
            frame.cost += _pair_cost(one, other)
            return accepts(values.compare(one, other))

        return run

    return make


def _in(node: Call, arguments: list[Run]) -> Run:
    item, container = arguments
    listed = node.args[1]
    if isinstance(listed, ListNode) and listed.items and all(isinstance(one, Const) for one in listed.items):
        return _member(item, [one.value for one in listed.items if isinstance(one, Const)])

    def run(frame: Frame) -> bool:
        value, within = item(frame), container(frame)
        if isinstance(within, list):
            frame.charge(len(within))
            return any(equal(value, one) for one in within)
        frame.cost += 1
        if isinstance(within, dict):
            return value is not None and _find(within, value) is not None
        raise EvaluationError("no such overload")

    return run


def _member(item: Run, listed: list[Any]) -> Run:
    """Among constants: looked up rather than searched for, and free of charge, as in cel-go."""
    texts = frozenset(listed) if all(isinstance(one, str) for one in listed) else None

    def run(frame: Frame) -> bool:
        value = item(frame)
        if texts is not None:
            return isinstance(value, str) and value in texts
        return any(equal(value, one) for one in listed)

    return run


def _find(within: dict[Any, Any], key: Any) -> tuple[Any] | None:
    """The value at a key, in a tuple; None if there is none."""
    found = values.key_of(key)
    return (within[found],) if found in within else None


def indexed(container: Any, index: Any) -> Any:
    """``container[index]``."""
    if isinstance(container, list):
        if type(index) is float and index.is_integer():
            index = int(index)
        if type(index) not in (int, UInt):
            raise EvaluationError(f"unsupported index type '{values.type_name(index)}' in list")
        if 0 <= index < len(container):
            return container[index]
        raise EvaluationError(f"index out of bounds: {index}")
    if isinstance(container, dict):
        found = _find(container, index)
        if found is None:
            raise EvaluationError(f"no such key: {shown(index)}")
        return found[0]
    if type(container) is Optional:
        return _optionally(container, index)
    raise EvaluationError("no such overload")


def _optionally(container: Any, index: Any) -> Optional:
    if type(container) is Optional:
        return _optionally(container.value, index) if container.present else NONE
    if isinstance(container, dict):
        found = _find(container, index)
        return Optional(True, found[0]) if found else NONE
    if isinstance(container, list):
        return Optional(True, container[index]) if type(index) in (int, UInt) and 0 <= index < len(container) else NONE
    raise EvaluationError("no such overload")


def joined(a: list[Any], b: list[Any]) -> list[Any]:
    """``a + b``. A set keeps each item once; a keyed list takes b's item where both have the key.

    Source: Kubernetes docs, "Custom Resources", "Validation rules", on merge semantics of ``+``.
    """
    if isinstance(a, SetList):
        return SetList([*a, *(item for item in b if not any(equal(item, one) for one in a))])
    if isinstance(a, MapList):
        result = list(a)
        places = {a.key_of(item): at for at, item in enumerate(a)}
        for item in b:
            at = places.get(a.key_of(item))
            if at is None:
                result.append(item)
            else:
                result[at] = item
        return MapList(result, a.keys)
    return [*a, *b]


def _index(get: Callable[[Any, Any], Any]) -> Callable[[Call, list[Run]], Run]:
    def make(node: Call, arguments: list[Run]) -> Run:
        container, index = arguments

        def run(frame: Frame) -> Any:
            within, at = container(frame), index(frame)
            frame.cost += 1
            return get(within, at)

        return run

    return make


def _dyn(node: Call, arguments: list[Run]) -> Run:
    operand = arguments[0]

    def run(frame: Frame) -> Any:
        frame.cost += 1
        return operand(frame)

    return run


def _lazily(node: Call, arguments: list[Run]) -> Run | None:
    """``optional.or`` and ``orValue``: the other one only where the first is missing."""
    first, other = arguments
    unwrap = node.function == "orValue"

    def run(frame: Frame) -> Any:
        value = first(frame)
        frame.cost += 1
        if type(value) is not Optional:
            raise EvaluationError("no such overload")
        if value.present:
            return value.value if unwrap else value
        return other(frame)

    return run


SPECIAL: Final[dict[str, Callable[[Call, list[Run]], Any]]] = {
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _conditional,
    "_==_": _equality(True),
    "_!=_": _equality(False),
    "_<_": _ordering(lambda sign: sign < 0),
    "_<=_": _ordering(lambda sign: sign <= 0),
    "_>_": _ordering(lambda sign: sign > 0),
    "_>=_": _ordering(lambda sign: sign >= 0),
    "@in": _in,
    "_[_]": _index(indexed),
    "_[?_]": _index(_optionally),
    "dyn": _dyn,
    "or": _lazily,
    "orValue": _lazily,
}
