"""Bytes to objects and back; the only place that calls msgspec's JSON for API objects.

Decoding makes ``Quantity``, ``Time`` and ``MicroTime`` canonical and leaves out
what Go would (``omission``). Unknown fields, and nulls where a value is
needed, cost a second, slower pass and are dropped; ``strict`` reports them.
"""

import importlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

import msgspec

from tiphys.api import meta_v1
from tiphys.api.kinds import KINDS
from tiphys.api.scalars import Object, Quantity, Time
from tiphys.machinery import documents, errors, gojson, gotypes, omission, quantity, strict, times
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.goformat import json_kind, quote

T = TypeVar("T")
TOO_DEEP: Final = "exceeded max depth"
#: How deep custom objects may be nested; no schema holds built-in ones back more.
DEPTH_MAX: Final = 300
_MSGSPEC_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class DecodeError(ValueError):
    """The bytes are not such an object.

    ``str()`` is Kubernetes' sentence. ``path`` names the field; it is empty for
    syntax errors. ``syntax`` tells broken JSON from JSON of the wrong types.
    """

    def __init__(self, message: str, path: str = "", syntax: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.syntax = syntax


@lru_cache(maxsize=8192)
def _canonical(cls: type, text: str) -> Any:
    if cls is Quantity:
        return quantity.canonical(text.strip())
    return times.canonical_time(text) if cls is Time else times.canonical_micro(text)


def _dec_hook(cls: type, value: Any) -> Any:
    if value.__class__ is str:
        return _canonical(cls, value)
    if value.__class__ is cls:
        return value
    if cls is Quantity and value.__class__ in (int, float):
        return _canonical(cls, str(value))
    if issubclass(cls, CustomObject):
        return _custom(cls, value, [])
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


_encoder: Final = msgspec.json.Encoder(enc_hook=str)
_generic: Final = msgspec.json.Decoder()


def _make_decoder(cls: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls, dec_hook=_dec_hook)


class _Decoders(dict[Any, msgspec.json.Decoder[Any]]):
    """The decoder of each class, made when first asked for."""

    def __missing__(self, cls: Any) -> msgspec.json.Decoder[Any]:
        made = self[cls] = _make_decoder(cls)
        return made


_decoders: Final = _Decoders()
_decoder: Final[Callable[[Any], msgspec.json.Decoder[Any]]] = _decoders.__getitem__


def forget(cls: type[Any]) -> None:
    """Keep nothing of a class that is used no more."""
    _decoders.pop(cls, None)


def _custom(cls: type[CustomObject], value: Any, unknown: list[str]) -> CustomObject:
    """The custom object of plain data, nothing pruned but the metadata, whose unknown fields are reported.

    Raises DecodeError.
    """
    if not isinstance(value, dict):
        raise DecodeError(f"json: cannot unmarshal {json_kind(value)} into Go value of type map[string]any")
    metadata = value.get("metadata")
    try:
        meta = msgspec.convert({} if metadata is None else metadata, meta_v1.ObjectMeta, dec_hook=_dec_hook)
    except msgspec.ValidationError:
        found = strict.problems(meta_v1.ObjectMeta, encode(metadata)) if isinstance(metadata, dict) else []
        unknown += [text.replace(' field "', ' field "metadata.', 1) for text in found]
        meta = _metadata(metadata)
    obj = cls({"apiVersion": value.get("apiVersion") or "", "kind": value.get("kind") or "", "metadata": meta})
    for name, held in value.items():
        if name not in obj:
            obj[name] = held
    return obj


def _bounded(value: Any, data: bytes = b"") -> Any:
    """Plain data that is not nested deeper than all that walks it can follow. Raises DecodeError."""
    if data and data.count(b"{") + data.count(b"[") <= DEPTH_MAX:
        return value
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            held
            for outer in level
            if isinstance(outer, dict | list)
            for held in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise DecodeError(TOO_DEEP, syntax=True)


def _metadata(value: Any) -> meta_v1.ObjectMeta:
    try:
        return convert(meta_v1.ObjectMeta, value)
    except DecodeError as problem:
        path = f"metadata.{problem.path}" if problem.path else "metadata"
        raise DecodeError(str(problem), path) from problem


def decoder(cls: type[T]) -> msgspec.json.Decoder[T]:
    """The bare decoder of a class, for bytes of our own making: raises msgspec's errors, trims nothing."""
    return _decoder(cls)


def decode_own(cls: type[T], data: bytes) -> T:
    """The object in bytes that ``encode`` has made: twice as fast as ``decode``. Raises DecodeError."""
    try:
        obj: T = _decoder(cls).decode(data)
    except _MSGSPEC_ERRORS:
        return convert(cls, decode_builtins(data))
    return obj


def decode_checked(cls: type[T], data: bytes) -> tuple[T, list[str]]:
    """The object, and its unknown and duplicate fields (``strict.problems``). Raises DecodeError."""
    if issubclass(cls, CustomObject):
        unknown: list[str] = []
        custom: Any = _custom(cls, _bounded(decode_builtins(data), data), unknown)
        unknown += cls.prune(custom)
        return custom, [*strict.problems(None, data), *unknown]
    try:
        obj: T = _decoder(cls).decode(data)
    except _MSGSPEC_ERRORS:
        obj = convert(cls, decode_builtins(data))
        return obj, strict.problems(cls, data)
    if omission.may_need_trim(cls, data):
        omission.trim(obj)
    return obj, strict.problems(cls, data) if strict.has_duplicates(data) else []


def decode(cls: type[T], data: bytes) -> T:
    """The object in ``data``. Raises DecodeError."""
    if issubclass(cls, CustomObject):
        return decode_checked(cls, data)[0]
    try:
        obj: T = _decoder(cls).decode(data)
    except _MSGSPEC_ERRORS:
        return convert(cls, decode_builtins(data))
    if omission.may_need_trim(cls, data):
        omission.trim(obj)
    return obj


def decode_fitting(cls: type[T], data: bytes) -> T | None:
    """The object, or None if ``decode`` would have to drop or refuse something."""
    if issubclass(cls, CustomObject):
        unknown: list[str] = []
        custom: Any = _custom(cls, _bounded(decode_builtins(data), data), unknown)
        return None if cls.prune(custom) or unknown else custom
    try:
        obj: T = _decoder(cls).decode(data)
    except _MSGSPEC_ERRORS:
        return None
    if omission.may_need_trim(cls, data):
        omission.trim(obj)
    return obj


def decode_builtins(data: bytes) -> Any:
    """Plain dicts and lists. Raises DecodeError."""
    try:
        return _generic.decode(data)
    except RecursionError:
        raise DecodeError(TOO_DEEP, syntax=True) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if message := gojson.syntax_error(data):
            raise DecodeError(message, syntax=True) from None
        return _decoded_leniently(data, error)


def _decoded_leniently(data: bytes, error: Exception) -> Any:
    """Go replaces bytes that are not UTF-8; msgspec refuses them."""
    try:
        return _generic.decode(data.decode(errors="replace"))
    except msgspec.DecodeError:
        raise DecodeError(str(error), syntax=True) from error


def convert(cls: type[T], builtins: Any) -> T:
    """The object that plain dicts and lists stand for; unknown fields and nulls are dropped. Raises DecodeError."""
    if issubclass(cls, CustomObject):
        custom: Any = _custom(cls, _bounded(builtins), [])
        cls.prune(custom)
        return custom  # type: ignore[no-any-return]
    try:
        obj = _converted(cls, builtins)
        omission.trim(obj)
    except RecursionError:
        raise DecodeError(TOO_DEEP, syntax=True) from None
    return obj


def _converted(cls: type[T], builtins: Any) -> T:
    try:
        return msgspec.convert(builtins, cls, dec_hook=_dec_hook)
    except msgspec.ValidationError:
        return _converted_leniently(cls, strict.prune(cls, builtins))


def _converted_leniently(cls: type[T], pruned: Any) -> T:
    try:
        return msgspec.convert(pruned, cls, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        fault = gotypes.misfit(cls, pruned)
        if fault is None:
            raise DecodeError(str(error)) from error
        raise DecodeError(fault.message, fault.path) from error


def decode_yaml(data: bytes) -> tuple[Any, list[str]]:
    """Plain data of a YAML document and a sentence for each duplicate key. Raises DecodeError."""
    try:
        return documents.parse(data)
    except documents.YamlError as error:
        raise DecodeError(str(error), syntax=True) from error


def encode(obj: Any) -> bytes:
    """Canonical JSON of an object (or of builtins)."""
    return _encoder.encode(obj)


def same(one: bytes, other: bytes) -> bool:
    """Whether the insides of two JSON objects say the same, in whatever order."""
    return bool(_generic.decode(b"{%b" % one) == _generic.decode(b"{%b" % other))


def to_builtins(obj: Any) -> Any:
    """Plain dicts, lists and text."""
    return msgspec.to_builtins(obj, enc_hook=str)


def copy(obj: T) -> T:
    """An equal object that shares nothing with ``obj``."""
    result: T = _decoder(type(obj)).decode(_encoder.encode(obj))
    return result


@cache
def class_of(group: str, version: str, kind: str) -> type[Object]:
    """The class that serves a kind. Raises LookupError."""
    module, _, name = KINDS[group, version, kind].partition(".")
    cls: type[Object] = getattr(importlib.import_module(f"tiphys.api.{module}"), name)
    return cls


def refusal(error: DecodeError | str, version: str, kind: str, expected: str, data: bytes = b"") -> errors.BadRequest:
    """The 400 for a body that is not an ``expected``.

    ``version`` (without its group) and ``kind`` are what the body says it is;
    without a kind the body itself is quoted.
    """
    if kind:
        return errors.BadRequest(f"{kind} in version {quote(version)} cannot be handled as a {expected}: {error}")
    text = f"the object provided is unrecognized (must be of type {expected}): {error} ({_summary(data)})"
    return errors.BadRequest(text)


def unreadable(error: DecodeError, expected: str, data: bytes) -> errors.BadRequest:
    """The 400 for a body that is no JSON (or YAML) at all."""
    if str(error).startswith("yaml: "):
        return refusal(error, "", "", expected, data)
    return refusal(f"couldn't get version/kind; json parse error: {error}", "", "", expected, data)


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    if data.startswith(b"{"):
        shown = data[:30].decode(errors="replace")
        return f"{shown} ..." if len(data) > 30 else shown
    return f"{data[:15].hex()} ..." if len(data) > 15 else data.hex()
