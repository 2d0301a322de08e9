"""DefaultStorageClass and DefaultIngressClass: who names no class gets the one that is marked as default.

Source: Kubernetes docs, "Admission Control", both plugins; "Storage Classes",
"Default StorageClass".
"""

from typing import Any, ClassVar, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects


class DefaultStorageClass(Plugin):
    name: ClassVar = "DefaultStorageClass"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("persistentvolumeclaims",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        # An empty name asks for volumes without a class, so it is not the same as none.
        if obj.spec.storageClassName is not None:
            return
        found = _defaults(
            self._objects, "storage.k8s.io", "storageclasses", "storageclass.kubernetes.io/is-default-class"
        )
        if found:
            # The newest counts; among equals the first by name.
            newest = max(one.metadata.creationTimestamp or "" for one in found)
            names = [one.metadata.name for one in found if (one.metadata.creationTimestamp or "") == newest]
            obj.spec.storageClassName = min(names)


class DefaultIngressClass(Plugin):
    name: ClassVar = "DefaultIngressClass"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("ingresses.networking.k8s.io",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if obj.spec.ingressClassName is not None or "kubernetes.io/ingress.class" in obj.metadata.annotations:
            return
        key = "ingressclass.kubernetes.io/is-default-class"
        found = _defaults(self._objects, "networking.k8s.io", "ingressclasses", key)
        if len(found) > 1:
            why = f"{len(found)} default IngressClasses were found, only 1 allowed"
            raise forbidden(attributes, obj, why)
        if found:
            obj.spec.ingressClassName = found[0].metadata.name


def _defaults(objects: Objects, group: str, plural: str, annotation: str) -> list[Any]:
    return [one for one in objects.all(group, plural) if one.metadata.annotations.get(annotation) == "true"]
