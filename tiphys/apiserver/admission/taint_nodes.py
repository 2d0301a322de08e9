"""TaintNodesByCondition: a new Node takes no Pods before it has said that it is ready.

Source: Kubernetes docs, "Admission Control", TaintNodesByCondition.
"""

from typing import Any, ClassVar, Final

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.seams import Attributes

NOT_READY: Final = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    name: ClassVar = "TaintNodesByCondition"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("nodes",)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        taints = obj.spec.taints or []
        if not any(taint.key == NOT_READY and taint.effect == "NoSchedule" for taint in taints):
            obj.spec.taints = [*taints, core_v1.Taint(key=NOT_READY, effect="NoSchedule")]
