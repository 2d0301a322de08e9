"""What a mutation's expression says, done to an object.

Source: Kubernetes docs, "Mutating Admission Policy"; KEP-3962.
"""

from typing import Any

from tiphys.apiserver.policies import declarations
from tiphys.machinery import cel, errors, merging, patch, structure
from tiphys.machinery.structure import Node


class PatchError(Exception):
    """The mutation cannot be made; the policy's failure policy decides."""


def json_patched(document: dict[str, Any], value: list[Any]) -> dict[str, Any]:
    """``document`` after JSONPatch operations; as it was if a ``test`` fails. Raises PatchError."""
    operations = [_operation(one) for one in value]
    try:
        found: dict[str, Any] = patch.json_patch(document, operations)
    except errors.StatusError as error:
        why = getattr(error, "why", error.message)
        if "testing value" in why or "test failed" in why.lower():
            return document
        raise PatchError(f"JSON Patch: {why}") from error
    return found


def _operation(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise PatchError("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    found = {"op": one.get("op", ""), "path": one.get("path", "")}
    if one.get("from"):
        found["from"] = one["from"]
    if "value" in one:
        found["value"] = _json(one["value"])
    return found


def _json(value: Any) -> Any:
    if isinstance(value, cel.Message):
        _check_names(value, value.cel_type)
    try:
        return declarations.plain(value)
    except ValueError as error:
        why = f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
        raise PatchError(why) from None


def _check_names(value: Any, path: str) -> None:
    """``Object.spec{a: Object.spec.a{}}``: an object's type is named after its place."""
    if isinstance(value, cel.Message):
        if value.cel_type != path:
            raise PatchError(
                f'type mismatch: unexpected type name "{value.cel_type}", expected "{path}", '
                "which matches field name path from root Object type"
            )
        for name, held in value.items():
            _check_names(held, f"{path}.{name}")
    elif isinstance(value, list):
        for held in value:
            _check_names(held, path)
    elif isinstance(value, dict):
        for held in value.values():
            _check_names(held, path)


def applied(document: dict[str, Any], value: Any, cls: type[Any]) -> dict[str, Any]:
    """``document`` with an apply configuration on top. Raises PatchError."""
    if not isinstance(value, cel.Message):
        raise PatchError("unsupported return type from ApplyConfiguration expression")
    _check_names(value, declarations.OBJECT)
    try:
        config = declarations.plain(value)
    except ValueError as error:
        raise PatchError(f"ApplyConfiguration: {error}") from None
    node = structure.node_of(cls)
    atomic = _atomic(node, config, "")
    if atomic:
        raise PatchError(f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomic}")
    try:
        found: dict[str, Any] = merging.merge(node, document, config) or {}
    except (structure.BadItem, merging.Misfit, LookupError) as error:
        raise PatchError(f"error applying patch: {error}") from error
    return found


def _atomic(node: Node, value: Any, path: str) -> str:
    """The first collection in ``value`` that can only be replaced as a whole; empty if there is none."""
    if not isinstance(value, dict | list):
        return ""
    if node.form == "leaf":
        return path
    if isinstance(value, dict) and node.form in ("object", "map"):
        for name, held in value.items():
            try:
                below = node.below(name)
            except LookupError:
                continue
            found = _atomic(below, held, f"{path}.{name}")
            if found:
                return found
    if isinstance(value, list) and node.item is not None and node.form == "list":
        for held in value:
            found = _atomic(node.item, held, f"{path}[]")
            if found:
                return found
    return ""
