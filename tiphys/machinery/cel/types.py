"""Types of expressions, and which may stand for which.

Source: the CEL language definition, "Gradual type checking"; cel-go's unification, by behaviour.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple


class Field(NamedTuple):
    """A field of an object type: its type and what it is called in the data."""

    type: "Type"
    key: str


class Type:
    """``kind`` with ``params`` (element; key and value) and ``name`` of object and opaque types.

    ``fields`` are an object's by CEL's names. ``size`` (most elements, characters or entries there may be) and
    ``convert`` (from JSON's value to the type's) come with types made from schemas and do not take part in comparison.
    """

    __slots__ = ("convert", "fields", "kind", "name", "params", "size")

    def __init__(
        self,
        kind: str,
        name: str = "",
        params: Sequence["Type"] = (),
        *,
        fields: Mapping[str, Field] | None = None,
        size: int | None = None,
        convert: Callable[[Any], Any] | None = None,
    ) -> None:
        self.kind = kind
        self.name = name or kind
        self.params = tuple(params)
        self.fields = fields
        self.size = size
        self.convert = convert

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.params == other.params
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.params))

    def __str__(self) -> str:
        if self.kind == "type":
            return f"type({self.params[0]})" if self.params else "type"
        if self.params:
            return f"{self.name}({', '.join(map(str, self.params))})"
        return self.name

    __repr__ = __str__


DYN: Final = Type("dyn")
ERROR: Final = Type("error", "!error!")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
DURATION: Final = Type("duration")
TIMESTAMP: Final = Type("timestamp")
TYPE: Final = Type("type")


def list_of(element: Type, **more: Any) -> Type:
    return Type("list", "list", (element,), **more)


def map_of(key: Type, value: Type, **more: Any) -> Type:
    return Type("map", "map", (key, value), **more)


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of(target: Type) -> Type:
    return Type("type", "type", (target,))


def opaque(name: str) -> Type:
    return Type("opaque", name)


def object_of(name: str, fields: Mapping[str, Type]) -> Type:
    """An object whose fields are called the same in CEL and in the data."""
    return Type("object", name, fields={key: Field(type_, key) for key, type_ in fields.items()})


def is_dyn(type_: Type) -> bool:
    return type_.kind in ("dyn", "error")


def is_optional(type_: Type) -> bool:
    return type_.kind == "opaque" and type_.name == "optional_type"


Bindings = dict[str, Type]
_NULLABLE: Final = frozenset({"null", "opaque", "object", "duration", "timestamp"})


def assignable(bindings: Bindings, given: Type, wanted: Type) -> bool:
    """Whether ``given`` may stand where ``wanted`` is; binds type parameters as it goes."""
    if given is wanted or (given.kind == "param" and given == wanted):
        return True
    if wanted.kind == "param":
        valid, bound = _may_bind(bindings, given, wanted)
        if valid:
            return True
        if bound:
            return False
    if given.kind == "param":
        return _may_bind(bindings, wanted, given)[0]
    if is_dyn(given) or is_dyn(wanted):
        return True
    if given.kind == "null":
        return wanted.kind in _NULLABLE
    if given.kind != wanted.kind:
        return False
    if given.kind == "type":
        return True
    if given.kind in ("object", "opaque") and given.name != wanted.name:
        return False
    return len(given.params) == len(wanted.params) and all(
        assignable(bindings, one, other) for one, other in zip(given.params, wanted.params, strict=True)
    )


def _may_bind(bindings: Bindings, given: Type, param: Type) -> tuple[bool, bool]:
    """Whether the parameter can be ``given``, and whether it was bound before."""
    bound = bindings.get(param.name)
    if bound is not None:
        if bound == given:
            return True, True
        if assignable(bindings, given, bound):
            bindings[param.name] = most_general(given, bound)
            return True, True
        return False, True
    if _absent(bindings, param, given):
        bindings[param.name] = given
        return True, False
    return False, False


def _absent(bindings: Bindings, param: Type, within: Type) -> bool:
    if param == within:
        return False
    if within.kind == "param":
        bound = bindings.get(within.name)
        return bound is None or _absent(bindings, param, bound)
    return all(_absent(bindings, param, inner) for inner in within.params)


def most_general(one: Type, other: Type) -> Type:
    return one if _less_specific(one, other) else other


def _less_specific(one: Type, other: Type) -> bool:
    if is_dyn(one) or one.kind == "param":
        return True
    if is_dyn(other) or other.kind == "param" or one.kind != other.kind:
        return False
    if one.params and len(one.params) == len(other.params):
        return one.name == other.name and all(map(_less_specific, one.params, other.params))
    return one == other


def substitute(bindings: Bindings, type_: Type, free_to_dyn: bool = False) -> Type:
    """The type with its parameters replaced by what they are bound to."""
    if type_.kind == "param":
        bound = bindings.get(type_.name)
        if bound is not None:
            return substitute(bindings, bound, free_to_dyn)
        return DYN if free_to_dyn else type_
    if not type_.params:
        return type_
    params = tuple(substitute(bindings, inner, free_to_dyn) for inner in type_.params)
    if all(new is old for new, old in zip(params, type_.params, strict=True)):
        return type_
    return Type(type_.kind, type_.name, params, fields=type_.fields, size=type_.size, convert=type_.convert)


def renamed(type_: Type, suffix: str) -> Type:
    """The type with fresh type parameters."""
    if type_.kind == "param":
        return Type("param", type_.name + suffix)
    if not type_.params:
        return type_
    return Type(type_.kind, type_.name, tuple(renamed(inner, suffix) for inner in type_.params))
