"""Objects as server-side apply sees them: which parts are owned one by one and which as a whole.

``Node`` describes a value: an ``object`` has named fields, a ``map`` free keys,
a ``list`` items that are known by their keys, a ``set`` scalar items, and a
``leaf`` is one value, whatever it holds (scalars and everything atomic).
Functions here walk values beside their nodes. A value is plain data or a
Struct, which spares a comparison of two stored objects the way through plain data.
Source: Kubernetes docs, "Server-Side Apply", "Merge strategy"; structured-merge-diff, by behaviour.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from tiphys.api.scalars import MicroTime, Object, Quantity, Time
from tiphys.machinery import fieldsets, shapes
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.fieldsets import SELF, Fields
from tiphys.machinery.shapes import Shape

Form = Literal["object", "map", "list", "set", "leaf", "deduced"]

#: Keys of list items that the API fills in. Source: the defaults of Kubernetes' OpenAPI document.
_KEY_DEFAULTS: Final = {"protocol": "TCP"}


class Node:
    """See the module. ``accepts`` is the scalar type that a leaf insists on, or empty."""

    __slots__ = ("_cls", "_fields", "accepts", "defaults", "form", "item", "keys", "loose")

    def __init__(
        self,
        form: Form,
        *,
        cls: type[Object] | None = None,
        fields: Mapping[str, "Node"] | None = None,
        item: "Node | None" = None,
        keys: tuple[str, ...] = (),
        defaults: Mapping[str, Any] | None = None,
        accepts: str = "",
        loose: bool = False,
    ) -> None:
        self.form = form
        #: Values are a client's plain data and may be of another form.
        self.loose = loose
        self.item = item
        self.keys = keys
        self.defaults = defaults or {}
        self.accepts = accepts
        self._cls = cls
        self._fields = fields

    @property
    def fields(self) -> Mapping[str, "Node"]:
        """Known fields of an object; found on demand because types may contain themselves."""
        if self._fields is None:
            assert self._cls is not None
            self._fields = {name: _node_of(shape) for name, shape in shapes.fields_of(self._cls).items()}
        return self._fields

    def below(self, name: str) -> "Node":
        """What stands under a name of an object or map. An object with an ``item`` may have fields beside the known."""
        if self.form != "object":
            return self.item or LEAF
        return self.fields[name] if self.item is None else self.fields.get(name, self.item)

    def seen(self, *values: Any) -> "Node":
        """The node for these values: itself unless one of them (None aside) does not have its form."""
        if not self.loose:
            return self
        kind = list if self.form in ("list", "set") else dict
        if all(value is None or isinstance(value, kind) for value in values):
            return DEDUCED_MAP if self.form == "deduced" else self
        return LEAF


LEAF: Final = Node("leaf")
#: What no schema describes: maps are looked into, all else is one value.
DEDUCED: Final = Node("deduced", loose=True)
DEDUCED.item = DEDUCED
DEDUCED_MAP: Final = Node("map", item=DEDUCED, loose=True)


class _Nodes(dict[Any, Node]):
    """The node of each class of Structs, made when first asked for; custom classes know their own."""

    def __missing__(self, cls: Any) -> Node:
        if issubclass(cls, CustomObject):
            found: Node = cls.structure_node()
            return found
        made = self[cls] = LEAF if shapes.is_atomic(cls) else Node("object", cls=cls)
        return made


#: The node of a class.
node_of: Final[Callable[[type[Any]], Node]] = _Nodes().__getitem__


def _node_of(shape: Shape) -> Node:
    merge = shape.merge
    if shape.form == "object" and merge.map_type != "atomic":
        assert shape.cls is not None
        return node_of(shape.cls)
    if shape.form == "map" and merge.map_type != "atomic":
        assert shape.item is not None
        return Node("map", item=_node_of(shape.item))
    if shape.form == "list" and shape.item is not None:
        if merge.list_type == "set":
            return Node("set", item=_node_of(shape.item))
        if merge.list_type == "map":
            keys = tuple(sorted(merge.map_keys))
            return Node("list", item=_node_of(shape.item), keys=keys, defaults=_key_defaults(shape.cls, keys))
    return Node("leaf", accepts=_accepts(shape))


def _accepts(shape: Shape) -> str:
    if shape.form in ("object", "map"):
        return "map"
    if shape.form == "list":
        return "list"
    if shape.form != "scalar" or shape.type in (Quantity, Time, MicroTime, bytes):
        return ""
    if shape.type is str:
        return "string"
    if shape.type is bool:
        return "boolean"
    return "numeric" if shape.type is float or _is_integer(shape.type) else ""


def _is_integer(kind: Any) -> bool:
    return kind is int or getattr(kind, "__origin__", None) is int


def _key_defaults(cls: type[Object] | None, keys: tuple[str, ...]) -> dict[str, Any]:
    """What stands for keys that an item leaves out: fields that are always written have their zero value."""
    if cls is None:
        return {}
    found: dict[str, Any] = {key: _KEY_DEFAULTS[key] for key in keys if key in _KEY_DEFAULTS}
    known = shapes.fields_of(cls)
    for field in msgspec.structs.fields(cls):
        key = field.encode_name
        if key in keys and key not in found and (not known[key].optional or key == "name"):
            found[key] = 0 if _is_integer(known[key].type) else ""
    return found


_encode: Final = msgspec.json.Encoder(enc_hook=str).encode

# Presence modes of a Struct's field: always written, written unless None, written unless empty.
_ALWAYS, _UNLESS_NONE, _UNLESS_EMPTY = range(3)


def _make_plan(cls: Any) -> tuple[tuple[str, int], ...]:
    plan = []
    for field in msgspec.structs.fields(cls):
        if field.default is None:
            mode = _UNLESS_NONE
        elif field.default is not msgspec.NODEFAULT or field.default_factory in (list, dict):
            mode = _UNLESS_EMPTY
        else:
            mode = _ALWAYS
        plan.append((field.encode_name, mode))
    return tuple(plan)


_plan: Callable[[Any], tuple[tuple[str, int], ...]] = cache(_make_plan)


def entries(value: Any) -> Mapping[str, Any]:
    """The fields of an object or the entries of a map, as they would be written."""
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    found = {}
    for held, (wire, mode) in zip(msgspec.structs.astuple(value), _plan(type(value)), strict=True):
        if held or mode == _ALWAYS or (mode == _UNLESS_NONE and held is not None):
            found[wire] = held
    return found


class BadItem(ValueError):
    """A list item that cannot be named."""


def element_of(node: Node, item: Any) -> str:
    """The path element of a list's item. Raises BadItem."""
    if node.form == "set":
        if item is None:
            raise BadItem("associative list without keys has an element that's an explicit null")
        if isinstance(item, dict | list):
            what = "map" if isinstance(item, dict) else "list"
            raise BadItem(f"associative list without keys has an element that's a {what} type")
        return fieldsets.scalar(item)
    if item is None:
        raise BadItem("associative list with keys may not have a null element")
    if not isinstance(item, dict | msgspec.Struct):
        raise BadItem("associative list with keys may not have non-map elements")
    held = item if isinstance(item, dict) else entries(item)
    keys = {}
    for key in node.keys:
        value = held.get(key)
        if key not in held:
            value = node.defaults.get(key)
            if value is None:
                raise BadItem(
                    f'associative list with keys has an element that omits key field "{key}"'
                    " (and doesn't have default value)"
                )
        keys[key] = value
    return fieldsets.item(keys)


