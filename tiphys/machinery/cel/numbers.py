"""Arithmetic within 64 bits, and conversions between numbers and text."""

import math
import re
from typing import Final

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.values import INT_MAX, INT_MIN, UINT_MAX, UInt

_DECIMAL: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|inf|infinity|nan)", re.I
)


def fit_int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def fit_uint(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise EvaluationError("unsigned integer overflow")


def quotient(a: int, b: int) -> int:
    """Rounded towards zero, as Go and C do."""
    if b == 0:
        raise EvaluationError("division by zero")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    """With the sign of ``a``."""
    if b == 0:
        raise EvaluationError("modulus by zero")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def int_of_double(value: float) -> int:
    # The bounds themselves are out: they are not exact as doubles.
    if math.isnan(value) or not INT_MIN < value < INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


def uint_of_double(value: float) -> UInt:
    if math.isnan(value) or not 0 <= value < UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(int(value))


def _parsed(text: str, low: int, high: int, function: str) -> int:
    if _DECIMAL.fullmatch(text) is None or (low == 0 and text[0] in "-+"):
        raise EvaluationError(f'strconv.{function}: parsing "{text}": invalid syntax')
    value = high + 1 if len(text) > 40 and text.lstrip("+-").lstrip("0")[40:] else int(text)
    if not low <= value <= high:
        raise EvaluationError(f'strconv.{function}: parsing "{text}": value out of range')
    return value


def int_of_string(text: str) -> int:
    return _parsed(text, INT_MIN, INT_MAX, "ParseInt")


def uint_of_string(text: str) -> UInt:
    return UInt(_parsed(text, 0, UINT_MAX, "ParseUint"))


def double_of_string(text: str) -> float:
    if _FLOAT.fullmatch(text) is None:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": value out of range')
    return value


def bool_of_string(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "0"):
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def double_text(value: float) -> str:
    """The shortest text, with an exponent from a million on, as Go's ``%g``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    whole, _, fraction = digits.partition(".")
    point = len(whole) + int(exponent or 0)
    bare = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(bare)
    bare = bare.rstrip("0")
    if not bare:
        return sign + "0"
    power = point - 1
    return sign + (_scientific(bare, power) if power < -4 or power >= 6 else _positional(bare, point))


def _scientific(bare: str, power: int) -> str:
    head = bare[0] + (f".{bare[1:]}" if len(bare) > 1 else "")
    return f"{head}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _positional(bare: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + bare
    if point >= len(bare):
        return bare + "0" * (point - len(bare))
    return f"{bare[:point]}.{bare[point:]}"
