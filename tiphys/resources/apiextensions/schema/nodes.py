"""What server-side apply must know of a schema: which lists are sets and maps, which objects one value.

Source: Kubernetes docs, "Server-Side Apply", "Custom resources and server-side apply".
"""

from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.machinery import structure
from tiphys.machinery.structure import DEDUCED, LEAF, Node
from tiphys.resources.apiextensions.schema import paths
from tiphys.resources.apiextensions.schema.paths import EMBEDDED, INT_OR_STRING, LIST_TYPE, MAP_KEYS, PRESERVE, Schema

_SCALARS: Final = {"string": "string", "boolean": "boolean", "integer": "numeric", "number": "numeric"}
_TEXT: Final = Node("leaf", accepts="string")


def of_object(schema: Schema | None) -> Node:
    """The node of a whole custom object; without a schema everything is deduced."""
    known = paths.properties(schema or {})
    fields = {name: of(sub) for name, sub in known.items()}
    fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": structure.node_of(meta_v1.ObjectMeta)}
    unknown = DEDUCED if schema is None or schema.get(PRESERVE) else None
    return Node("object", fields=fields, item=unknown, loose=True)


def of(schema: Schema) -> Node:
    """The node of one schema."""
    kind = schema.get("type")
    if schema.get(INT_OR_STRING):
        return LEAF
    if kind in _SCALARS:
        return Node("leaf", accepts=_SCALARS[kind])
    if kind == "array":
        return _list(schema)
    if kind == "object" or paths.properties(schema):
        return _object(schema)
    return DEDUCED if schema.get(PRESERVE) else LEAF


def _list(schema: Schema) -> Node:
    inner = paths.items(schema)
    kind = schema.get(LIST_TYPE)
    if inner is None or kind not in ("set", "map"):
        return Node("leaf", accepts="list")
    if kind == "set":
        return Node("set", item=of(inner), loose=True)
    keys = tuple(sorted(schema.get(MAP_KEYS) or ()))
    known = paths.properties(inner)
    defaults = {key: known[key]["default"] for key in keys if key in known and known[key].get("default") is not None}
    return Node("list", item=of(inner), keys=keys, defaults=defaults, loose=True)


def _object(schema: Schema) -> Node:
    if schema.get(paths.MAP_TYPE) == "atomic":
        return Node("leaf", accepts="map")
    values = paths.additional(schema)
    known = paths.properties(schema)
    if values is not None:
        return Node("map", item=of(values), loose=True)
    fields: dict[str, Any] = {name: of(sub) for name, sub in known.items()}
    if schema.get(EMBEDDED):
        fields |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": structure.node_of(meta_v1.ObjectMeta)}
    if schema.get(PRESERVE) or schema.get("additionalProperties") is True:
        return Node("object", fields=fields, item=DEDUCED, loose=True)
    return Node("object", fields=fields, loose=True)
