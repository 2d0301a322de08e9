"""Why a document does not fit its type, in the words of Go's JSON decoder."""

import base64
import binascii
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

from tiphys.api.scalars import MicroTime, Object, Quantity, Time
from tiphys.machinery import quantity, shapes, times
from tiphys.machinery.goformat import json_kind, number
from tiphys.machinery.shapes import Shape


class Misfit(NamedTuple):
    """The sentence, and the path with indexes (``spec.containers[0].name``)."""

    message: str
    path: str
    #: The same where no JSON is decoded and a document in memory is converted, as after a strategic merge.
    converting: str = ""


def misfit(cls: type[Any], value: Any) -> Misfit | None:
    """The first part of ``value``, in document order, that ``cls`` cannot hold; None if all fits."""
    if not isinstance(value, dict):
        kind = json_kind(value)
        return Misfit(f"json: cannot unmarshal {kind} into Go value of type {type_name(shapes.shape_of(cls))}", "")
    return _in_object(cls, value, (), "")


def type_name(shape: Shape) -> str:
    """A type as Go prints it, as far as ours tell: ``int32``, ``[]v1.Container``, ``map[string]string``."""
    if shape.form == "object":
        assert shape.cls is not None
        version = shape.cls.__module__.rpartition("_")[2].rpartition(".")[2]
        return f"{version}.{shape.cls.__name__}"
    if shape.form == "list":
        assert shape.item is not None
        return "[]" + type_name(shape.item)
    if shape.form in ("map", "json"):
        return "map[string]" + ("interface {}" if shape.form == "json" or shape.item is None else type_name(shape.item))
    kind, limit = _scalar(shape.type)
    if kind is int:
        return "int32" if limit and limit < 2**32 else "int64"
    names = {str: "string", bool: "bool", float: "float64", bytes: "[]uint8", Time: "string", MicroTime: "string"}
    # What is left is IntOrString, whose decoder tries a number.
    return names.get(kind, "int32")


def _scalar(annotation: Any) -> tuple[Any, int | None]:
    """The bare type and, for numbers, the upper bound."""
    if get_origin(annotation) is Annotated:
        base, *metas = get_args(annotation)
        return base, next((int(m.le) for m in metas if isinstance(m, msgspec.Meta) and m.le is not None), None)
    return annotation, None


def _in_object(cls: type[Object], value: dict[str, Any], names: tuple[str, ...], path: str) -> Misfit | None:
    known = shapes.fields_of(cls)
    for name, item in value.items():
        shape = known.get(name)
        if shape is None or item is None:
            continue
        below = f"{path}.{name}" if path else name
        found = _in_value(cls, shape, item, (*names, name), below)
        if found is not None:
            return found
    return None


def _in_value(cls: type[Object], shape: Shape, value: Any, names: tuple[str, ...], path: str) -> Misfit | None:
    if value is None:
        return None
    if shape.form == "object":
        if not isinstance(value, dict):
            return _wrong(cls, shape, value, names, path)
        assert shape.cls is not None
        return _in_object(shape.cls, value, names, path)
    if shape.form == "list":
        if not isinstance(value, list):
            return _wrong(cls, shape, value, names, path)
        assert shape.item is not None
        each = ((shape.item, item, f"{path}[{index}]") for index, item in enumerate(value))
    elif shape.form == "map":
        if not isinstance(value, dict):
            return _wrong(cls, shape, value, names, path)
        assert shape.item is not None
        each = ((shape.item, item, f"{path}.{key}") for key, item in value.items())
    elif shape.form == "json":
        fits = isinstance(value, dict) or get_origin(shape.type) is not dict
        return None if fits else _wrong(cls, shape, value, names, path)
    else:
        return _in_scalar(cls, shape, value, names, path)
    return next((found for s, item, p in each if (found := _in_value(cls, s, item, names, p)) is not None), None)


def _in_scalar(cls: type[Object], shape: Shape, value: Any, names: tuple[str, ...], path: str) -> Misfit | None:
    kind, limit = _scalar(shape.type)
    if kind is Quantity:
        return _unparsed(quantity.canonical, value if isinstance(value, str) else _number_text(value), path)
    if kind in (Time, MicroTime, str, bytes):
        if not isinstance(value, str):
            return _wrong(cls, shape, value, names, path)
        if kind is bytes:
            return _not_base64(value, path)
        return None if kind is str else _unparsed(times.parse, value, path)
    if kind is bool:
        return None if isinstance(value, bool) else _wrong(cls, shape, value, names, path)
    if isinstance(value, str) and kind not in (int, float):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong(cls, shape, value, names, path)
    if kind is float:
        return None
    limit = limit if kind is int and limit else 2**31 - 1
    fits = isinstance(value, int) and -limit - 1 <= value <= limit
    return None if fits else _wrong(cls, shape, value, names, path, f"number {number(value)}")


def _number_text(value: Any) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else "x"


def _wrong(cls: type[Object], shape: Shape, value: Any, names: tuple[str, ...], path: str, kind: str = "") -> Misfit:
    field = f"{cls.__name__}.{'.'.join(names)}"
    kind = kind or json_kind(value)
    message = f"json: cannot unmarshal {kind} into Go struct field {field} of type {type_name(shape)}"
    return Misfit(message, path, _unconverted(shape, value))


def _unconverted(shape: Shape, value: Any) -> str:
    """Why ``value`` cannot become such a field, as apimachinery's converter says it."""
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "slice", dict: "map"}
    source = names[type(value)]
    if shape.form == "object":
        return f"cannot restore struct from: {source}"
    if shape.form != "scalar":
        return f"cannot restore {'slice' if shape.form == 'list' else 'map'} from {source}"
    kind, _ = _scalar(shape.type)
    if kind not in (str, bool, int, float):
        return ""
    target = type_name(shape)
    # In Go a whole number converts to text, as a character; the converter refuses that by name.
    convertible = (source == "int64" and kind is str) or (source == "float64" and kind is int)
    return f"cannot convert {source} to {target}" if convertible else f"unrecognized type: {target}"


def _unparsed(parse: Any, text: str, path: str) -> Misfit | None:
    try:
        parse(text)
    except ValueError as error:
        return Misfit(str(error), path)
    return None


def _not_base64(text: str, path: str) -> Misfit | None:
    clean = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(clean, validate=True)
    except (binascii.Error, ValueError):
        good = next((i for i, c in enumerate(text) if not (c.isascii() and (c.isalnum() or c in "+/=\r\n"))), None)
        position = good if good is not None else len(text) // 4 * 4
        return Misfit(f"illegal base64 data at input byte {position}", path)
    return None
