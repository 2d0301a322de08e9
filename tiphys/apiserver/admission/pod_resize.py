"""PodResizeValidator: a running Pod grows no larger than its node, and only where growing works.

Source: KEP-1287 In-place Update of Pod Resources; kube-apiserver's plugin, by behaviour.
"""

from typing import Any, ClassVar, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import quantity
from tiphys.machinery.goformat import quote
from tiphys.resources import quota


class PodResizeValidator(Plugin):
    name: ClassVar = "PodResizeValidator"
    operations: ClassVar = ("UPDATE",)
    resources: ClassVar = ("pods/resize",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        name = obj.spec.nodeName
        if not name or obj.metadata.generation == old.metadata.generation:
            return
        node = self._objects.find("", "nodes", "", name)
        if node is None:
            raise forbidden(attributes, obj, f"node {quote(name)} not found")
        problems = _too_large(obj, node.status.allocatable or {})
        if problems:
            raise forbidden(attributes, obj, f"Node didn't have enough allocatable resources: {'; '.join(problems)}")
        system = node.metadata.labels.get("kubernetes.io/os", "")
        if system != "linux":
            why = f"pod resize is only supported on linux nodes, node {quote(name)} is {quote(system)}"
            raise forbidden(attributes, obj, why)


def _too_large(pod: Any, allocatable: dict[str, str]) -> list[str]:
    requests = quota.pod_amounts(pod, "requests")
    found: list[str] = []
    for name, measure in (("cpu", quantity.milli), ("memory", quantity.value)):
        asked, there = measure(requests.get(name, "0")), measure(allocatable.get(name, "0"))
        if asked > there:
            found.append(f"{name}, requested: {asked}, allocatable: {there}")
    return found
