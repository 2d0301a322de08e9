"""Priority: a Pod's priority is what its PriorityClass says; at most one class is the default.

Source: Kubernetes docs, "Pod Priority and Preemption".
"""

from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects

GROUP: Final = "scheduling.k8s.io"
PREEMPT: Final = "PreemptLowerPriority"
PROVIDED: Final = "must not be provided in pod spec; priority admission controller computed {} from the given {}"


class Priority(Plugin):
    name: ClassVar = "Priority"
    resources: ClassVar = ("pods", "priorityclasses.scheduling.k8s.io")

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.resource != "pods":
            return
        if old is not None:
            _keep(obj.spec, old.spec)
            return
        priority, policy = self._computed(attributes, obj)
        spec = obj.spec
        if spec.priority is not None and spec.priority != priority:
            why = PROVIDED.format(priority, "PriorityClass name")
            raise forbidden(attributes, obj, f"the integer value of priority ({spec.priority}) {why}")
        spec.priority = priority
        if spec.preemptionPolicy is not None and spec.preemptionPolicy != policy:
            why = PROVIDED.format(policy, "PriorityClass name")
            raise forbidden(attributes, obj, f"the string value of PreemptionPolicy ({spec.preemptionPolicy}) {why}")
        spec.preemptionPolicy = policy

    def _computed(self, attributes: Attributes, pod: Any) -> tuple[int, str]:
        """Priority and preemption policy; names the default class in the Pod if there is one."""
        name = pod.spec.priorityClassName
        if name:
            found = self._objects.find(GROUP, "priorityclasses", "", name)
            if found is None:
                raise forbidden(attributes, pod, f"no PriorityClass with name {name} was found")
        else:
            defaults = [one for one in self._objects.all(GROUP, "priorityclasses") if one.globalDefault]
            # Several are there only if two servers let them in at once; the lowest then counts.
            found = min(defaults, key=lambda one: one.value or 0, default=None)
            if found is None:
                return 0, PREEMPT
            pod.spec.priorityClassName = found.metadata.name
        return found.value or 0, found.preemptionPolicy or PREEMPT

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.resource == "pods" or not obj.globalDefault:
            return
        for other in self._objects.all(GROUP, "priorityclasses"):
            if other.globalDefault and other.metadata.name != obj.metadata.name:
                why = f"PriorityClass {other.metadata.name} is already marked as default. Only one default can exist"
                raise forbidden(attributes, obj, why)


def _keep(new: Any, old: Any) -> None:
    """Clients that do not know the fields leave them out; that changes nothing."""
    if new.priority is None:
        new.priority = old.priority
    if new.preemptionPolicy is None:
        new.preemptionPolicy = old.preemptionPolicy
