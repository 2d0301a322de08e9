"""RuntimeClass: a Pod carries the overhead of its RuntimeClass and goes where that is served.

Source: Kubernetes docs, "Runtime Class"; "Pod Overhead".
"""

from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import codec
from tiphys.machinery.goformat import quote

GROUP: Final = "node.k8s.io"


class RuntimeClass(Plugin):
    name: ClassVar = "RuntimeClass"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("pods",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        found = self._class(attributes, obj)
        if found is None:
            return
        self._set_overhead(attributes, obj, found)
        if found.scheduling is not None:
            _set_scheduling(attributes, obj, found.scheduling)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if self._class(attributes, obj) is None and obj.spec.overhead:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden(attributes, obj, why)

    def _class(self, attributes: Attributes, pod: Any) -> Any | None:
        name = pod.spec.runtimeClassName
        if not name:
            return None
        found = self._objects.find(GROUP, "runtimeclasses", "", name)
        if found is None:
            raise forbidden(attributes, pod, f"pod rejected: RuntimeClass {quote(name)} not found")
        return found

    def _set_overhead(self, attributes: Attributes, pod: Any, found: Any) -> None:
        fixed = (found.overhead and found.overhead.podFixed) or None
        if pod.spec.overhead and pod.spec.overhead != fixed:
            why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise forbidden(attributes, pod, why)
        if fixed:
            pod.spec.overhead = dict(fixed)


def _set_scheduling(attributes: Attributes, pod: Any, scheduling: Any) -> None:
    spec = pod.spec
    own = spec.nodeSelector or {}
    for key, value in (scheduling.nodeSelector or {}).items():
        if own.get(key, value) != value:
            theirs = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}"
            raise forbidden(attributes, pod, f"conflict: {theirs}; pod.spec.nodeSelector[{key}] = {own[key]}")
    if scheduling.nodeSelector:
        spec.nodeSelector = {**own, **scheduling.nodeSelector}
    tolerations = list(spec.tolerations or ())
    missing = [codec.copy(one) for one in scheduling.tolerations or () if one not in tolerations]
    if missing:
        spec.tolerations = [*tolerations, *missing]
