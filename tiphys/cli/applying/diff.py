"""The patch that makes a live object what a manifest says, leaving alone what others have set.

Three versions meet: ``original`` (applied last time), ``modified`` (to be
applied) and ``current`` (live). What is in ``modified`` and differs from
``current`` is set; what was in ``original`` and is no longer in ``modified``
is removed; the rest stays as it is. Lists whose elements have a merge key
are compared element by element, as their types say.
Source: Kubernetes docs, "Declarative Management of Kubernetes Objects Using
Configuration Files", and the directives of "Strategic Merge Patch".
"""

from typing import Any

from tiphys.api.scalars import Merge
from tiphys.machinery.shapes import Shape, fields_of, shape_of

Dict = dict[str, Any]

_UNTYPED = Shape("json", None, True, Any, None, Merge())


def strategic_patch(cls: type[Any], original: Dict, modified: Dict, current: Dict) -> Dict:
    """For kinds whose types are known; empty if nothing is to change."""
    return _map(shape_of(cls), original, modified, current)


def merge_patch(original: Dict, modified: Dict, current: Dict) -> Dict:
    """For all other kinds: lists are values. Empty if nothing is to change."""
    return _map(_UNTYPED, original, modified, current)


def _map(shape: Shape, original: Dict, modified: Dict, current: Dict) -> Dict:
    patch: Dict = {}
    for name, new in modified.items():
        below = _below(shape, name)
        if name not in current:
            # Null asks for absence, which it has.
            if new is not None:
                patch[name] = new
        elif new is None or current[name] is None:
            if new != current[name]:
                patch[name] = new
        else:
            _value(patch, name, below, original.get(name), new, current[name])
    patch.update((name, None) for name in original if name not in modified and current.get(name) is not None)
    if patch and "retainKeys" in (shape.merge.patch_strategy or ""):
        patch["$retainKeys"] = sorted(modified)
    return patch


def _below(shape: Shape, name: str) -> Shape:
    """What a field holds; a map's values are all alike."""
    if shape.form == "object" and shape.cls is not None:
        return fields_of(shape.cls).get(name, _UNTYPED)
    if shape.form == "map" and shape.item is not None:
        return shape.item
    return _UNTYPED


def _value(patch: Dict, name: str, shape: Shape, old: Any, new: Any, have: Any) -> None:
    """Put into ``patch`` what turns ``have`` into ``new``."""
    if isinstance(new, dict) and isinstance(have, dict):
        if changed := _map(shape, old if isinstance(old, dict) else {}, new, have):
            patch[name] = changed
    elif isinstance(new, list) and isinstance(have, list) and "merge" in (shape.merge.patch_strategy or "").split(","):
        before = old if isinstance(old, list) else []
        if any(isinstance(item, dict) for item in [*new, *have]):
            _elements(patch, name, shape, before, new, have)
        else:
            _primitives(patch, name, before, new, have)
    elif new != have or isinstance(new, bool) != isinstance(have, bool):
        patch[name] = new


def _elements(patch: Dict, name: str, shape: Shape, old: list[Any], new: list[Any], have: list[Any]) -> None:
    key = shape.merge.merge_key or ""
    item_shape = (shape.item or _UNTYPED)._replace(merge=shape.merge)
    if not (_unique(new, key) and _unique(have, key)):
        # Ports of one number and two protocols: what cannot be told apart is replaced, if it differs at all.
        if len(new) != len(have) or any(_map(item_shape, {}, n, h) for n, h in zip(new, have, strict=True)):
            patch[name] = [{"$patch": "replace"}, *new]
        return
    before = {item[key]: item for item in old if isinstance(item, dict) and key in item}
    live = {item[key]: item for item in have}
    changes: list[Any] = []
    for item in new:
        found = live.get(item[key])
        changed = item if found is None else _map(item_shape, before.get(item[key], {}), item, found)
        if changed:
            changes.append(changed if found is None else {**changed, key: item[key]})
    wanted = [item[key] for item in new]
    changes += [{"$patch": "delete", key: gone} for gone in before if gone not in wanted and gone in live]
    order = [value for value in live if value in wanted]
    if changes or order != wanted:
        patch[name] = changes
        patch[f"$setElementOrder/{name}"] = [{key: value} for value in wanted]
        if not changes:
            del patch[name]


def _unique(items: list[Any], key: str) -> bool:
    """Whether every element has the key and none has another's."""
    values = [item[key] for item in items if isinstance(item, dict) and key in item]
    return len(values) == len(items) == len(set(map(repr, values)))


def _primitives(patch: Dict, name: str, old: list[Any], new: list[Any], have: list[Any]) -> None:
    added = [item for item in new if item not in have]
    gone = [item for item in old if item not in new and item in have]
    if added:
        patch[name] = added
    if gone:
        patch[f"$deleteFromPrimitiveList/{name}"] = gone
    if added or gone:
        patch[f"$setElementOrder/{name}"] = new
