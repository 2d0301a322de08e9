"""Estimates of calls.

Source: cel-go's ``checker/cost.go`` and apiserver's ``pkg/cel/library/cost.go``, by behaviour.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tiphys.machinery.cel.library.authorization import CHECK_COST
from tiphys.machinery.cel.library.formats import FORMATS
from tiphys.machinery.cel.limits import REGEX_FACTOR, STRING_FACTOR
from tiphys.machinery.cel.sizes import MAX, ONE, Range, fixed
from tiphys.machinery.cel.types import Type


class Argument(NamedTuple):
    """What is known of an argument: its size, its type, and the size of its items."""

    size: Range
    type: Type
    item: Range
    constant: Any = None


class Estimate(NamedTuple):
    cost: Range
    size: Range | None = None


Estimator = Callable[[Sequence[Argument]], Estimate]


def _once(args: Sequence[Argument]) -> Estimate:
    return Estimate(args[0].size.scaled(STRING_FACTOR))


def _twice(args: Sequence[Argument]) -> Estimate:
    return Estimate(args[0].size.scaled(2 * STRING_FACTOR))


def _kept(args: Sequence[Argument]) -> Estimate:
    """One reading, and a result no longer than the text."""
    return Estimate(args[0].size.scaled(STRING_FACTOR), args[0].size)


def _nominal(args: Sequence[Argument]) -> Estimate:
    return Estimate(ONE)


def _check(args: Sequence[Argument]) -> Estimate:
    return Estimate(fixed(CHECK_COST))


def _list_or_text(args: Sequence[Argument]) -> Estimate:
    """Each item compared once, and read if it is text."""
    given = args[0]
    if given.type.kind != "list":
        return Estimate(given.size.scaled(STRING_FACTOR))
    each = ONE
    if given.type.params[0].kind in ("string", "bytes"):
        each = each.plus(given.item.scaled(STRING_FACTOR))
    return Estimate(given.size.times(each))


def _replace(args: Sequence[Argument]) -> Estimate:
    text, old, new = args[0].size, args[1].size, args[2].size
    count_high = kept_high = count_low = kept_low = 0
    if old.low == 0:
        count_high, kept_high = min(text.high + 1, MAX), text.high
    elif new.high <= old.low:
        kept_high = text.high
    else:
        count_high = math.ceil(text.high / old.low)
    if old.high == 0:
        count_low, kept_low = min(text.low + 1, MAX), text.low
    elif old.high <= new.low:
        kept_low = text.low
    else:
        count_low = math.ceil(text.low / old.high)
    size = Range(count_low, count_high).times(new).plus(Range(kept_low, kept_high))
    return Estimate(text.scaled(2 * STRING_FACTOR), size)


def _split(args: Sequence[Argument]) -> Estimate:
    most = args[0].size.high
    limit = args[2].constant if len(args) > 2 else None
    if isinstance(limit, int) and limit >= 0:
        most = limit
    return Estimate(args[0].size.scaled(2 * STRING_FACTOR), Range(0, most))


def _join(args: Sequence[Argument]) -> Estimate:
    items = args[0].size
    size = items.times(args[0].item)
    if len(args) > 1:
        size = size.plus(args[1].size.times(Range(max(items.low - 1, 0), max(items.high - 1, 0))))
    return Estimate(size.scaled(STRING_FACTOR), size)


def _regex(args: Sequence[Argument]) -> Range:
    return args[0].size.plus(ONE).scaled(STRING_FACTOR).times(args[1].size.scaled(REGEX_FACTOR))


def _find(args: Sequence[Argument]) -> Estimate:
    return Estimate(_regex(args), Range(0, args[0].size.high))


def _matches(args: Sequence[Argument]) -> Estimate:
    return Estimate(_regex(args))


def _contains(args: Sequence[Argument]) -> Estimate:
    return Estimate(args[0].size.scaled(STRING_FACTOR).times(args[1].size.scaled(STRING_FACTOR)))


def _fix(args: Sequence[Argument]) -> Estimate:
    return Estimate(args[1].size.scaled(STRING_FACTOR))


_ADDRESS: Final = Range(4, 16)


def _contains_ip(args: Sequence[Argument]) -> Estimate:
    cost = _ADDRESS.plus(_ADDRESS).scaled(STRING_FACTOR)
    return Estimate(cost.plus(args[1].size.scaled(STRING_FACTOR)) if args[1].type.kind == "string" else cost)


def _contains_cidr(args: Sequence[Argument]) -> Estimate:
    cost = _ADDRESS.plus(_ADDRESS).scaled(STRING_FACTOR).plus(_ADDRESS.scaled(STRING_FACTOR)).plus(ONE)
    return Estimate(cost.plus(args[1].size.scaled(STRING_FACTOR)) if args[1].type.kind == "string" else cost)


def _validate(args: Sequence[Argument]) -> Estimate:
    """By the longest pattern of any format: which one it is shows at run time."""
    longest = max(one.pattern_size for one in FORMATS.values())
    return Estimate(args[1].size.plus(ONE).scaled(STRING_FACTOR).times(fixed(longest).scaled(REGEX_FACTOR)))


def _sets(factor: float) -> Estimator:
    return lambda args: Estimate(args[0].size.times(args[1].size).scaled(factor).plus(ONE))


def _quote(args: Sequence[Argument]) -> Estimate:
    size = args[0].size
    return Estimate(size.scaled(STRING_FACTOR), Range(min(size.low + 2, MAX), min(size.high * 2 + 2, MAX)))


def _member(args: Sequence[Argument]) -> Estimate:
    return Estimate(args[1].size if args[1].type.kind != "map" else ONE)


def _compared(args: Sequence[Argument]) -> Estimate:
    given = args[0].type
    if given.kind == "opaque" and given.name != "optional_type":
        return Estimate(ONE)
    most = min(args[0].size.high, args[1].size.high)
    return Estimate(Range(1 if most > 0 else 0, most).scaled(STRING_FACTOR))


#: By function, whatever the overload.
FUNCTIONS: Final[dict[str, Estimator]] = {
    "check": _check,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_or_text),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _kept),
    **dict.fromkeys(("url", "cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _once),
    "jsonpatch.escapeKey": _kept,
    "ip.isCanonical": _twice,
    "replace": _replace,
    "split": _split,
    "join": _join,
    "format": _kept,
    "strings.quote": _quote,
    "find": _find,
    "findAll": _find,
    "matches": _matches,
    "contains": _contains,
    "startsWith": _fix,
    "endsWith": _fix,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
    "_==_": _compared,
    "_!=_": _compared,
    "@in": _member,
}


def _converted(low: float, high: float) -> Estimator:
    def estimate(args: Sequence[Argument]) -> Estimate:
        size = args[0].size
        return Estimate(size.scaled(STRING_FACTOR), Range(int(size.low * low), min(int(size.high * high), MAX)))

    return estimate


def _added(args: Sequence[Argument]) -> Estimate:
    size = args[0].size.plus(args[1].size)
    return Estimate(size.scaled(STRING_FACTOR), size)


def _lists_added(args: Sequence[Argument]) -> Estimate:
    return Estimate(ONE, args[0].size.plus(args[1].size))


#: By overload, where it makes a difference.
OVERLOADS: Final[dict[str, Estimator]] = {
    "string_to_ip": _once,
    "cidr_ip": _nominal,
    "string_to_bytes": _converted(1, 4),
    "bytes_to_string": _converted(0.25, 1),
    "add_string": _added,
    "add_bytes": _added,
    "add_list": _lists_added,
    **{
        f"{order}_{kind}": _compared
        for order in ("less", "less_equals", "greater", "greater_equals")
        for kind in ("string", "bytes")
    },
}


def estimate(function: str, overload: str, args: Sequence[Argument]) -> Estimate:
    """Of one call, without its arguments' own costs."""
    found = OVERLOADS.get(overload) or FUNCTIONS.get(function) or _nominal
    return found(args)
