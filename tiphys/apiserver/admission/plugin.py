"""What a plugin is, what it is made from, and how it refuses."""

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol, Self

from tiphys.api import meta_v1
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.config import AskedHere
from tiphys.apiserver.rbac import Rbac
from tiphys.apiserver.seams import Attributes, Authorizer, Objects
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.machinery import errors

ALL: Final = "*"
SUFFIX_LENGTH: Final = 5


@dataclass(frozen=True, slots=True)
class Tools:
    """All that plugins are made from. ``configuration`` holds what ``--admission-control-config-file`` says, by name
    of plugin; a plugin raises ValueError when it is made from a configuration that cannot be."""

    objects: Objects
    ids: Ids
    clock: Clock
    rbac: Rbac
    authorizer: Authorizer
    catalog: Catalog
    configuration: Mapping[str, Any] = field(default_factory=dict)
    #: See ``ApiServerConfig.webhooks``.
    webhooks: AskedHere | None = None


class Plugin:
    """Handles some operations on some resources; both methods raise a StatusError to refuse.

    Nearly all are plain functions and return None: everything a plugin asks for is in the cache. One that must wait
    for something (another's decision, a server elsewhere) returns what is to be awaited.
    """

    #: As in Kubernetes' ``--enable-admission-plugins``.
    name: ClassVar[str] = ""
    operations: ClassVar[Collection[str]] = ("CREATE", "UPDATE")
    #: ``plural``, ``plural.group``, with ``/subresource`` behind; ``*`` for everything.
    resources: ClassVar[Collection[str]] = ()

    @classmethod
    def made(cls, tools: Tools) -> Self:
        """The plugin of one API server."""
        return cls()

    async def close(self) -> None:
        """Give back what was opened to ask others."""

    def handles(self, attributes: Attributes) -> bool:
        """Asked once for each kind of request, so it may not depend on anything else."""
        return attributes.operation in self.operations and (
            ALL in self.resources or resource_of(attributes) in self.resources
        )

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        """May change ``obj``."""
        return None

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        """Changes nothing."""
        return None


class Reinvocation:
    """What the mutators of one request tell each other: whether all have to look at the object once more.

    Source: Kubernetes docs, "Dynamic Admission Control", "Reinvocation policy".
    """

    __slots__ = ("again", "kept", "needed")

    def __init__(self) -> None:
        #: Whether this is the second round.
        self.again = False
        #: Set by a mutator that changed the object, in the first round.
        self.needed = False
        #: What a mutator keeps from the first round to the second, by its name.
        self.kept: dict[str, Any] = {}


class Mutator(Protocol):
    """Changes objects as the cluster's configuration says: mutating policies and webhooks."""

    @property
    def active(self) -> bool:
        """Whether anything is configured; nothing else of it is touched while not."""

    async def mutate(self, attributes: Attributes, obj: Any, old: Any, reinvocation: Reinvocation) -> None:
        """Change ``obj`` in place (``replace_contents``); raises StatusError to refuse."""


class Validator(Protocol):
    """Refuses objects as the cluster's configuration says: validating policies and webhooks."""

    @property
    def active(self) -> bool:
        """As a Mutator's."""

    async def check(self, attributes: Attributes, obj: Any, old: Any) -> None:
        """Raises StatusError to refuse."""


def replace_contents(obj: Any, new: Any) -> None:
    """Make ``obj`` what ``new`` is. Its metadata stays the same Python object, which others hold as well."""
    if isinstance(obj, dict):
        metadata = obj.get("metadata")
        kept = dict(new)
        if hasattr(metadata, "__struct_fields__"):
            replace_contents(metadata, kept["metadata"])
            kept["metadata"] = metadata
        obj.clear()
        obj.update(kept)
        return
    for name in obj.__struct_fields__:
        value = getattr(new, name)
        if name == "metadata" and hasattr(value, "__struct_fields__"):
            replace_contents(obj.metadata, value)
        else:
            setattr(obj, name, value)


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
