"""NamespaceExists and NamespaceAutoProvision: what to do about a Namespace that is not there.

Source: Kubernetes docs, "Admission Control", both plugins.
"""

from collections.abc import Awaitable
from typing import Any, ClassVar, Self

from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.admission.plugin import ALL, Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import errors


class _Namespaces(Plugin):
    resources: ClassVar = (ALL,)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def _is_missing(self, attributes: Attributes) -> bool:
        name = attributes.namespace
        if not name or (attributes.resource == "namespaces" and not attributes.group):
            return False
        return self._objects.find("", "namespaces", "", name) is None


class NamespaceExists(_Namespaces):
    name: ClassVar = "NamespaceExists"
    operations: ClassVar = ("CREATE", "UPDATE", "DELETE")

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if self._is_missing(attributes):
            raise errors.NotFound("namespaces", attributes.namespace)


class NamespaceAutoProvision(_Namespaces):
    name: ClassVar = "NamespaceAutoProvision"
    operations: ClassVar = ("CREATE",)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        if attributes.dry_run or not self._is_missing(attributes):
            return None
        return self._provide(attributes, obj)

    async def _provide(self, attributes: Attributes, obj: Any) -> None:
        metadata = meta_v1.ObjectMeta(name=attributes.namespace)
        try:
            await self._objects.create(core_v1.Namespace(metadata=metadata))
        except errors.AlreadyExists:
            # Somebody else was quicker.
            pass
        except errors.StatusError as problem:
            raise forbidden(attributes, obj, problem.message) from problem
