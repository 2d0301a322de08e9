"""ExtendedResourceToleration: who asks for an extended resource may go where it is kept for such Pods.

Source: Kubernetes docs, "Admission Control", ExtendedResourceToleration.
"""

from typing import Any, ClassVar

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.seams import Attributes


class ExtendedResourceToleration(Plugin):
    name: ClassVar = "ExtendedResourceToleration"
    resources: ClassVar = ("pods",)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        names = {
            name
            for container in (*obj.spec.containers, *(obj.spec.initContainers or ()))
            for name in ((container.resources and container.resources.requests) or {})
            if is_extended(name)
        }
        tolerations = list(obj.spec.tolerations or ())
        for name in sorted(names):
            wanted = core_v1.Toleration(key=name, operator="Exists")
            if wanted not in tolerations:
                tolerations.append(wanted)
        if names:
            obj.spec.tolerations = tolerations


def is_extended(name: str) -> bool:
    """Whether a resource is neither Kubernetes' own nor a quota's."""
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")
