"""NamespaceLifecycle: nothing is made in a Namespace that does not exist or is on its way out.

Source: Kubernetes docs, "Admission Control", NamespaceLifecycle.
"""

from typing import Any, ClassVar, Final, Self

from tiphys.api import meta_v1
from tiphys.apiserver.admission.plugin import ALL, Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import errors

IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name: ClassVar = "NamespaceLifecycle"
    operations: ClassVar = ("CREATE", "UPDATE", "DELETE")
    resources: ClassVar = (ALL,)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.resource == "namespaces" and not attributes.group:
            if attributes.operation == "DELETE" and attributes.name in IMMORTAL:
                raise errors.Forbidden("namespaces", attributes.name, "this namespace may not be deleted")
            return
        name = attributes.namespace
        if not name or attributes.operation == "DELETE" or attributes.group == "authorization.k8s.io":
            return
        namespace = self._objects.find("", "namespaces", "", name)
        if namespace is None:
            raise errors.NotFound("namespaces", name)
        if attributes.operation == "CREATE" and namespace.status.phase == "Terminating":
            raise _terminating(attributes, obj, name)


def _terminating(attributes: Attributes, obj: Any, name: str) -> errors.Forbidden:
    why = f"unable to create new content in namespace {name} because it is being terminated"
    error = forbidden(attributes, obj, why)
    cause = meta_v1.StatusCause(
        reason="NamespaceTerminating", message=f"namespace {name} is being terminated", field="metadata.namespace"
    )
    assert error.details is not None
    error.details.causes = [cause]
    return error
