"""What expressions of admission may use.

Source: Kubernetes docs, "Validating Admission Policy", "Validation Expression".
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from tiphys.machinery import cel
from tiphys.machinery.cel.types import Field, Type

_NAMES: Final = cel.list_of(cel.STRING)
_TEXTS: Final = cel.map_of(cel.STRING, cel.STRING)


def _texts(*names: str) -> dict[str, Type]:
    return dict.fromkeys(names, cel.STRING)


@cache
def request_type() -> Type:
    kind = cel.object_of("kubernetes.GroupVersionKind", _texts("group", "version", "kind"))
    resource = cel.object_of("kubernetes.GroupVersionResource", _texts("group", "version", "resource"))
    extra = cel.map_of(cel.STRING, _NAMES)
    user = cel.object_of("kubernetes.UserInfo", {**_texts("username", "uid"), "groups": _NAMES, "extra": extra})
    return cel.object_of(
        "kubernetes.AdmissionRequest",
        {
            "kind": kind,
            "resource": resource,
            "subResource": cel.STRING,
            "requestKind": kind,
            "requestResource": resource,
            "requestSubResource": cel.STRING,
            **_texts("name", "namespace", "operation"),
            "userInfo": user,
            "dryRun": cel.BOOL,
            "options": cel.DYN,
        },
    )


@cache
def namespace_type() -> Type:
    text = {"type": "string"}
    time = {"type": "string", "format": "date-time"}
    texts = {"type": "object", "additionalProperties": text}
    names = {"type": "array", "items": text}
    metadata = {
        **dict.fromkeys(("name", "generateName", "namespace", "UID", "resourceVersion"), text),
        "labels": texts,
        "annotations": texts,
        "creationTimestamp": time,
        "deletionTimestamp": time,
        "deletionGracePeriodSeconds": {"type": "integer"},
        "generation": {"type": "integer"},
        "finalizers": names,
    }
    found = cel.schema_type(
        {
            "type": "object",
            "properties": {
                "metadata": {"type": "object", "properties": metadata},
                "spec": {"type": "object", "properties": {"finalizers": names}},
                "status": {"type": "object", "properties": {"phase": text}},
            },
        }
    )
    assert found is not None
    return Type("object", "kubernetes.Namespace", fields=found.fields)


def variables(
    *,
    params: bool,
    authorizer: bool = True,
    composed: Mapping[str, Type] | None = None,
    of: Type | None = None,
    params_of: Type | None = None,
) -> dict[str, Type]:
    """Names and types. ``of`` and ``params_of`` are the types of the object and of parameters where they are known,
    ``composed`` the policy's own variables."""
    found: dict[str, Type] = {
        "object": of or cel.DYN,
        "oldObject": of or cel.DYN,
        "request": request_type(),
        "namespaceObject": namespace_type(),
    }
    if params:
        found["params"] = params_of or cel.DYN
    if authorizer:
        found["authorizer"] = cel.AUTHORIZER
        found["authorizer.requestResource"] = cel.RESOURCE_CHECK
    if composed is not None:
        found["variables"] = cel.object_of("kubernetes.variables", composed)
    return found


JSON_PATCH: Final = cel.object_of("JSONPatch", {**_texts("op", "path", "from"), "value": cel.DYN})
OBJECT: Final = "Object"


class _AnyFields(Mapping[str, Field]):
    """Fields of ``Object…``: any name, spelled as CEL spells it."""

    def __getitem__(self, name: str) -> Field:
        return Field(cel.DYN, cel.unescape(name))

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Structs(Mapping[str, Type]):
    """Objects that mutations may make: ``JSONPatch{…}``, ``Object{…}`` and ``Object.any.path{…}``."""

    def __getitem__(self, name: str) -> Type:
        if name == JSON_PATCH.name:
            return JSON_PATCH
        if name == OBJECT or name.startswith(f"{OBJECT}."):
            return Type("object", name, fields=_AnyFields())
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((JSON_PATCH.name, OBJECT))

    def __len__(self) -> int:
        return 2


PATCHES: Final = cel.list_of(JSON_PATCH)
CONFIGURATION: Final = Type("object", OBJECT)


def plain(value: Any) -> Any:
    """A value of an expression as JSON's. Raises ValueError for what JSON has not."""
    if isinstance(value, dict):
        return {str(name): plain(held) for name, held in value.items()}
    if isinstance(value, list):
        return [plain(held) for held in value]
    if isinstance(value, cel.Optional):
        return plain(value.value) if value.present else None
    if value is None or isinstance(value, str | bool | float):
        return value
    if type(value) is int or isinstance(value, cel.UInt):
        return int(value)
    raise ValueError(f"unsupported value of type {type(value).__name__}")
