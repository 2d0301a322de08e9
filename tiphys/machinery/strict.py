"""Field validation: which fields of a document the type does not know or finds twice."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tiphys.api.scalars import MicroTime, Quantity, Time
from tiphys.machinery import shapes
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.shapes import Shape

#: Kubernetes reports no more than this many.
MAX_PROBLEMS: Final = 100
_ANY: Final = shapes.shape_of(Any)
_generic: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


def prune(cls: type[Any], builtins: Any) -> Any:
    """A copy without unknown fields and without nulls, as Go's decoder leaves them out."""
    if not isinstance(builtins, dict):
        return builtins
    known = shapes.fields_of(cls)
    return {
        name: _pruned(known[name], value) for name, value in builtins.items() if value is not None and name in known
    }


def _pruned(shape: Shape, value: Any) -> Any:
    if shape.form == "object":
        assert shape.cls is not None
        return prune(shape.cls, value)
    if shape.form == "list" and isinstance(value, list):
        assert shape.item is not None
        return [_pruned(shape.item, _zero(shape.item) if item is None else item) for item in value]
    if shape.form == "map" and isinstance(value, dict):
        assert shape.item is not None
        return {k: _pruned(shape.item, _zero(shape.item) if v is None else v) for k, v in value.items()}
    return value


def _zero(shape: Shape) -> Any:
    """What Go makes of a null inside a list or map: the zero value."""
    if shape.form in ("object", "map"):
        return {}
    if shape.form == "list":
        return []
    zeros: dict[Any, Any] = {str: "", bytes: "", bool: False, float: 0.0, Quantity: "0", Time: None, MicroTime: None}
    return None if shape.form == "json" else zeros.get(shape.type, 0)


def problems(cls: type[Any] | None, data: bytes) -> list[str]:
    """Unknown and duplicate fields in Kubernetes' words and order; empty if there are none.

    ``cls`` None means that any field is known (custom resources). ``data`` must
    be JSON that decodes.
    """
    if cls is not None and issubclass(cls, CustomObject):
        from tiphys.machinery import codec  # noqa: PLC0415  # codec imports this module

        return codec.decode_checked(cls, data)[1]
    if not has_duplicates(data) and (cls is None or fits(cls, data)):
        return []
    found: dict[str, None] = {}
    shape = shapes.shape_of(cls) if cls is not None else _ANY
    _walk(shape, json.loads(data, object_pairs_hook=_Pairs), found)
    return list(found)


def fits(cls: type[Any], data: bytes) -> bool:
    """Whether there is no unknown field, as far as the fast decoder can tell."""
    from tiphys.machinery import codec  # noqa: PLC0415  # codec imports this module

    try:
        codec.decoder(cls).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def has_duplicates(data: bytes) -> bool:
    r"""Whether some object may hold a key twice.

    Decoding drops all but one of them and with it at least two quotes, which
    then are missing when the rest is encoded again. Only ``\u0022`` changes
    the count of quotes otherwise, so documents that hold it are taken for
    suspicious.
    """
    if b"\\u0022" in data:
        return True
    return _encode(_generic.decode(data)).count(b'"') != data.count(b'"')


class _Pairs(list[tuple[str, Any]]):
    """An object with all its fields, in order."""


def _walk(shape: Shape, value: Any, found: dict[str, None]) -> None:
    """Report all of ``value`` in document order, without a call for each level: nesting is the client's choice."""
    stack = [_children(shape, value, "", found)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif len(found) < MAX_PROBLEMS:
            stack.append(_children(*child, found))


def _children(shape: Shape, value: Any, path: str, found: dict[str, None]) -> Iterator[tuple[Shape, Any, str]]:
    """What stands in ``value``, reporting what does not belong there on the way."""
    if isinstance(value, _Pairs):
        yield from _fields(shape, value, path, found)
    elif isinstance(value, list) and shape.form in ("list", "json"):
        item = shape.item if shape.form == "list" and shape.item else _ANY
        for index, entry in enumerate(value):
            yield item, entry, f"{path}[{index}]"


def _fields(shape: Shape, value: _Pairs, path: str, found: dict[str, None]) -> Iterator[tuple[Shape, Any, str]]:
    if shape.form not in ("object", "map", "json"):
        return
    known = shapes.fields_of(shape.cls) if shape.form == "object" and shape.cls else None
    other = shape.item if shape.form == "map" and shape.item else _ANY
    seen: set[str] = set()
    for name, item in value:
        below = f"{path}.{name}" if path else name
        field = known.get(name) if known is not None else other
        if field is None:
            _report(f'unknown field "{below}"', found)
            continue
        if name in seen:
            _report(f'duplicate field "{below}"', found)
        seen.add(name)
        yield field, item, below


def _report(text: str, found: dict[str, None]) -> None:
    if len(found) < MAX_PROBLEMS:
        found[text] = None


def yaml_problems(cls: type[Any] | None, builtins: Any, duplicates: list[str]) -> list[str]:
    """The same for YAML that ``documents.parse`` has read."""
    found: list[str] = []
    if duplicates:
        found.append("yaml: unmarshal errors:\n  " + "\n  ".join(duplicates))
    if cls is not None:
        found += problems(cls, _encode(builtins))
    return found
