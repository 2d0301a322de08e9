"""The base class of every API object and the scalar types that need more than JSON's.

``Quantity``, ``Time`` and ``MicroTime`` are strings in canonical form. The codec
(``tiphys.machinery.codec``) makes them canonical while decoding, so whoever
holds one may compare it as a string.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec

Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
IntOrString: TypeAlias = int | str
JSON: TypeAlias = Any
JSONObject: TypeAlias = dict[str, Any]


class Quantity(str):
    """A resource amount such as ``500m`` or ``64Mi``, in canonical form."""

    __slots__ = ()


class Time(str):
    """A UTC instant with whole seconds, RFC 3339: ``2026-01-31T08:00:00Z``."""

    __slots__ = ()


class MicroTime(str):
    """A UTC instant with six fractional digits: ``2026-01-31T08:00:00.000000Z``."""

    __slots__ = ()


class Object(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
):
    """Base of all API Structs: keyword-only, ``None`` means absent.

    Unknown fields are refused while decoding: field validation then looks for
    all of them on a slower path, so that the common case costs nothing.
    API objects are trees, never cyclic, hence invisible to the garbage collector.
    """


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """How patches treat one field (or, for ``map_type`` on a class, the whole object)."""

    list_type: str | None = None
    map_keys: tuple[str, ...] = ()
    patch_strategy: str | None = None
    merge_key: str | None = None
    map_type: str | None = None


def constant(default: Any) -> Any:
    """A field that is always written: ``omit_defaults`` would drop a plain default."""
    return msgspec.field(default_factory=lambda: default)


def value(factory: Callable[[], Any]) -> Any:
    """A field holding an object or a collection that is written even when empty."""
    return msgspec.field(default_factory=factory)
