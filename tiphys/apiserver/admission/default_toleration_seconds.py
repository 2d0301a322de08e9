"""DefaultTolerationSeconds: Pods stay five minutes on a node that is not ready or not reachable.

Source: Kubernetes docs, "Taints and Tolerations", "Taint based Evictions".
"""

from typing import Any, ClassVar, Final

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.seams import Attributes

SECONDS: Final = 300
TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name: ClassVar = "DefaultTolerationSeconds"
    resources: ClassVar = ("pods",)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        tolerations = obj.spec.tolerations or []
        added = [
            core_v1.Toleration(key=taint, operator="Exists", effect="NoExecute", tolerationSeconds=SECONDS)
            for taint in TAINTS
            if not any(tolerates(toleration, taint) for toleration in tolerations)
        ]
        if added:
            obj.spec.tolerations = [*tolerations, *added]


def tolerates(toleration: core_v1.Toleration, taint: str) -> bool:
    """Whether a Pod has an opinion of its own about a NoExecute taint."""
    return (not toleration.key or toleration.key == taint) and toleration.effect in (None, "", "NoExecute")
