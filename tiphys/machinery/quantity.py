"""Resource amounts: ``500m``, ``64Mi``, ``1e3``, exact to Kubernetes' canonical forms.

Arithmetic is on ``Decimal``; what is finer than a billionth is rounded up
(away from zero), and binary amounts are capped at 2**63-1.
Source: apimachinery, package api/resource, by behaviour.
"""

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_UP, Context, Decimal
from functools import lru_cache
from typing import Final

from tiphys.api.scalars import Quantity

_PATTERN: Final = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE][-+]?[0-9]+", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_BY_EXPONENT: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_BY_EXPONENT: Final = {exponent: suffix for suffix, exponent in _BINARY.items()}
_MAX: Final = 2**63 - 1
_NANO: Final = 10**9
_EXACT: Final = Context(prec=MAX_PREC if MAX_PREC < 10**6 else 10**6, Emax=MAX_EMAX, Emin=MIN_EMIN)

DECIMAL_SI: Final = "DecimalSI"
BINARY_SI: Final = "BinarySI"
DECIMAL_EXPONENT: Final = "DecimalExponent"


class QuantityError(ValueError):
    """Not a quantity. The text is Kubernetes'."""


_BAD_FORM: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@lru_cache(maxsize=8192)
def _parse(text: str) -> tuple[int, str]:
    """The amount in billionths and the suffix family."""
    match = _PATTERN.fullmatch(text) if text else None
    if match is None:
        raise QuantityError(_BAD_FORM)
    sign, whole, point, fraction, suffix = match[1], match[2], match[3], match[4] or "", match[5]
    if not (whole or fraction or point or suffix):
        raise QuantityError("unable to parse numeric part of quantity")
    digits = int((whole + fraction) or "0")
    shift, form, factor = _scale(suffix)
    nano = _scaled_up(digits * factor, shift + 9 - len(fraction))
    if form == BINARY_SI:
        # Only binary amounts have a limit, and fractions below one show in decimals.
        nano = min(nano, _MAX * _NANO)
        form = DECIMAL_SI if 0 < nano < _NANO else form
    return (-nano if sign == "-" else nano), form


def _scale(suffix: str) -> tuple[int, str, int]:
    """Power of ten, family and factor of a suffix."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], DECIMAL_SI, 1
    if suffix in _BINARY:
        return 0, BINARY_SI, 1 << _BINARY[suffix]
    if _EXPONENT.fullmatch(suffix) and len(suffix) < 8:
        return int(suffix[1:]), DECIMAL_EXPONENT, 1
    raise QuantityError("unable to parse quantity's suffix")


def _scaled_up(digits: int, shift: int) -> int:
    """``digits * 10**shift``, rounded up. Huge shifts are cut: beyond them only the cap or one nano is left."""
    if digits == 0:
        return 0
    if shift >= 0:
        return digits * int(10 ** min(shift, 40))
    if -shift > len(str(digits)) + 1:
        return 1
    return -(-digits // int(10**-shift))


def _text(nano: int, form: str) -> str:
    if nano == 0:
        return "0"
    if form == BINARY_SI and not (-1024 * _NANO < nano < 1024 * _NANO or nano % _NANO):
        return _binary_text(nano // _NANO)
    # What is too small for a binary suffix, or no whole number, shows in decimals.
    return _decimal_text(nano, DECIMAL_SI if form == BINARY_SI else form)


def _away_from_zero(nano: int, unit: int) -> int:
    """``nano / unit``, rounded away from zero."""
    return -(-nano // unit) if nano >= 0 else nano // unit


def _binary_text(units: int) -> str:
    exponent = 0
    while units % 1024 == 0 and exponent < 60:
        units //= 1024
        exponent += 10
    return f"{units}{_BINARY_BY_EXPONENT[exponent]}" if exponent else str(units)


def _decimal_text(nano: int, form: str) -> str:
    exponent = -9
    while nano % 1000 == 0 and exponent < 18:
        nano //= 1000
        exponent += 3
    if form == DECIMAL_EXPONENT:
        while nano % 1000 == 0:
            nano //= 1000
            exponent += 3
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_BY_EXPONENT[exponent]}"


@lru_cache(maxsize=8192)
def canonical(text: str) -> Quantity:
    """The one form in which Kubernetes writes this amount. Raises QuantityError."""
    return Quantity(_text(*_parse(text)))


def parse(text: str) -> Decimal:
    """The exact amount."""
    return Decimal(_parse(text)[0]).scaleb(-9, _EXACT)


def value(text: str) -> int:
    """The amount in whole units, rounded up (away from zero)."""
    return _away_from_zero(_parse(text)[0], _NANO)


def milli(text: str) -> int:
    """The amount in thousandths, rounded up (away from zero)."""
    return _away_from_zero(_parse(text)[0], 10**6)


def compare(a: str, b: str) -> int:
    """-1, 0 or 1."""
    left, right = _parse(a)[0], _parse(b)[0]
    return (left > right) - (left < right)


def add(a: str, b: str) -> Quantity:
    """The sum, in the family of ``a``, or of ``b`` where ``a`` is zero."""
    return _combined(a, b, 1)


def subtract(a: str, b: str) -> Quantity:
    """The difference, in the family of ``a``, or of ``b`` where ``a`` is zero."""
    return _combined(a, b, -1)


def _combined(a: str, b: str, sign: int) -> Quantity:
    (left, form), (right, other) = _parse(a), _parse(b)
    return Quantity(_text(left + sign * right, form if left else other))


def from_decimal(amount: Decimal | int, form: str = DECIMAL_SI) -> Quantity:
    """A quantity in the given family."""
    nano = Decimal(amount).scaleb(9, _EXACT).to_integral_value(ROUND_UP)
    return Quantity(_text(int(nano), form))


def family(text: str) -> str:
    """``DecimalSI``, ``BinarySI`` or ``DecimalExponent``."""
    return _parse(text)[1]
