"""PodTolerationRestriction: a Namespace gives its Pods tolerations, and says which they may have.

Source: Kubernetes docs, "Admission Control", PodTolerationRestriction.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

from tiphys.api import core_v1
from tiphys.apiserver.admission.plugin import Plugin, Tools
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import codec, errors
from tiphys.resources.core.pod import qos

Tolerations = Sequence[core_v1.Toleration]

DEFAULTS: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
MEMORY_PRESSURE: Final = "node.kubernetes.io/memory-pressure"
CONFLICT: Final = (
    "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
)


class PodTolerationRestriction(Plugin):
    """Its configuration: ``default`` and ``whitelist`` of Namespaces that say nothing themselves."""

    name: ClassVar = "PodTolerationRestriction"
    resources: ClassVar = ("pods",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        found = tools.configuration.get(cls.name) or {}
        return cls(tools.objects, _read(found.get("default")) or (), _read(found.get("whitelist")) or ())

    def __init__(self, objects: Objects, default: Tolerations = (), whitelist: Tolerations = ()) -> None:
        self._objects = objects
        self._default = default
        self._whitelist = whitelist

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        extra: list[core_v1.Toleration] = []
        if attributes.operation == "CREATE":
            found = self._of_namespace(attributes, DEFAULTS)
            extra += self._default if found is None else found
        if qos.qos_class(obj) != "BestEffort":
            extra.append(core_v1.Toleration(key=MEMORY_PRESSURE, operator="Exists", effect="NoSchedule"))
        if extra:
            obj.spec.tolerations = merged([*(obj.spec.tolerations or ()), *extra])
        self.validate(attributes, obj, old)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        tolerations = obj.spec.tolerations
        if not tolerations:
            return
        found = self._of_namespace(attributes, WHITELIST)
        whitelist = self._whitelist if found is None else found
        if whitelist and not all(any(covers(allowed, one) for allowed in whitelist) for one in tolerations):
            raise errors.UnknownError(CONFLICT, reason="")

    def _of_namespace(self, attributes: Attributes, annotation: str) -> Tolerations | None:
        """What the Namespace says; None if it says nothing, which an empty list is not."""
        namespace = self._objects.find("", "namespaces", "", attributes.namespace)
        if namespace is None:
            raise errors.NotFound("namespaces", attributes.namespace)
        text = namespace.metadata.annotations.get(annotation)
        if text is None:
            return None
        try:
            return _read(codec.decode_builtins(text.encode())) or () if text else ()
        except (codec.DecodeError, ValueError) as problem:
            raise errors.UnknownError(str(problem), reason="") from problem


def _read(found: Any) -> Tolerations | None:
    if not found:
        return None
    if not isinstance(found, list):
        raise ValueError("a list of tolerations is expected")
    return [codec.convert(core_v1.Toleration, one) for one in found]


def merged(tolerations: Tolerations) -> list[core_v1.Toleration]:
    """Without those that another covers; of equal ones the first stays."""
    kept: list[core_v1.Toleration] = []
    for index, one in enumerate(tolerations):
        if any(covers(other, one) for other in kept):
            continue
        if any(other != one and covers(other, one) for other in tolerations[index + 1 :]):
            continue
        kept.append(one)
    return kept


def covers(whole: core_v1.Toleration, part: core_v1.Toleration) -> bool:
    """Whether ``whole`` tolerates all that ``part`` does."""
    if whole == part:
        return True
    everything = not whole.key and whole.operator == "Exists"
    if part.key != whole.key and not everything:
        return False
    if whole.effect and part.effect != whole.effect:
        return False
    if whole.effect == "NoExecute" and whole.tolerationSeconds is not None:
        seconds = part.tolerationSeconds
        if seconds is None or seconds > whole.tolerationSeconds:
            return False
    if whole.operator in (None, "", "Equal"):
        return part.operator in (None, "", "Equal") and part.value == whole.value
    return whole.operator == "Exists"
