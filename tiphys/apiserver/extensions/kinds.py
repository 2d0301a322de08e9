"""A version of a definition as the class and the row that everything generic serves it by."""

from collections.abc import Callable
from typing import Any, Final

from tiphys.api import apiextensions_v1
from tiphys.apiserver.extensions import printing
from tiphys.apiserver.extensions.scaling import CustomScaling
from tiphys.apiserver.extensions.strategy import CustomStatusStrategy, CustomStrategy, Rules
from tiphys.machinery import codec
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.structure import Node
from tiphys.resources.apiextensions.schema.compiled import Schema
from tiphys.resources.rules import Resource, Subresource

Crd = apiextensions_v1.CustomResourceDefinition
Version = apiextensions_v1.CustomResourceDefinitionVersion

_OBJECT_VERBS: Final = ("get", "patch", "update")
#: From a schema to what runs its rules; None where it has none.
RulesOf = Callable[[Any], Rules | None]


def props_of(crd: Crd, version: Version) -> dict[str, Any] | None:
    """A version's schema as plain data; None where nothing is known of its objects."""
    held = version.schema and version.schema.openAPIV3Schema
    if held is None or crd.spec.preserveUnknownFields:
        return None
    found: dict[str, Any] = codec.to_builtins(held)
    return found


def class_of(crd: Crd, version: str, schema: Schema) -> type[CustomObject]:
    """The class of a version's objects."""

    class Custom(CustomObject):
        __slots__ = ()
        api_version = f"{crd.spec.group}/{version}"
        kind_name = crd.spec.names.kind

        @classmethod
        def prune(cls, obj: CustomObject) -> list[str]:
            return schema.prune(obj)

        @classmethod
        def structure_node(cls) -> Node:
            return schema.node

    Custom.__name__ = Custom.__qualname__ = crd.spec.names.kind
    return Custom


def custom_class(row: Resource) -> type[CustomObject]:
    """The class of a row that ``row_of`` has made."""
    cls: Any = row.cls
    return cls  # type: ignore[no-any-return]


def schema_of(row: Resource) -> Schema:
    """The schema of a row that ``row_of`` has made."""
    strategy: Any = row.strategy
    return strategy.schema  # type: ignore[no-any-return]


def row_of(crd: Crd, version: Version, rules_of: RulesOf) -> Resource:
    """The row of one version; conversions are for who serves it to add."""
    schema = Schema(props_of(crd, version))
    rules = rules_of(schema)
    below = version.subresources
    scale = below.scale if below else None
    scaling = CustomScaling(scale) if scale else None
    has_status = below is not None and below.status is not None
    names = crd.status.acceptedNames or crd.spec.names
    subresources = []
    if has_status:
        status = CustomStatusStrategy(schema, has_status=True, rules=rules, scaling=scaling)
        subresources.append(Subresource("status", _OBJECT_VERBS, strategy=status))
    if scale:
        subresources.append(Subresource("scale", _OBJECT_VERBS, "autoscaling", "v1", "Scale"))
    return Resource(
        group=crd.spec.group,
        version=version.name,
        kind=names.kind,
        plural=names.plural,
        cls=class_of(crd, version.name, schema),  # type: ignore[arg-type]  # custom objects stand in for Structs
        strategy=CustomStrategy(schema, has_status=has_status, rules=rules, scaling=scaling),
        namespaced=crd.spec.scope == "Namespaced",
        short_names=tuple(names.shortNames or ()),
        categories=tuple(names.categories or ()),
        subresources=tuple(subresources),
        columns=printing.columns_of(version),
        fields=printing.field_readers(version.selectableFields),
        deprecation=_deprecation(crd, version),
        singular_name=names.singular or "",
        list_name=names.listKind or "",
    )


def _deprecation(crd: Crd, version: Version) -> str:
    if not version.deprecated:
        return ""
    if version.deprecationWarning:
        return version.deprecationWarning
    return f"{crd.spec.group}/{version.name} {crd.spec.names.kind} is deprecated"
