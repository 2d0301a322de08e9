"""Quantities and versions. Source: Kubernetes docs, "CEL", "Kubernetes quantity library", "semver library"."""

import re
from decimal import Decimal
from typing import Any, Final

from tiphys.machinery import quantity
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.library.charges import text_charge
from tiphys.machinery.cel.values import INT_MAX, INT_MIN, Opaque


class Quantity(Opaque):
    __slots__ = ("amount",)
    cel_type = "kubernetes.Quantity"

    def __init__(self, amount: Decimal) -> None:
        self.amount = amount

    def same(self, other: Any) -> bool:
        return bool(self.amount == other.amount)


def quantity_value(text: str) -> Quantity:
    """A quantity as a value of expressions. Raises EvaluationError."""
    try:
        return Quantity(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _is_integer(one: Quantity) -> bool:
    return one.amount == one.amount.to_integral_value() and INT_MIN <= one.amount <= INT_MAX


def _as_integer(one: Quantity) -> int:
    if not _is_integer(one):
        raise EvaluationError("cannot convert value to integer")
    return int(one.amount)


def _sign(number: Any) -> int:
    return int((number > 0) - (number < 0))


class Semver(Opaque):
    """``parts`` are major, minor and patch; ``pre`` the parts of the pre-release."""

    __slots__ = ("parts", "pre")
    cel_type = "kubernetes.Semver"

    def __init__(self, parts: tuple[int, int, int], pre: tuple[Any, ...]) -> None:
        self.parts = parts
        # A pre-release is before its release; its numbers are before its words.
        self.pre = (not pre, tuple((isinstance(one, str), one if isinstance(one, int) else 0, str(one)) for one in pre))

    @property
    def order(self) -> Any:
        return self.parts, self.pre

    def same(self, other: Any) -> bool:
        return bool(self.order == other.order)


_WORD: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER: Final = re.compile(
    rf"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-({_WORD}))?(?:\+({_WORD}))?", re.ASCII
)
_LOOSE: Final = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?((?:-{_WORD})?(?:\+{_WORD})?)", re.ASCII)


def _normalized(text: str) -> str:
    """A ``v`` in front, leading zeros and missing parts are forgiven."""
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    numbers = [(group or "0").lstrip("0") or "0" for group in match.group(1, 2, 3)]
    return ".".join(numbers) + (match[4] or "")


def _parse_semver(text: str, normalize: bool) -> Semver | None:
    match = _SEMVER.fullmatch(_normalized(text) if normalize else text)
    if match is None or any(len(group) > 20 for group in match.group(1, 2, 3)):
        return None
    words = match[4].split(".") if match[4] else []
    if any(word.isdigit() and len(word) > 1 and word[0] == "0" for word in words):
        return None
    pre = tuple(int(word) if word.isdigit() and len(word) < 21 else word for word in words)
    return Semver((int(match[1]), int(match[2]), int(match[3])), pre)


def semver_value(text: str, normalize: bool = False) -> Semver:
    """A version as a value of expressions. Raises EvaluationError."""
    found = _parse_semver(text, normalize)
    if found is None:
        raise EvaluationError(f'parse error: invalid semver "{text}"')
    return found


def _compare(one: Semver, other: Semver) -> int:
    return int((one.order > other.order) - (one.order < other.order))


_Q: Final = "kubernetes.Quantity"
_S: Final = "kubernetes.Semver"

ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    ("quantity", "string_to_quantity", f"string -> {_Q}", quantity_value, text_charge),
    ("isQuantity", "is_quantity_string", "string -> bool", _is_quantity, text_charge),
    (".sign", "quantity_sign", f"{_Q} -> int", lambda one: _sign(one.amount)),
    (".isInteger", "quantity_is_integer", f"{_Q} -> bool", _is_integer),
    (".asInteger", "quantity_as_integer", f"{_Q} -> int", _as_integer),
    (".asApproximateFloat", "quantity_get_float", f"{_Q} -> double", lambda one: float(one.amount)),
    (".isGreaterThan", "quantity_is_greater_than", f"{_Q}, {_Q} -> bool", lambda a, b: a.amount > b.amount),
    (".isLessThan", "quantity_is_less_than", f"{_Q}, {_Q} -> bool", lambda a, b: a.amount < b.amount),
    (".compareTo", "quantity_compare_to", f"{_Q}, {_Q} -> int", lambda a, b: _sign(a.amount - b.amount)),
    (".add", "quantity_add", f"{_Q}, {_Q} -> {_Q}", lambda a, b: Quantity(a.amount + b.amount)),
    (".add", "quantity_add_int", f"{_Q}, int -> {_Q}", lambda a, b: Quantity(a.amount + b)),
    (".sub", "quantity_sub", f"{_Q}, {_Q} -> {_Q}", lambda a, b: Quantity(a.amount - b.amount)),
    (".sub", "quantity_sub_int", f"{_Q}, int -> {_Q}", lambda a, b: Quantity(a.amount - b)),
    ("semver", "string_to_semver", f"string -> {_S}", semver_value, text_charge),
    ("semver", "string_bool_to_semver", f"string, bool -> {_S}", semver_value, text_charge),
    (
        "isSemver",
        "is_semver_string",
        "string -> bool",
        lambda text: _parse_semver(text, False) is not None,
        text_charge,
    ),
    (
        "isSemver",
        "is_semver_string_bool",
        "string, bool -> bool",
        lambda text, normalize: _parse_semver(text, normalize) is not None,
        text_charge,
    ),
    (".major", "semver_major", f"{_S} -> int", lambda one: one.parts[0]),
    (".minor", "semver_minor", f"{_S} -> int", lambda one: one.parts[1]),
    (".patch", "semver_patch", f"{_S} -> int", lambda one: one.parts[2]),
    (".isGreaterThan", "semver_is_greater_than", f"{_S}, {_S} -> bool", lambda a, b: _compare(a, b) > 0),
    (".isLessThan", "semver_is_less_than", f"{_S}, {_S} -> bool", lambda a, b: _compare(a, b) < 0),
    (".compareTo", "semver_compare_to", f"{_S}, {_S} -> int", _compare),
)
