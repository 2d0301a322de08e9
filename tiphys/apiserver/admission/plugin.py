"""What a plugin is, and how it refuses."""

from collections.abc import Collection
from typing import Any, ClassVar, Final

from tiphys.api import meta_v1
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import errors

ALL: Final = "*"
SUFFIX_LENGTH: Final = 5


class Plugin:
    """Handles some operations on some resources; both methods raise a StatusError to refuse.

    They are plain functions: everything a plugin asks for is in the cache.
    """

    #: As in Kubernetes' ``--enable-admission-plugins``.
    name: ClassVar[str] = ""
    operations: ClassVar[Collection[str]] = ("CREATE", "UPDATE")
    #: ``plural``, ``plural.group``, with ``/subresource`` behind; ``*`` for everything.
    resources: ClassVar[Collection[str]] = ()

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation in self.operations and (
            ALL in self.resources or resource_of(attributes) in self.resources
        )

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """May change ``obj``."""

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Changes nothing."""


def resource_of(attributes: Attributes) -> str:
    """``deployments.apps/scale``: how ``Plugin.resources`` names what a request is about."""
    name = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    return f"{name}/{attributes.subresource}" if attributes.subresource else name


def forbidden(attributes: Attributes, obj: Any, why: str) -> errors.Forbidden:
    """A refusal in Kubernetes' words."""
    return errors.Forbidden(attributes.resource, shown_name(attributes, obj), why, attributes.group)


def shown_name(attributes: Attributes, obj: Any) -> str:
    """The object's name; what it will begin with where Kubernetes has not drawn the rest yet."""
    metadata: meta_v1.ObjectMeta | None = getattr(obj, "metadata", None)
    name = attributes.name or (metadata.name if metadata else "")
    if metadata is not None and attributes.operation == "CREATE" and metadata.generateName:
        prefix = metadata.generateName
        if name.startswith(prefix) and len(name) == len(prefix) + SUFFIX_LENGTH:
            return prefix
    return name or "Unknown"


def is_mirror(pod: Any) -> bool:
    """Whether a Pod is a node's own, shown in the API only."""
    return "kubernetes.io/config.mirror" in pod.metadata.annotations
