"""Strategic merge patch: merging that knows which lists are keyed.

Parts of the document that the patch does not touch are shared with the
result; neither argument is changed.
Source: Kubernetes docs, "Update API Objects in Place Using kubectl patch";
design proposal "Preserve order in strategic merge patch"; by behaviour.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tiphys.machinery import errors, shapes
from tiphys.machinery.goformat import json_kind, plain
from tiphys.machinery.shapes import Shape

_MARKER: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_FROM: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"
_GO_KINDS: Final = {"object": "map[string]interface {}", "array": "[]interface {}", "number": "int64"}
_UNTYPED: Final = shapes.shape_of(Any)


def strategic_merge(cls: type[Any], doc: Any, patch: Any) -> Any:
    """``doc``, an object of ``cls`` as plain dicts, with ``patch`` merged in.

    Raises errors.BadRequest for a malformed patch, and errors.UnknownError
    with code 500 where Kubernetes answers so (no merge key, unknown directive).
    """
    if not isinstance(patch, dict):
        raise errors.BadRequest(
            f"json: cannot unmarshal {json_kind(patch)} into Go value of type map[string]interface {{}}"
        )
    return _merge_map(shapes.fields_of(cls), doc, patch)


def _failure(message: str) -> errors.StatusError:
    return errors.UnknownError(message, None, 500, "")


def _no_merge_key(item: Any, key: str) -> errors.StatusError:
    return _failure(f"map: {plain(item)} does not contain declared merge key: {key}")


def _bad_type(expected: str, found: Any) -> errors.StatusError:
    kind = json_kind(found)
    return _failure(f"expected a {expected}, but received a {_GO_KINDS.get(kind, kind)}")


def _fields_below(shape: Shape) -> "dict[str, Shape] | Shape":
    """What is known of the fields of a map: by name for objects, one for all in maps."""
    if shape.form == "object":
        assert shape.cls is not None
        return shapes.fields_of(shape.cls)
    return shape.item or _UNTYPED


def _shape_for(known: "dict[str, Shape] | Shape", name: str) -> Shape:
    if isinstance(known, Shape):
        return known
    shape = known.get(name)
    if shape is None:
        raise _failure(f'unable to find api field in struct for the json field "{name}"')
    return shape


def _merge_map(known: "dict[str, Shape] | Shape", original: dict[str, Any] | None, patch: dict[str, Any]) -> Any:
    if _MARKER in patch:
        return _directed(patch)
    result = dict(original) if original else {}
    skip: set[str] = {_RETAIN_KEYS} if _RETAIN_KEYS in patch else set()
    if skip:
        _retain(result, patch)
    for name in patch:
        if name.startswith(_ORDER):
            skip.add(name)
            skip.add(_merge_ordered(known, result, patch, name))
    for name, value in patch.items():
        if name in skip:
            continue
        if name.startswith(_DELETE_FROM):
            _delete_from(result, name, value)
        elif value is None:
            result.pop(name, None)
        else:
            _merge_field(known, result, name, value)
    return result


def _directed(patch: dict[str, Any]) -> dict[str, Any]:
    """The result of ``$patch`` inside a map."""
    directive = patch[_MARKER]
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _MARKER}
    if directive == "delete":
        return {}
    raise _failure(f"unknown patch type: {plain(directive)} in map: {plain(patch)}")


def _merge_field(known: "dict[str, Shape] | Shape", result: dict[str, Any], name: str, value: Any) -> None:
    old = result.get(name)
    if isinstance(value, dict) and isinstance(old, dict):
        shape = _shape_for(known, name)
        if shape.merge.patch_strategy == "replace":
            result[name] = value
        else:
            result[name] = _merge_map(_fields_below(shape), old, value)
    elif isinstance(value, list) and isinstance(old, list):
        result[name] = _merge_list(_shape_for(known, name), old, value)
    else:
        kept, value = _without_directives(value)
        if kept:
            result[name] = value
        else:
            result.pop(name, None)


def _without_directives(value: Any) -> tuple[bool, Any]:
    """Whether to keep a new value, and the value without nulls and without maps that carry directives."""
    if isinstance(value, dict):
        if _MARKER in value:
            return False, None
        pairs = ((name, _without_directives(item)) for name, item in value.items() if item is not None)
        return True, {name: item for name, (kept, item) in pairs if kept}
    if isinstance(value, list):
        return True, [item for kept, item in map(_without_directives, value) if kept]
    return True, value


def _retain(result: dict[str, Any], patch: dict[str, Any]) -> None:
    """Drop fields that ``$retainKeys`` does not list."""
    listed = patch[_RETAIN_KEYS]
    if not isinstance(listed, list):
        raise errors.BadRequest("invalid patch format of retainKeys")
    for name, value in patch.items():
        if name == _RETAIN_KEYS or value is None or name.startswith((_DELETE_FROM, _ORDER)):
            continue
        if name not in listed:
            raise errors.BadRequest("invalid patch format of retainKeys")
    for name in [name for name in result if name not in listed]:
        del result[name]


def _delete_from(result: dict[str, Any], name: str, value: Any) -> None:
    field = _field_of(name, _DELETE_FROM, "invalid patch format of primitive list")
    if value is None:
        result.pop(field, None)
        return
    old = result.get(field)
    if not isinstance(old, list) or not isinstance(value, list):
        return
    gone = {_identity(item) for item in value}
    result[field] = [item for item in old if _identity(item) not in gone]


def _field_of(name: str, prefix: str, message: str) -> str:
    found, slash, field = name.partition("/")
    if not slash or found != prefix:
        raise errors.BadRequest(message)
    return field


def _identity(value: Any) -> Any:
    """Something hashable that tells scalars apart as JSON does (1 is not true)."""
    return (value.__class__ is bool, value) if not isinstance(value, dict | list) else id(value)


def _merge_ordered(known: "dict[str, Shape] | Shape", result: dict[str, Any], patch: dict[str, Any], name: str) -> str:
    """Merge the list that ``$setElementOrder/<field>`` speaks of and put it in that order; returns the field."""
    order = patch[name]
    if not isinstance(order, list):
        raise _bad_type("[]interface {}", order)
    field = _field_of(name, _ORDER, "invalid patch format of setElementOrder list")
    old, new = result.get(field), patch.get(field)
    if field in result and not isinstance(old, list):
        raise _bad_type("[]interface {}", old)
    if field in patch and not isinstance(new, list):
        raise _bad_type("[]interface {}", new)
    shape = _shape_for(known, field)
    key = shape.merge.merge_key or ""
    _check_order(new or [], order, key)
    if new is None and old is None:
        return field
    if new is None:
        merged: list[Any] = old or []
    elif old is None:
        merged = new
    else:
        merged = _merge_list(shape, old, new)
    if merged:
        merged = _in_order(merged, order, old or [], key)
    if key:
        merged = [item for item in merged if _MARKER not in item]
    result[field] = merged
    return field


def _check_order(items: Sequence[Any], order: Sequence[Any], key: str) -> None:
    """Refuse a patch list whose order contradicts ``$setElementOrder`` or that holds more."""
    if not items or not order:
        return
    expected = iter(order)
    for item in items:
        if isinstance(item, dict) and _MARKER in item:
            continue
        wanted = _key_value(item, key)
        if not any(_key_value(entry, key) == wanted for entry in expected):
            raise _failure(
                f"The order in patch list:\n{plain(list(items))}\n doesn't match {_ORDER} list:\n{plain(list(order))}\n"
            )


def _key_value(item: Any, key: str) -> Any:
    if not key:
        return _identity(item)
    if not isinstance(item, dict):
        raise _bad_type("map[string]interface {}", item)
    if key not in item:
        raise _no_merge_key(item, key)
    return _identity(item[key])


def _merge_list(shape: Shape, old: list[Any], new: list[Any]) -> list[Any]:
    strategy = shape.merge.patch_strategy or ""
    if "merge" not in strategy.split(","):
        return new
    if not old and not new:
        return old
    if _element_kind(old, new) != "object":
        merged = list({_identity(item): item for item in [*old, *new]}.values())
        return _in_order(merged, new, old, "")
    key = shape.merge.merge_key
    if not key:
        raise _failure("cannot merge lists without merge key for type struct")
    base, additions = _apply_directives(old, new, key)
    below = _fields_below(shape.item or _UNTYPED)
    merged = list(base)
    places = {_key_value(item, key): index for index, item in reversed(list(enumerate(merged))) if key in item}
    for item in additions:
        wanted = _key_value(item, key)
        place = places.get(wanted)
        if place is None:
            places[wanted] = len(merged)
            merged.append(_without_directives(item)[1])
        else:
            merged[place] = _merge_map(below, merged[place], item)
    return _in_order(merged, additions, base, key)


def _element_kind(*lists: Sequence[Any]) -> str:
    kinds = {json_kind(item) for items in lists for item in items}
    if "array" in kinds:
        raise errors.Rejected("lists of lists are not supported")
    if len(kinds) > 1:
        raise _failure(f"list element types are not identical: {plain(list(map(list, lists)))}")
    return kinds.pop()


def _apply_directives(old: list[Any], new: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """The list to merge into and the items to merge, after ``$patch`` items have been obeyed."""
    additions: list[Any] = []
    replace = False
    for item in new:
        if _MARKER not in item:
            additions.append(item)
            continue
        directive = item[_MARKER]
        if directive == "delete":
            gone = _key_value(item, key)
            old = [entry for entry in old if key not in entry or _key_value(entry, key) != gone]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _failure("merging lists cannot yet be specified in the patch")
        else:
            raise _failure(f"unknown patch type: {plain(directive)} in map: {plain(item)}")
    return (additions, []) if replace else (old, additions)


def _in_order(merged: list[Any], order: Iterable[Any], live: Sequence[Any], key: str) -> list[Any]:
    """``merged`` with the items named in ``order`` in that order, the others where they stood in ``live``."""
    identity: Callable[[Any], Any] = lambda item: _key_value(item, key)
    wanted = _positions(order, identity)
    if not wanted:
        return merged
    standing = _positions(live, identity)
    named = sorted((item for item in merged if identity(item) in wanted), key=lambda item: wanted[identity(item)])
    others = [item for item in merged if identity(item) not in wanted]
    others.sort(key=lambda item: standing.get(identity(item), -1))
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(named):
        here, there = standing.get(identity(others[left])), standing.get(identity(named[right]))
        if here is not None and there is not None and here < there:
            result.append(others[left])
            left += 1
        else:
            result.append(named[right])
            right += 1
    return result + others[left:] + named[right:]


def _positions(items: Iterable[Any], identity: Callable[[Any], Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get(_MARKER) == "delete":
            continue
        found.setdefault(identity(item), index)
    return found
