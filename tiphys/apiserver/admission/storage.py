"""PersistentVolumeClaimResize and StorageObjectInUseProtection.

Source: Kubernetes docs, "Admission Control", both plugins; "Persistent Volumes", "Storage Object in Use Protection".
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden, resource_of
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import quantity

CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
#: Not those of VolumeAttributesClasses, which no controller would take away again.
FINALIZERS: Final[Mapping[str, str]] = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection(Plugin):
    """Marks new objects so that they stay while something uses them; a controller takes the mark away."""

    name: ClassVar = "StorageObjectInUseProtection"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = tuple(FINALIZERS)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        finalizer = FINALIZERS[resource_of(attributes)]
        if finalizer not in obj.metadata.finalizers:
            obj.metadata.finalizers = [*obj.metadata.finalizers, finalizer]


class PersistentVolumeClaimResize(Plugin):
    name: ClassVar = "PersistentVolumeClaimResize"
    operations: ClassVar = ("UPDATE",)
    resources: ClassVar = ("persistentvolumeclaims",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if quantity.compare(_size(obj), _size(old)) <= 0:
            return
        if old.status.phase != "Bound":
            raise forbidden(attributes, obj, "Only bound persistent volume claims can be expanded")
        if not self._may_grow(obj, old):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )
            raise forbidden(attributes, obj, why)

    def _may_grow(self, obj: Any, old: Any) -> bool:
        name = _class(obj)
        if not name or name != _class(old):
            return False
        found = self._objects.find("storage.k8s.io", "storageclasses", "", name)
        return found is not None and found.allowVolumeExpansion is True


def _size(claim: Any) -> str:
    resources = claim.spec.resources
    return str(((resources and resources.requests) or {}).get("storage", "0"))


def _class(claim: Any) -> str:
    return claim.metadata.annotations.get(CLASS_ANNOTATION) or claim.spec.storageClassName or ""