def elements(node: Node, items: list[Any] | None) -> dict[str, list[Any]]:
    """The items of a list by path element; those that share one stand together."""
    found: dict[str, list[Any]] = {}
    for item in items or ():
        found.setdefault(element_of(node, item), []).append(item)
    return found


def configured(node: Node, value: Any) -> Fields:
    """The paths that an applied configuration sets."""
    found: Fields = {}
    if node.form in ("object", "map"):
        held_by_name = entries(value)
        for name in sorted(held_by_name):
            held = held_by_name[name]
            below_node = node.below(name).seen(held)
            below = {} if below_node.form == "leaf" else configured(below_node, held)
            explicit = held is None or held == {} or node.form == "map" or below_node.form == "leaf"
            if below or explicit:
                found[fieldsets.field(name)] = {SELF: {}, **below} if below and explicit else below
    elif value:
        assert node.item is not None
        for item in value:
            inner = node.item.seen(item)
            below = {} if inner.form == "leaf" else configured(inner, item)
            found[element_of(node, item)] = {SELF: {}, **below} if below else {}
        return fieldsets.sorted_level(found)
    return found


class Comparison(NamedTuple):
    """Paths that only the new value has, only the old one, and both with different values."""

    added: Fields
    removed: Fields
    modified: Fields

    @property
    def changed(self) -> Fields:
        """What the new value sets."""
        return fieldsets.union(self.added, self.modified)

    def without(self, excluded: Fields) -> "Comparison":
        """The same, but for these paths and all below them."""
        if all(map(excluded.keys().isdisjoint, self)):
            return self
        return Comparison(*(fieldsets.without(part, excluded) for part in self))


