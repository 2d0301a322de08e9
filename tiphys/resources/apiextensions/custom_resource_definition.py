"""CustomResourceDefinition: row, defaults, strategies, columns; its validation has modules of its own."""

from datetime import datetime
from typing import Any, Final

import msgspec

from tiphys.api import apiextensions_v1
from tiphys.machinery import conditions
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions import validation
from tiphys.resources.columns import NAME
from tiphys.resources.rules import Column, Resource, Strategy, Subresource

Crd = apiextensions_v1.CustomResourceDefinition

#: Keeps a definition until the objects that it defines are gone.
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"


def default(crd: Crd) -> None:
    """Source: apiextensions/v1 defaults, by behaviour."""
    names = crd.spec.names
    names.singular = names.singular or names.kind.lower()
    if not names.listKind and names.kind:
        names.listKind = names.kind + "List"
    if crd.spec.conversion is None:
        crd.spec.conversion = apiextensions_v1.CustomResourceConversion(strategy="None")
    webhook = crd.spec.conversion.webhook
    if webhook is not None and webhook.clientConfig is not None and webhook.clientConfig.service is not None:
        service = webhook.clientConfig.service
        service.port = 443 if service.port is None else service.port
    for version in crd.spec.versions:
        scale = version.subresources and version.subresources.scale
        if scale and not scale.labelSelectorPath:
            scale.labelSelectorPath = None


class DefinitionStrategy(Strategy[Crd]):
    """The main endpoint."""

    def default(self, obj: Crd) -> None:
        default(obj)

    def prepare_for_create(self, obj: Crd) -> None:
        obj.metadata.generation = 1
        obj.status = apiextensions_v1.CustomResourceDefinitionStatus()
        _note_storage(obj)

    def prepare_for_update(self, obj: Crd, old: Crd) -> None:
        obj.status = msgspec.structs.replace(old.status)
        obj.metadata.generation = (old.metadata.generation or 0) + (obj.spec != old.spec)
        _note_storage(obj)

    def prepare_for_delete(self, obj: Crd, now: datetime) -> None:
        if CLEANUP in obj.metadata.finalizers:
            return
        obj.metadata.finalizers = [*obj.metadata.finalizers, CLEANUP]
        condition = apiextensions_v1.CustomResourceDefinitionCondition(
            type="Terminating",
            status="True",
            reason="InstanceDeletionPending",
            message="CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        )
        obj.status.conditions = conditions.set_condition(obj.status.conditions, condition, now)

    def validate_create(self, obj: Crd) -> list[FieldError]:
        return validation.validate(obj)

    def validate_update(self, obj: Crd, old: Crd) -> list[FieldError]:
        return validation.validate_update(obj, old)

    def warnings(self, obj: Crd, old: Crd | None) -> list[str]:
        return validation.warnings(obj, old)


class DefinitionStatusStrategy(Strategy[Crd]):
    """The ``status`` endpoint: the spec and the metadata stay."""

    def prepare_for_update(self, obj: Crd, old: Crd) -> None:
        obj.spec = old.spec
        metadata: Any = obj.metadata
        managed = metadata.managedFields
        for field in metadata.__struct_fields__:
            setattr(metadata, field, getattr(old.metadata, field))
        metadata.managedFields = managed

    def validate_update(self, obj: Crd, old: Crd) -> list[FieldError]:
        return validation.validate_status(obj)


def _note_storage(crd: Crd) -> None:
    """Objects may from now on be stored in the version that is the storage version now."""
    stored = crd.status.storedVersions = list(crd.status.storedVersions or ())
    for version in crd.spec.versions:
        if version.storage and version.name not in stored:
            stored.append(version.name)
            break


def _created(each: Crd, now: datetime) -> str:
    return each.metadata.creationTimestamp or "<unknown>"


ROW = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    cls=Crd,
    strategy=DefinitionStrategy(),
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(Subresource("status", ("get", "patch", "update"), strategy=DefinitionStatusStrategy()),),
    columns=(NAME, Column("Created At", _created, type="date", description="When it was defined.")),
)
