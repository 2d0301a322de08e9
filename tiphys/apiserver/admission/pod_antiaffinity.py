"""LimitPodHardAntiAffinityTopology: a Pod may keep others off its node, not off a whole zone.

Source: Kubernetes docs, "Admission Control", LimitPodHardAntiAffinityTopology.
"""

from typing import Any, ClassVar, Final

from tiphys.apiserver.admission.plugin import Plugin, forbidden
from tiphys.apiserver.seams import Attributes

HOSTNAME: Final = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    name: ClassVar = "LimitPodHardAntiAffinityTopology"
    resources: ClassVar = ("pods",)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        anti = obj.spec.affinity and obj.spec.affinity.podAntiAffinity
        for term in (anti and anti.requiredDuringSchedulingIgnoredDuringExecution) or ():
            if term.topologyKey != HOSTNAME:
                why = (
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {term.topologyKey} "
                    f"but only key {HOSTNAME} is allowed"
                )
                raise forbidden(attributes, obj, why)
