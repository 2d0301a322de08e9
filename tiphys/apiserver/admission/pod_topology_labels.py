"""PodTopologyLabels: a bound Pod carries its node's zone and region.

Source: KEP-4742 Expose Node Topology Labels via Downward API.
"""

from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools
from tiphys.apiserver.seams import Attributes, Objects

LABELS: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name: ClassVar = "PodTopologyLabels"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("pods/binding", "bindings", "pods")

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.resource == "pods" and not attributes.subresource:
            name = obj.spec.nodeName
        else:
            name = obj.target.name if obj.target.kind in (None, "", "Node") else ""
        node = self._objects.find("", "nodes", "", name) if name else None
        if node is None:
            return
        found = {label: node.metadata.labels[label] for label in LABELS if label in node.metadata.labels}
        if found:
            obj.metadata.labels = {**obj.metadata.labels, **found}
