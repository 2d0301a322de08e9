"""CEL's own functions and operators. Source: the CEL language definition, "List of Standard Definitions"."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from tiphys.machinery.cel import numbers, operators, times
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.library import regex
from tiphys.machinery.cel.limits import STRING_FACTOR
from tiphys.machinery.cel.values import Duration, TypeValue, UInt, type_name


def _tenth(*sizes: int) -> int:
    return math.ceil(sum(sizes) * STRING_FACTOR)


def _first(args: Sequence[Any], result: Any) -> int:
    return _tenth(len(args[0]))


def _both(args: Sequence[Any], result: Any) -> int:
    return _tenth(len(args[0]) + len(args[1]))


def _product(args: Sequence[Any], result: Any) -> int:
    return _tenth(len(args[0])) * _tenth(len(args[1]))


def _special(*args: Any) -> Any:
    """Stands for what the compiler does itself."""
    raise AssertionError


def _faulty(parse: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    def run(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise EvaluationError(str(error)) from None

    run.__name__ = what
    return run


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _join(a: list[Any], b: list[Any]) -> list[Any]:
    """``+`` of lists: sets keep each item once, keyed lists replace items of the same key."""
    return operators.joined(a, b)


def _calendar(part: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda value, zone="": part(times.local(value, zone))


_PARTS: Final[dict[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDate": lambda at: at.day,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
    "getMilliseconds": lambda at: at.microsecond // 1000,
}
_UNITS: Final = {
    "getHours": 3600 * times.SECOND,
    "getMinutes": 60 * times.SECOND,
    "getSeconds": times.SECOND,
    "getMilliseconds": 10**6,
}

_ORDERED: Final = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_CROSS: Final = [(a, b) for a in ("int", "uint", "double") for b in ("int", "uint", "double") if a != b]
_IDS: Final = {"int": "int64", "uint": "uint64"}


def _comparisons() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for operator, name in (("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals")):
        rows += [(operator, f"{name}_{_IDS.get(kind, kind)}", f"{kind}, {kind} -> bool", _special) for kind in _ORDERED]
        rows += [
            (operator, f"{name}_{_IDS.get(a, a)}_{_IDS.get(b, b)}", f"{a}, {b} -> bool", _special) for a, b in _CROSS
        ]
    return rows


def _accessors() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name, part in _PARTS.items():
        run = _calendar(part)
        rows.append((f".{name}", f"timestamp_{name}", "timestamp -> int", run))
        rows.append((f".{name}", f"timestamp_{name}_with_tz", "timestamp, string -> int", run))
    for name, unit in _UNITS.items():
        run_duration = lambda value, unit=unit: numbers.quotient(value, unit)
        rows.append((f".{name}", f"duration_{name}", "duration -> int", run_duration))
    return rows


def _type(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    ("_?_:_", "conditional", "bool, A, A -> A", _special),
    ("_&&_", "logical_and", "bool, bool -> bool", _special),
    ("_||_", "logical_or", "bool, bool -> bool", _special),
    ("!_", "logical_not", "bool -> bool", _special),
    ("@not_strictly_false", "not_strictly_false", "bool -> bool", _special),
    ("_==_", "equals", "A, A -> bool", _special),
    ("_!=_", "not_equals", "A, A -> bool", _special),
    ("@in", "in_list", "A, list<A> -> bool", _special),
    ("@in", "in_map", "A, map<A, B> -> bool", _special),
    ("_[_]", "index_list", "list<A>, int -> A", _special),
    ("_[_]", "index_map", "map<A, B>, A -> B", _special),
    ("_[_]", "optional_list_index_int", "optional<list<A>>, int -> optional<A>", _special),
    ("_[_]", "optional_map_index_value", "optional<map<A, B>>, A -> optional<B>", _special),
    ("_[?_]", "list_optindex_optional_int", "list<A>, int -> optional<A>", _special),
    ("_[?_]", "map_optindex_optional_value", "map<A, B>, A -> optional<B>", _special),
    ("_[?_]", "optional_list_optindex_optional_int", "optional<list<A>>, int -> optional<A>", _special),
    ("_[?_]", "optional_map_optindex_optional_value", "optional<map<A, B>>, A -> optional<B>", _special),
    ("cel.@mapInsert", "map_insert", "map<A, B>, A, B -> map<A, B>", _special),
    ("cel.@mapInsert", "map_insert_map", "map<A, B>, map<A, B> -> map<A, B>", _special),
    ("_+_", "add_int64", "int, int -> int", lambda a, b: numbers.fit_int(a + b)),
    ("_+_", "add_uint64", "uint, uint -> uint", lambda a, b: numbers.fit_uint(a + b)),
    ("_+_", "add_double", "double, double -> double", lambda a, b: a + b),
    ("_+_", "add_string", "string, string -> string", lambda a, b: a + b, _both),
    ("_+_", "add_bytes", "bytes, bytes -> bytes", lambda a, b: a + b, _both),
    ("_+_", "add_list", "list<A>, list<A> -> list<A>", _join),
    ("_+_", "add_duration_duration", "duration, duration -> duration", lambda a, b: times.duration(int(a) + b)),
    ("_+_", "add_duration_timestamp", "duration, timestamp -> timestamp", lambda a, b: times.timestamp(int(a) + b)),
    ("_+_", "add_timestamp_duration", "timestamp, duration -> timestamp", lambda a, b: times.timestamp(int(a) + b)),
    ("_-_", "subtract_int64", "int, int -> int", lambda a, b: numbers.fit_int(a - b)),
    ("_-_", "subtract_uint64", "uint, uint -> uint", lambda a, b: numbers.fit_uint(a - b)),
    ("_-_", "subtract_double", "double, double -> double", lambda a, b: a - b),
    (
        "_-_",
        "subtract_timestamp_timestamp",
        "timestamp, timestamp -> duration",
        lambda a, b: times.duration(int(a) - b),
    ),
    (
        "_-_",
        "subtract_timestamp_duration",
        "timestamp, duration -> timestamp",
        lambda a, b: times.timestamp(int(a) - b),
    ),
    ("_-_", "subtract_duration_duration", "duration, duration -> duration", lambda a, b: times.duration(int(a) - b)),
    ("_*_", "multiply_int64", "int, int -> int", lambda a, b: numbers.fit_int(a * b)),
    ("_*_", "multiply_uint64", "uint, uint -> uint", lambda a, b: numbers.fit_uint(a * b)),
    ("_*_", "multiply_double", "double, double -> double", lambda a, b: a * b),
    ("_/_", "divide_int64", "int, int -> int", lambda a, b: numbers.fit_int(numbers.quotient(a, b))),
    ("_/_", "divide_uint64", "uint, uint -> uint", lambda a, b: UInt(numbers.quotient(a, b))),
    ("_/_", "divide_double", "double, double -> double", numbers.divide),
    ("_%_", "modulo_int64", "int, int -> int", numbers.remainder),
    ("_%_", "modulo_uint64", "uint, uint -> uint", lambda a, b: UInt(numbers.remainder(a, b))),
    ("-_", "negate_int64", "int -> int", lambda a: numbers.fit_int(-a)),
    ("-_", "negate_double", "double -> double", lambda a: -a),
    *_comparisons(),
    ("size", "size_string", "string -> int", len),
    ("size", "size_bytes", "bytes -> int", len),
    ("size", "size_list", "list<A> -> int", len),
    ("size", "size_map", "map<A, B> -> int", len),
    (".size", "string_size", "string -> int", len),
    (".size", "bytes_size", "bytes -> int", len),
    (".size", "list_size", "list<A> -> int", len),
    (".size", "map_size", "map<A, B> -> int", len),
    (".contains", "contains_string", "string, string -> bool", lambda a, b: b in a, _product),
    (".startsWith", "starts_with_string", "string, string -> bool", lambda a, b: a.startswith(b), _first),
    (".endsWith", "ends_with_string", "string, string -> bool", lambda a, b: a.endswith(b), _first),
    (".matches", "matches_string", "string, string -> bool", regex.matches, regex.charge),
    ("matches", "matches", "string, string -> bool", regex.matches, regex.charge),
    ("type", "type", "A -> type", _type),
    ("dyn", "to_dyn", "A -> dyn", _special),
    ("bool", "bool_to_bool", "bool -> bool", bool),
    ("bool", "string_to_bool", "string -> bool", numbers.bool_of_string),
    ("bytes", "bytes_to_bytes", "bytes -> bytes", lambda a: a),
    ("bytes", "string_to_bytes", "string -> bytes", lambda a: a.encode(), _first),
    ("double", "double_to_double", "double -> double", lambda a: a),
    ("double", "int64_to_double", "int -> double", float),
    ("double", "uint64_to_double", "uint -> double", float),
    ("double", "string_to_double", "string -> double", numbers.double_of_string),
    ("duration", "duration_to_duration", "duration -> duration", lambda a: a),
    ("duration", "int64_to_duration", "int -> duration", Duration),
    ("duration", "string_to_duration", "string -> duration", _faulty(times.parse_duration, "duration")),
    ("int", "int64_to_int64", "int -> int", lambda a: a),
    ("int", "uint64_to_int64", "uint -> int", lambda a: numbers.fit_int(int(a))),
    ("int", "double_to_int64", "double -> int", numbers.int_of_double),
    ("int", "string_to_int64", "string -> int", numbers.int_of_string),
    ("int", "timestamp_to_int64", "timestamp -> int", lambda a: int(a) // times.SECOND),
    ("int", "duration_to_int64", "duration -> int", int),
    ("uint", "uint64_to_uint64", "uint -> uint", lambda a: a),
    ("uint", "int64_to_uint64", "int -> uint", numbers.fit_uint),
    ("uint", "double_to_uint64", "double -> uint", numbers.uint_of_double),
    ("uint", "string_to_uint64", "string -> uint", numbers.uint_of_string),
    ("string", "string_to_string", "string -> string", lambda a: a),
    ("string", "bool_to_string", "bool -> string", lambda a: "true" if a else "false"),
    ("string", "int64_to_string", "int -> string", lambda a: str(int(a))),
    ("string", "uint64_to_string", "uint -> string", lambda a: str(int(a))),
    ("string", "double_to_string", "double -> string", numbers.double_text),
    ("string", "bytes_to_string", "bytes -> string", _text_of_bytes, _first),
    ("string", "timestamp_to_string", "timestamp -> string", times.format_timestamp),
    ("string", "duration_to_string", "duration -> string", times.format_duration),
    ("timestamp", "timestamp_to_timestamp", "timestamp -> timestamp", lambda a: a),
    ("timestamp", "int64_to_timestamp", "int -> timestamp", lambda a: times.timestamp(a * times.SECOND)),
    ("timestamp", "string_to_timestamp", "string -> timestamp", _faulty(times.parse_timestamp, "timestamp")),
    *_accessors(),
)
