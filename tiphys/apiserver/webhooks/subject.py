"""An object under admission as others see it: as JSON, in the version that they ask for, and back.

Webhooks and policies may ask for another version of a resource than the client sent (``matchPolicy: Equivalent``).
What they see of a new object before it is validated is what Kubernetes has by then: no uid, no time of creation,
and no name where one is yet to be made from ``generateName``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tiphys.api import autoscaling_v1
from tiphys.apiserver.admission.plugin import SUFFIX_LENGTH, replace_contents
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.registry.scale import scale_of
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import codec
from tiphys.resources.rules import Resource

#: What a client must not know yet, and what it cannot have changed.
PENDING = ("uid", "creationTimestamp", "selfLink")


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}, Kind={self.kind}"


class Rows:
    """The rows of all that is served, custom resources included."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._found: dict[tuple[str, str, str], Resource | None] = {}
        self._equivalents: dict[tuple[str, str, str], Sequence[Resource]] = {}
        catalog.subscribe(self._forget)

    def _forget(self, group: str) -> None:
        self._found.clear()
        self._equivalents.clear()

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        key = (group, version, plural)
        if key not in self._found:
            served = (one.row for one in self._catalog.served(group, version))
            self._found[key] = next((row for row in served if row.plural == plural), None)
        return self._found[key]

    def equivalents(self, row: Resource) -> Sequence[Resource]:
        """The other rows that serve the same objects."""
        key = (row.group, row.version, row.plural)
        if key not in self._equivalents:
            catalog = self._catalog
            rows = (
                one.row
                for group in catalog.groups()
                for version in catalog.versions(group)
                for one in catalog.served(group, version)
            )
            self._equivalents[key] = [
                other for other in rows if other is not row and other.storage_resource == row.storage_resource
            ]
        return self._equivalents[key]


def kind_of(row: Resource, subresource: str) -> Kind:
    """What a path of the row speaks."""
    for one in row.subresources:
        if one.name == subresource and one.kind:
            return Kind(one.group, one.version, one.kind)
    return Kind(row.group, row.version, row.kind)


class Subject:
    """One request's object and what it replaces. ``pending``: it is new, and the system has not filled it in yet."""

    def __init__(self, attributes: Attributes, obj: Any, old: Any, row: Resource | None, *, pending: bool) -> None:
        self.attributes = attributes
        self.obj = obj
        self.old = old
        self.row = row
        self.pending = pending and attributes.operation == "CREATE"
        #: By whether it is the old one, and the version's row (by identity: rows are no keys).
        self._seen: dict[tuple[bool, int], bytes] = {}

    @property
    def name(self) -> str:
        """The name in the request; none where it is yet to be made."""
        return "" if self.pending and self._is_generated else self.attributes.name

    @property
    def _is_generated(self) -> bool:
        metadata = getattr(self.obj, "metadata", None)
        prefix = metadata.generateName if metadata is not None else ""
        name = metadata.name if metadata is not None else ""
        return bool(prefix) and len(name) == len(prefix) + SUFFIX_LENGTH and name.startswith(prefix)

    @property
    def namespace(self) -> str:
        """As in the request; for a Namespace its own name."""
        attributes = self.attributes
        if attributes.resource == "namespaces" and not attributes.group:
            return attributes.name
        return attributes.namespace

    def labels(self, *, old: bool) -> dict[str, str] | None:
        """None if there is no object, or one without metadata."""
        metadata = getattr(self.old if old else self.obj, "metadata", None)
        return metadata.labels if metadata is not None else None

    def new(self, row: Resource | None) -> bytes:
        """The object as JSON in the version of ``row``; ``null`` if there is none."""
        return self._json(self.obj, row, old=False)

    def before(self, row: Resource | None) -> bytes:
        """What it replaces."""
        return self._json(self.old, row, old=True)

    def _json(self, obj: Any, row: Resource | None, *, old: bool) -> bytes:
        if obj is None:
            return b"null"
        key = (old, id(row))
        found = self._seen.get(key)
        if found is None:
            shown = self._shown(obj, row)
            found = codec.encode(shown)
            if self.pending and not old and hasattr(shown, "metadata"):
                found = codec.encode(self._hidden(codec.decode_builtins(found)))
            self._seen[key] = found
        return found

    def _shown(self, obj: Any, row: Resource | None) -> Any:
        if self.attributes.subresource == "scale" and not isinstance(obj, autoscaling_v1.Scale):
            return scale_of(obj)
        if row is None or self.row is None or row is self.row:
            return obj
        stored = self.row.to_storage(codec.copy(obj)) if self.row.to_storage is not None else codec.copy(obj)
        return row.from_storage(stored) if row.from_storage is not None else stored

    def _hidden(self, document: dict[str, Any]) -> dict[str, Any]:
        metadata = document.get("metadata") or {}
        for name in PENDING:
            metadata.pop(name, None)
        if self._is_generated:
            metadata.pop("name", None)
        return document

    def replace(self, document: dict[str, Any], row: Resource | None) -> bool:
        """Make the object what ``document``, in the version of ``row``, says; whether that changes anything.

        Raises codec.DecodeError.
        """
        if self.attributes.subresource == "scale":
            return self._scale(document)
        changed = self._restored(document, row)
        if changed is None:
            return False
        replace_contents(self.obj, changed)
        self._seen.clear()
        return True

    def _scale(self, document: dict[str, Any]) -> bool:
        replicas = codec.convert(autoscaling_v1.Scale, document).spec.replicas or None
        if (self.obj.spec.replicas or None) == replicas:
            return False
        self.obj.spec.replicas = replicas
        self._seen.clear()
        return True

    def _restored(self, document: dict[str, Any], row: Resource | None) -> Any:
        """The object in its own version, defaulted; None if nothing is different."""
        own = self.obj
        other = row is not None and self.row is not None and row is not self.row
        new: Any = codec.convert(row.cls if other and row is not None else type(own), document)
        if not self.attributes.subresource or row is None:
            _default(new, row)
        if other and row is not None and self.row is not None:
            stored = row.to_storage(new) if row.to_storage is not None else new
            new = self.row.from_storage(stored) if self.row.from_storage is not None else stored
        if self.pending and hasattr(new, "metadata"):
            for name in PENDING:
                setattr(new.metadata, name, getattr(own.metadata, name))
            new.metadata.name = new.metadata.name or own.metadata.name
        return None if new == own else new


def _default(obj: Any, row: Resource | None) -> None:
    if row is not None and type(obj) is row.cls:
        row.strategy.default(obj)