NOTHING: Final = Comparison({}, {}, {})


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """How two values of a ``node`` that is no leaf differ."""
    if old is new or (not isinstance(old, msgspec.Struct) and old == new):
        return NOTHING
    # Structs are compared field by field anyway.
    return _compare(node, old, new)


def _compare(node: Node, old: Any, new: Any) -> Comparison:
    """The same for values that are known to be different."""
    found = Comparison({}, {}, {})
    if node.form in ("object", "map"):
        left, right = _unequal(old, new)
        # The entries of two Structs are known to be different.
        known = isinstance(old, msgspec.Struct) and old.__class__ is new.__class__
        for name in sorted(left.keys() | right.keys()):
            if name in left and name in right:
                if known or left[name] != right[name]:
                    _compare_below(node.below(name), fieldsets.field(name), left[name], right[name], found)
            elif name in left:
                found.removed[fieldsets.field(name)] = whole(node.below(name), left[name])
            else:
                found.added[fieldsets.field(name)] = whole(node.below(name), right[name])
        return found
    assert node.item is not None
    olds, news = elements(node, old), elements(node, new)
    for element in fieldsets.sorted_elements(olds.keys() | news.keys()):
        lefts, rights = olds.get(element), news.get(element)
        if lefts is None or rights is None:
            target = found.added if lefts is None else found.removed
            items = rights if lefts is None else lefts
            assert items is not None
            target[element] = whole(node.item, items[0]) if len(items) == 1 else {}
        elif len(lefts) == len(rights) == 1:
            if lefts[0] != rights[0]:
                _compare_below(node.item, element, lefts[0], rights[0], found)
        elif lefts != rights:
            # Items that share their keys are one value.
            found.modified[element] = {}
    return found


