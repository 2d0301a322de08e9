"""PodNodeSelector: a Namespace says on which nodes its Pods run.

Source: Kubernetes docs, "Admission Control", PodNodeSelector.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import errors

ANNOTATION: Final = "scheduler.alpha.kubernetes.io/node-selector"
CLUSTER_DEFAULT: Final = "clusterDefaultNodeSelector"


class PodNodeSelector(Plugin):
    """Its configuration is ``podNodeSelectorPluginConfig``: the cluster's default, and a whitelist per Namespace."""

    name: ClassVar = "PodNodeSelector"
    operations: ClassVar = ("CREATE",)
    resources: ClassVar = ("pods",)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        found = (tools.configuration.get(cls.name) or {}).get("podNodeSelectorPluginConfig") or {}
        return cls(tools.objects, {name: parse(selector) for name, selector in found.items()})

    def __init__(self, objects: Objects, selectors: Mapping[str, Mapping[str, str]]) -> None:
        self._objects = objects
        self._selectors = selectors

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        wanted = self._of_namespace(attributes)
        own = obj.spec.nodeSelector or {}
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise forbidden(attributes, obj, "pod node label selector conflicts with its namespace node label selector")
        if wanted:
            obj.spec.nodeSelector = {**wanted, **own}
        self.validate(attributes, obj, old)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        allowed = self._selectors.get(attributes.namespace) or {}
        own = obj.spec.nodeSelector or {}
        if allowed and any(allowed.get(key, value) != value for key, value in own.items()):
            raise forbidden(attributes, obj, "pod node label selector labels conflict with its namespace whitelist")

    def _of_namespace(self, attributes: Attributes) -> Mapping[str, str]:
        namespace = self._objects.find("", "namespaces", "", attributes.namespace)
        if namespace is None:
            raise errors.NotFound("namespaces", attributes.namespace)
        text = namespace.metadata.annotations.get(ANNOTATION)
        if text is None:
            return self._selectors.get(CLUSTER_DEFAULT) or {}
        try:
            return parse(text)
        except ValueError as problem:
            raise errors.UnknownError(str(problem), reason="") from problem


def parse(text: str) -> dict[str, str]:
    """``a=b,c=d``; raises ValueError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"invalid selector: {part}")
        found[key.strip()] = value.lstrip("=").strip()
    return found
