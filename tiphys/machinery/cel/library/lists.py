"""Lists and sets. Source: Kubernetes docs, "CEL", "Kubernetes list library"; cel-go's ``ext.Sets``."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

from tiphys.machinery.cel import numbers, times, values
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.limits import STRING_FACTOR
from tiphys.machinery.cel.values import Duration, UInt, equal

_ORDERED: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMED: Final = ("int", "uint", "double", "duration")


def _is_sorted(items: list[Any]) -> bool:
    return all(values.compare(one, other) <= 0 for one, other in itertools.pairwise(items))


def _extreme(name: str, sign: int) -> Any:
    def run(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        found = items[0]
        for item in items[1:]:
            if values.compare(item, found) == sign:
                found = item
        return found

    return run


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], wanted)), -1)


def _sum(kind: str) -> Any:
    if kind == "int":
        return lambda items: numbers.fit_int(sum(items))
    if kind == "uint":
        return lambda items: numbers.fit_uint(sum(items))
    if kind == "double":
        return lambda items: float(sum(items, 0.0))
    return lambda items: times.duration(sum(items, Duration(0)))


def _sum_any(items: list[Any]) -> Any:
    """Where only values say what is added."""
    kind = type(items[0]) if items else int
    found = {int: "int", UInt: "uint", float: "double", Duration: "duration"}.get(kind)
    if found is None or any(type(item) is not kind for item in items):
        raise EvaluationError("no such overload")
    return _sum(found)(items)


def traversal(value: Any) -> int:
    """What reading all of a value costs."""
    if isinstance(value, str | bytes):
        return int(len(value.encode() if isinstance(value, str) else value) * STRING_FACTOR)
    if isinstance(value, list):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(key) + traversal(item) for key, item in value.items())
    return 1


def _charge(args: Sequence[Any], result: Any) -> int:
    return traversal(args[0])


def _sets(factor: float) -> Any:
    return lambda args, result: 1 + math.ceil(len(args[0]) * len(args[1]) * factor)


def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(any(equal(item, one) for item in items) for one in wanted)


def _equivalent(items: list[Any], others: list[Any]) -> bool:
    return _contains(items, others) and _contains(others, items)


def _intersects(items: list[Any], others: list[Any]) -> bool:
    return any(any(equal(item, one) for item in items) for one in others)


ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    *((".isSorted", f"list_{kind}_is_sorted_bool", f"list<{kind}> -> bool", _is_sorted, _charge) for kind in _ORDERED),
    *((".max", f"list_{kind}_max_{kind}", f"list<{kind}> -> {kind}", _extreme("max", 1), _charge) for kind in _ORDERED),
    *(
        (".min", f"list_{kind}_min_{kind}", f"list<{kind}> -> {kind}", _extreme("min", -1), _charge)
        for kind in _ORDERED
    ),
    *((".sum", f"list_{kind}_sum_{kind}", f"list<{kind}> -> {kind}", _sum_any, _charge) for kind in _SUMMED),
    (".indexOf", "list_a_index_of_int", "list<A>, A -> int", _index_of, _charge),
    (".lastIndexOf", "list_a_last_index_of_int", "list<A>, A -> int", _last_index_of, _charge),
    ("sets.contains", "list_sets_contains_list", "list<A>, list<A> -> bool", _contains, _sets(1)),
    ("sets.equivalent", "list_sets_equivalent_list", "list<A>, list<A> -> bool", _equivalent, _sets(2)),
    ("sets.intersects", "list_sets_intersects_list", "list<A>, list<A> -> bool", _intersects, _sets(1)),
)
