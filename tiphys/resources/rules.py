"""The shape of a resource's row and of the strategy that it names.

Everything generic in the API server, the client and the command line reads the
row; nothing else in tiphys knows a kind by name in order to serve it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from tiphys.api.scalars import Object
from tiphys.machinery import names
from tiphys.machinery.fields import FieldError

T = TypeVar("T", bound=Object)

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Strategy(Generic[T]):
    """Rules of one resource (or of one subresource), called in the order in which they stand here.

    Methods change the object they are given; ``old`` is never changed. What all
    objects share (uid, creationTimestamp, generateName, names, deletion,
    finalizers, resourceVersion) is the registry's, not the strategy's.
    Source: apiserver's RESTCreateStrategy and RESTUpdateStrategy, by behaviour.
    """

    #: PUT to a name that does not exist creates it (Lease, Endpoints, Service, ...).
    create_on_update = False
    #: PUT without a resourceVersion is allowed.
    unconditional_update = True

    def default(self, obj: T) -> None:
        """Fill what the client left out; called after every decode of a client's object."""

    def prepare_for_create(self, obj: T) -> None:
        """Drop what a creator may not set (status) and start counters (generation)."""

    def validate_create(self, obj: T) -> list[FieldError]:
        """All that is wrong; empty if nothing is."""
        return []

    def prepare_for_update(self, obj: T, old: T) -> None:
        """Keep what this endpoint may not change and count the generation up."""

    def validate_update(self, obj: T, old: T) -> list[FieldError]:
        """All that is wrong with the object and with the change."""
        return []

    def warnings(self, obj: T, old: T | None) -> list[str]:
        """Texts of ``Warning`` headers."""
        return []

    def prepare_for_delete(self, obj: T, now: datetime) -> None:
        """Note what the first deletion changes besides its own marks: finalizers, conditions."""

    def grace_period_seconds(self, obj: T, asked: int | None) -> int | None:
        """Seconds between deletionTimestamp and removal for graceful deletion; None: not graceful (all but Pod)."""
        return None


@dataclass(frozen=True, slots=True)
class Column:
    """One printed column. ``cell`` gets the object and the time of printing. Priority above 0 means ``-o wide``."""

    name: str
    cell: Callable[[Any, datetime], str | int | bool | None]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """One path below an object, such as ``status`` or ``scale``.

    ``strategy`` is set where the generic registry serves it (``status``,
    ``ephemeralcontainers``); others have a handler of their own in the API server.
    """

    name: str
    verbs: tuple[str, ...]
    #: Group, version and kind of what the path speaks, where it is not the resource's own.
    group: str = ""
    version: str = ""
    kind: str = ""
    strategy: Strategy[Any] | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource."""

    group: str
    version: str
    kind: str
    #: Lower-case plural as in paths.
    plural: str
    cls: type[Object]
    strategy: Strategy[Any]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    #: Selectable fields besides metadata.name and metadata.namespace.
    fields: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    #: Group and plural of the resource under whose keys this one is stored, where they differ
    #: (``events`` of both groups share storage).
    storage: tuple[str, str] = ("", "")
    #: Pure conversions to and from the class that is stored, where that is another row's
    #: (events.k8s.io Events are stored as core Events, autoscaling/v1 autoscalers as v2).
    to_storage: Callable[[Any], Any] | None = None
    from_storage: Callable[[Any], Any] | None = None
    #: Seconds an object lives without being written, for Events.
    ttl_seconds: float | None = None
    #: What is wrong with a name, in Kubernetes' words.
    name_problems: Callable[[str], Sequence[str]] = names.dns1123_subdomain
    #: Said to whoever uses the resource at all: that this version is deprecated.
    deprecation: str = ""
    #: Serves only create, keeps nothing: TokenReview, SubjectAccessReview, ...
    virtual: bool = False
    #: Alpha and beta versions, which are off unless ``--runtime-config`` switches them on.
    optional: bool = False
    #: The feature gate without which an optional resource stays off.
    feature_gate: str = ""

    #: Names of custom resources that differ from what the kind gives: the singular and the kind of lists.
    singular_name: str = ""
    list_name: str = ""

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.list_name or f"{self.kind}List"

    @property
    def storage_resource(self) -> tuple[str, str]:
        """Group and plural that keys are made of."""
        return self.storage if self.storage[1] else (self.group, self.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``deployments.apps``, ``pods``: as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural
