"""Bytes to objects and back; the only place that calls msgspec's JSON for API objects.

Decoding makes ``Quantity``, ``Time`` and ``MicroTime`` canonical. Unknown
fields and nulls where a value is needed cost a second, slower pass and are
dropped, as Kubernetes does; ``strict.problems`` reports them.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from tiphys.api.kinds import KINDS
from tiphys.api.scalars import MicroTime, Object, Quantity, Time
from tiphys.machinery import quantity, times

T = TypeVar("T")


class DecodeError(ValueError):
    """The bytes are not such an object. ``str()`` is Kubernetes' sentence; ``path`` is empty for syntax errors."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


@lru_cache(maxsize=8192)
def _canonical(cls: type, text: str) -> Any:
    if cls is Quantity:
        return quantity.canonical(text)
    return times.canonical_time(text) if cls is Time else times.canonical_micro(text)


def _dec_hook(cls: type, value: Any) -> Any:
    if value.__class__ is str or cls is Quantity and value.__class__ in (int, float):
        return _canonical(cls, value if value.__class__ is str else str(value))
    if value.__class__ is cls:
        return value
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


_encoder: Final = msgspec.json.Encoder(enc_hook=str)
_generic: Final = msgspec.json.Decoder()
encode_builtins: Final[Callable[[Any], bytes]] = _encoder.encode


@lru_cache(maxsize=None)
def decoder(cls: type[T]) -> msgspec.json.Decoder[T]:
    """The strict decoder of a class: raises msgspec's errors on unknown fields."""
    return msgspec.json.Decoder(cls, dec_hook=_dec_hook)


def decode(cls: type[T], data: bytes) -> T:
    """The object in ``data``. Raises DecodeError."""
    try:
        return decoder(cls).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        from tiphys.machinery import strict

        return convert(cls, strict.prune(cls, decode_builtins(data)))


def decode_builtins(data: bytes) -> Any:
    """Plain dicts and lists. Raises DecodeError."""
    try:
        return _generic.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(str(error)) from error


def convert(cls: type[T], builtins: Any) -> T:
    """The object that plain dicts and lists stand for. Raises DecodeError."""
    try:
        return msgspec.convert(builtins, cls, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        raise DecodeError(str(error)) from error


def encode(obj: Any) -> bytes:
    """Canonical JSON of an object (or of builtins)."""
    return _encoder.encode(obj)


def to_builtins(obj: Any) -> Any:
    """Plain dicts, lists and text."""
    return msgspec.to_builtins(obj, enc_hook=str)


def copy(obj: T) -> T:
    """An equal object that shares nothing with ``obj``."""
    cls: type[T] = type(obj)
    return decoder(cls).decode(_encoder.encode(obj))


@lru_cache(maxsize=None)
def class_of(group: str, version: str, kind: str) -> type[Object]:
    """The class that serves a kind. Raises LookupError."""
    module, _, name = KINDS[group, version, kind].partition(".")
    cls: type[Object] = getattr(importlib.import_module(f"tiphys.api.{module}"), name)
    return cls


__all__ = [
    "DecodeError",
    "MicroTime",
    "class_of",
    "convert",
    "copy",
    "decode",
    "decode_builtins",
    "decoder",
    "encode",
    "encode_builtins",
    "to_builtins",
]
