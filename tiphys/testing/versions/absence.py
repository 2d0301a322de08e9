"""What an older Kubernetes does not have: the difference between our types and the schemas of that minor."""

import functools
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from tiphys.apiserver.openapi import schemas
from tiphys.machinery.shapes import Shape, fields_of
from tiphys.resources import table
from tiphys.resources.rules import Resource

OLDEST: Final = 28
NEWEST: Final = 36
Schema = dict[str, Any]
#: Fields that are missing (True), or that miss something below them.
Tree = dict[str, Any]


def parse(text: str) -> int:
    """The minor that ``1.30`` means. Raises ValueError."""
    major, _, minor = text.removeprefix("v").partition(".")
    if major != "1" or not minor.isdecimal() or not OLDEST <= int(minor) <= NEWEST:
        raise ValueError(f"Kubernetes {text!r} is not among those that can be simulated: 1.{OLDEST} to 1.{NEWEST}")
    return int(minor)


@functools.cache
def definitions(minor: int) -> dict[str, Schema]:
    """Every schema of a minor by its full name. Some 10 ms, kept: a suite runs many clusters of few minors."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v1.{minor}.0-local"
    found: dict[str, Schema] = json.loads((folder / "_definitions.json").read_bytes())["$defs"]
    return found


class Absence:
    """Of one minor; ``of`` makes one per minor and process."""

    def __init__(self, minor: int) -> None:
        self.minor = minor
        self._definitions = definitions(minor)
        self._kinds = {
            (one["group"], one["version"], one["kind"])
            for schema in self._definitions.values()
            for one in schemas.group_version_kinds(schema)
        }
        self._trees: dict[tuple[type[Any], str], Tree] = {}
        self._by_class: dict[type[Any], Tree] = {}
        self._rows = frozenset((row.group, row.version, row.plural) for row in table.ALL if self.lacks(row))

    def lacks(self, row: Resource) -> bool:
        """Whether the minor does not serve the resource."""
        return (row.group, row.version, row.kind) not in self._kinds

    def lacks_resource(self, group: str, version: str, plural: str) -> bool:
        """The same by path; False for whatever is not built in."""
        return (group, version, plural) in self._rows

    def fields(self, cls: type[Any]) -> Tree:
        """What objects of a kind's class do not have; empty if that is nothing, or the kind itself is missing."""
        found = self._by_class.get(cls)
        if found is None:
            found = self._by_class[cls] = self._made(cls)
        return found

    def _made(self, cls: type[Any]) -> Tree:
        try:
            row = table.by_class(cls)
        except LookupError:
            return {}
        name = schemas.name_of(self._definitions, row.group, row.version, row.kind)
        return self._tree(cls, name) if name else {}

    def _tree(self, cls: type[Any], name: str) -> Tree:
        key = (cls, name)
        if key in self._trees:
            # Also types that hold themselves.
            return self._trees[key]
        tree = self._trees[key] = {}
        known = self._definitions[name].get("properties", {})
        for field, shape in fields_of(cls).items():
            if field in ("apiVersion", "kind", "metadata"):
                continue
            if known and field not in known:
                tree[field] = True
            elif shape.cls is not None and (below := _reference(known.get(field, {}))):
                inner = self._tree(_bottom(shape), below)
                if inner:
                    tree[field] = inner
        return tree


@functools.cache
def of(minor: int) -> Absence:
    return Absence(minor)


def _reference(schema: Schema) -> str:
    """The definition at the bottom of lists and maps; empty for anything else."""
    while True:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return reference.removeprefix(schemas.PREFIX)
        for key in ("oneOf", "anyOf", "allOf"):
            options = [one for one in schema.get(key, ()) if "$ref" in one]
            if options:
                schema = options[0]
                break
        else:
            schema = schema.get("items") or schema.get("additionalProperties") or {}
            if not isinstance(schema, dict) or not schema:
                return ""


def _bottom(shape: Shape) -> type[Any]:
    assert shape.cls is not None
    return shape.cls


def drop(obj: Any, tree: Tree) -> None:
    """Take the missing fields from a Struct, in place."""
    for field in obj.__struct_fields__:
        wire = _wire_name(type(obj), field)
        below = tree.get(wire)
        if below is None:
            continue
        value = getattr(obj, field)
        if below is True:
            setattr(obj, field, _empty(type(obj), field))
        else:
            for one in _structs(value):
                drop(one, below)


def _structs(value: Any) -> Iterator[Any]:
    if isinstance(value, msgspec.Struct):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _structs(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _structs(one)


@functools.cache
def _facts(cls: Any) -> Mapping[str, Any]:
    return {field.name: field for field in msgspec.structs.fields(cls)}


def _wire_name(cls: Any, field: str) -> str:
    return str(_facts(cls)[field].encode_name)


def _empty(cls: Any, field: str) -> Any:
    facts = _facts(cls)[field]
    if facts.default_factory is not msgspec.NODEFAULT:
        return facts.default_factory()
    return None if facts.default is msgspec.NODEFAULT else facts.default


def unknown(document: Any, tree: Tree, path: str = "") -> Iterator[str]:
    """Paths in plain data of fields that are missing, in document order."""
    if not isinstance(document, dict):
        return
    for field, value in document.items():
        below = tree.get(field)
        if below is None:
            continue
        here = f"{path}.{field}" if path else field
        if below is True:
            yield here
        elif isinstance(value, list):
            for index, one in enumerate(value):
                yield from unknown(one, below, f"{here}[{index}]")
        elif isinstance(value, dict):
            yield from unknown(value, below, here)
