"""The types of Structs' fields, resolved once, for code that walks plain dicts beside them."""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from tiphys.api.merge import MERGE
from tiphys.api.scalars import Merge, Object

_NO_MERGE = Merge()


class Shape(NamedTuple):
    """What a field holds, looked at through Optional, lists and maps.

    ``form`` is ``object``, ``list``, ``map`` or ``scalar``; ``cls`` is the
    Struct at the bottom of it, if any; ``depth`` counts nested lists and maps.
    """

    form: str
    cls: type[Object] | None
    optional: bool
    type: Any
    item: "Shape | None" = None
    merge: Merge = _NO_MERGE


def shape_of(annotation: Any, merge: Merge = _NO_MERGE) -> Shape:
    optional = False
    origin = get_origin(annotation)
    if origin is Union or origin is UnionType:
        members = [a for a in get_args(annotation) if a is not type(None)]
        optional = len(members) < len(get_args(annotation))
        if len(members) != 1:
            return Shape("scalar", None, optional, annotation, None, merge)
        annotation = members[0]
        origin = get_origin(annotation)
    if origin is Annotated:
        return Shape("scalar", None, optional, annotation, None, merge)
    if origin is list:
        item = shape_of(get_args(annotation)[0])
        return Shape("list", item.cls, optional, annotation, item, merge)
    if origin is dict:
        item = shape_of(get_args(annotation)[1])
        form = "json" if item.type is Any else "map"
        return Shape(form, item.cls, optional, annotation, item, merge)
    if isinstance(annotation, type) and issubclass(annotation, Object):
        return Shape("object", annotation, optional, annotation, None, merge)
    if annotation is Any:
        return Shape("json", None, True, annotation, None, merge)
    return Shape("scalar", None, optional, annotation, None, merge)


def class_name(cls: type) -> str:
    """``core_v1.Pod``: the name that the generated tables use."""
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"


def _read_fields(cls: Any) -> dict[str, Shape]:
    name = class_name(cls)
    found = {}
    for field in msgspec.structs.fields(cls):
        merge = MERGE.get((name, field.encode_name), _NO_MERGE)
        found[field.encode_name] = shape_of(field.type, merge)
    return found


#: Shapes by the field's name on the wire.
fields_of: Callable[[Any], dict[str, Shape]] = cache(_read_fields)


def is_atomic(cls: type[Object]) -> bool:
    """Whether server-side apply treats objects of the class as one value."""
    merge = MERGE.get((class_name(cls), ""))
    return merge is not None and merge.map_type == "atomic"