def _unequal(old: Any, new: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The entries of both values; of two Structs only those that are not equal."""
    if old.__class__ is not new.__class__ or not isinstance(old, msgspec.Struct):
        return entries(old), entries(new)
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    pairs = zip(msgspec.structs.astuple(old), msgspec.structs.astuple(new), _plan(type(old)), strict=True)
    for before, after, (wire, mode) in pairs:
        if before is after or before == after:
            continue
        if before or mode == _ALWAYS or (mode == _UNLESS_NONE and before is not None):
            left[wire] = before
        if after or mode == _ALWAYS or (mode == _UNLESS_NONE and after is not None):
            right[wire] = after
    return left, right


def _compare_below(node: Node, element: str, old: Any, new: Any, found: Comparison) -> None:
    node = node.seen(old, new)
    if node.form == "leaf" or (_is_empty(old) and _is_empty(new)):
        found.modified[element] = {}
        return
    for target, part in zip(found, _compare(node, old, new), strict=True):
        if part:
            target[element] = part


def _is_empty(value: Any) -> bool:
    if isinstance(value, msgspec.Struct):
        return bool(value == _empty(type(value)))
    return not value


def whole(node: Node, value: Any) -> Fields:
    """The paths of a value that stands on one side only, itself included."""
    node = node.seen(value)
    if node.form == "leaf" or value is None:
        return {}
    first = value[0] if value and isinstance(value, list) else value
    if isinstance(first, msgspec.Struct):
        # Faster than to ask the Structs below one by one.
        value = msgspec.to_builtins(value, enc_hook=str)
    if not value:
        return {}
    below: Fields = {SELF: {}}
    if node.form in ("object", "map"):
        for name in sorted(value):
            below["f:" + name] = whole(node.below(name), value[name])
        return below
    assert node.item is not None
    found = elements(node, value)
    for element in fieldsets.sorted_elements(found):
        items = found[element]
        below[element] = whole(node.item, items[0]) if len(items) == 1 else {}
    return below


def made(node: Node, obj: Any, excluded: Fields) -> Fields:
    """The paths that the maker of ``obj`` sets: those in which it differs from an object that holds nothing.

    Objects are made in great numbers out of few templates, so what stands in
    ``spec`` is looked up by its bytes.
    """
    found: Fields = {}
    left, right = _unequal(_zero(obj.__class__), obj)
    for name in sorted(right):
        element, held = fieldsets.field(name), right[name]
        if element in excluded:
            continue
        if name == "spec" and isinstance(held, msgspec.Struct):
            kind: Any = type(held)
            below = _made_of_bytes(kind, _encode(held))
        elif name in left:
            part = Comparison({}, {}, {})
            _compare_below(node.below(name), element, left[name], held, part)
            if element not in part.changed:
                continue
            below = part.changed[element]
        else:
            below = whole(node.below(name), held)
        if below or name != "spec":
            found[element] = below
    return found


@lru_cache(maxsize=1024)
def _zero(cls: Any) -> Any:
    return cls()


@lru_cache(maxsize=1024)
def _empty(cls: Any) -> Any:
    """What a Struct equals that would be written as an empty object; None if some field is always written."""
    return None if any(mode == _ALWAYS for _, mode in _plan(cls)) else _zero(cls)


def _find_made(cls: Any, data: bytes) -> Fields:
    return compare(node_of(cls), msgspec.to_builtins(_zero(cls), enc_hook=str), msgspec.json.decode(data)).changed


_made_of_bytes: Callable[[Any, bytes], Fields] = lru_cache(maxsize=256)(_find_made)


def with_named(node: Node, fields: Fields) -> Fields:
    """The set with every object's field on the way to a member made a member."""
    result: Fields = {}
    for element, below in fields.items():
        if element == SELF:
            result[SELF] = below
            continue
        known = _node_at(node, element)
        inner = with_named(known, below) if below else below
        if inner and SELF not in inner and node.form == "object" and element[2:] in node.fields:
            inner = {SELF: {}, **inner}
        result[element] = inner
    return result


def _node_at(node: Node, element: str) -> Node:
    if node.form == "object":
        return node.fields.get(element[2:], node.item or LEAF)
    return node.item or LEAF


def remove(node: Node, value: Any, gone: Fields) -> Any:
    """Plain data without the paths in ``gone``; None if nothing is left."""
    node = node.seen(value)
    if not value or node.form == "leaf":
        return value if node.form == "leaf" and not isinstance(value, dict | list) else None
    if node.form in ("object", "map"):
        kept: dict[str, Any] = {}
        for name, held in value.items():
            below = gone.get(fieldsets.field(name))
            if below is None:
                kept[name] = held
            elif not fieldsets.is_member(below):
                kept[name] = remove(node.below(name), held, below)
        return kept or None
    assert node.item is not None
    items = []
    for item in value:
        below = gone.get(element_of(node, item))
        if below is None:
            items.append(item)
        elif not fieldsets.is_member(below):
            items.append(remove(node.item, item, below))
    return items or None
