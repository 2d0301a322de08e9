"""``"%s is %d".format([…])``. Source: cel-go's ``ext.Strings``, "Format", by behaviour."""

import math
import re
from typing import Any, Final

from tiphys.machinery.cel import numbers, times
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.values import Duration, Timestamp, TypeValue, UInt, from_key, type_name

_CLAUSE: Final = re.compile(r"%(%|(?:\.([0-9]{0,6}))?(.)?)", re.DOTALL)
_MAX_PRECISION: Final = 1000
_MAX_LENGTH: Final = 10_000_000


def formatted(text: str, args: list[Any]) -> str:
    """Raises EvaluationError."""
    parts: list[str] = []
    length, at, used = 0, 0, 0
    for match in _CLAUSE.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        if match[1] == "%":
            parts.append("%")
            continue
        if used >= len(args):
            raise EvaluationError(f"index {used} out of range")
        parts.append(_clause(match[3] or "", match[2], args[used]))
        used += 1
        length += len(parts[-1])
        if length > _MAX_LENGTH:
            raise EvaluationError("formatted string is too long")
    return "".join([*parts, text[at:]])


def _clause(verb: str, precision: str | None, value: Any) -> str:
    digits = int(precision) if precision else 6
    if digits > _MAX_PRECISION:
        raise EvaluationError(f"precision {digits} exceeds maximum of {_MAX_PRECISION}")
    run = _VERBS.get(verb)
    if run is None:
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    return str(run(value, digits))


def _refused(clause: str, value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(
        f"error during formatting: {clause} clause can only be used on {wanted}, was given {type_name(value)}"
    )


def _text(value: Any, digits: int = 6) -> str:
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind is int or kind is UInt:
        return str(int(value))
    if kind is float:
        return "Infinity" if value == math.inf else "-Infinity" if value == -math.inf else _positional(value)
    if kind is Duration:
        return times.format_duration(value)
    if kind is Timestamp:
        return times.format_timestamp(value)
    if kind is bytes:
        return str(value.decode(errors="replace"))
    if kind is TypeValue:
        return str(value.name)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        pairs = sorted((_text(from_key(key)), _text(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    raise _refused(
        "string", value, "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
    )


def _positional(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    text = format(value, "f") if value.is_integer() else repr(value)
    return numbers.double_text(value) if "e" in text else text.rstrip("0").rstrip(".") if "." in text else text


def _decimal(value: Any, digits: int) -> str:
    if type(value) in (int, UInt):
        return str(int(value))
    if type(value) is float and not math.isfinite(value):
        return _text(value)
    raise _refused("decimal", value, "integers")


def _binary(value: Any, digits: int) -> str:
    if type(value) is bool:
        return "1" if value else "0"
    if type(value) in (int, UInt):
        return format(int(value), "b")
    raise _refused("binary", value, "integers and bools")


def _octal(value: Any, digits: int) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "o")
    raise _refused("octal", value, "integers")


def _hex(value: Any, digits: int) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "x")
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    raise _refused("hex", value, "integers, byte buffers, and strings")


def _fixed(value: Any, digits: int) -> str:
    if type(value) not in (int, UInt, float):
        raise _refused("fixed-point", value, "doubles")
    return f"{float(value):.{digits}f}" if math.isfinite(value) else _text(float(value))


def _scientific(value: Any, digits: int) -> str:
    if type(value) not in (int, UInt, float):
        raise _refused("scientific", value, "doubles")
    return f"{float(value):.{digits}e}" if math.isfinite(value) else _text(float(value))


_VERBS: Final[dict[str, Any]] = {
    "s": _text,
    "d": _decimal,
    "b": _binary,
    "o": _octal,
    "x": _hex,
    "X": lambda value, digits: _hex(value, digits).upper(),
    "f": _fixed,
    "e": _scientific,
}
