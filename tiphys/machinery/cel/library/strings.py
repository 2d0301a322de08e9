"""Strings. Source: cel-go's ``ext.Strings`` version 2, by behaviour."""

import math
from collections.abc import Sequence
from typing import Any, Final

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.library import formatting
from tiphys.machinery.cel.limits import STRING_FACTOR

#: What Go's ``unicode.IsSpace`` and CEL's definition call white space.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_LOWER: Final = {code: code + 32 for code in range(65, 91)}
_UPPER: Final = {code: code - 32 for code in range(97, 123)}


def _char_at(text: str, at: int) -> str:
    if at == len(text):
        return ""
    if 0 <= at < len(text):
        return text[at]
    raise EvaluationError(f"index out of range: {at}")


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if part == "" and offset <= len(text) and offset >= 0:
        return offset
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return text.rfind(part)
    if not 0 <= offset <= len(text):
        raise EvaluationError(f"index out of range: {offset}")
    return offset if part == "" else text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator == "":
        if limit < 0 or limit >= len(text):
            return list(text)
        return [*text[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        if not 0 <= start <= len(text):
            raise EvaluationError(f"index out of range: {start}")
        return text[start:]
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for at in (start, end):
        if not 0 <= at <= len(text):
            raise EvaluationError(f"index out of range: {at}")
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    if not all(isinstance(item, str) for item in items):
        raise EvaluationError("no such overload")
    return separator.join(items)


_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def _of(factor: float) -> Any:
    return lambda args, result: math.ceil(len(args[0]) * factor * STRING_FACTOR)


_once, _twice = _of(1), _of(2)


def _joined(args: Sequence[Any], result: Any) -> int:
    return math.ceil(len(result) * 2 * STRING_FACTOR)


def _traversal(args: Sequence[Any], result: Any) -> int:
    return int(len(args[0].encode()) * STRING_FACTOR)


def _formatted(args: Sequence[Any], result: Any) -> int:
    return math.ceil(len(args[0]) * STRING_FACTOR)


ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    (".charAt", "string_char_at_int", "string, int -> string", _char_at),
    (".indexOf", "string_index_of_string", "string, string -> int", _index_of, _traversal),
    (".indexOf", "string_index_of_string_int", "string, string, int -> int", _index_of, _traversal),
    (".lastIndexOf", "string_last_index_of_string", "string, string -> int", _last_index_of, _traversal),
    (".lastIndexOf", "string_last_index_of_string_int", "string, string, int -> int", _last_index_of, _traversal),
    (".lowerAscii", "string_lower_ascii", "string -> string", lambda text: text.translate(_LOWER), _once),
    (".upperAscii", "string_upper_ascii", "string -> string", lambda text: text.translate(_UPPER), _once),
    (".replace", "string_replace_string_string", "string, string, string -> string", _replace, _twice),
    (".replace", "string_replace_string_string_int", "string, string, string, int -> string", _replace, _twice),
    (".split", "string_split_string", "string, string -> list<string>", _split, _twice),
    (".split", "string_split_string_int", "string, string, int -> list<string>", _split, _twice),
    (".substring", "string_substring_int", "string, int -> string", _substring, _once),
    (".substring", "string_substring_int_int", "string, int, int -> string", _substring, _once),
    (".trim", "string_trim", "string -> string", lambda text: text.strip(_SPACE), _once),
    (".join", "list_join", "list<string> -> string", _join, _joined),
    (".join", "list_join_string", "list<string>, string -> string", _join, _joined),
    (".format", "string_format", "string, list<dyn> -> string", formatting.formatted, _formatted),
    ("strings.quote", "strings_quote", "string -> string", quote, _once),
)
