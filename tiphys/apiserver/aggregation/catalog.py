"""Every group and version that is served, by whom, and in which order; it changes while the server runs.

Three kinds of servers meet here: the resource table (fixed), custom resources
(``publish`` and ``withdraw``), other servers behind an APIService (``link`` and
``unlink``). Discovery and OpenAPI read it and subscribe to its changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tiphys.apiserver.aggregation.priorities import BUILT_IN, CUSTOM, Priority, version_key
from tiphys.resources import table
from tiphys.resources.rules import Resource

Freshness = Literal["Current", "Stale"]


@dataclass(frozen=True, slots=True)
class Published:
    """One served version of one resource, as discovery and OpenAPI show it."""

    row: Resource
    #: The version's ``openAPIV3Schema`` as builtins, structural; None: nothing is known of its objects.
    schema: Mapping[str, Any] | None = None
    #: Empty: the kind with ``List`` behind it.
    list_kind: str = ""
    #: In which version objects are stored; empty: in this one.
    storage_version: str = ""
    #: From the resource table. Schemas of these come from the packaged documents.
    built_in: bool = False

    @property
    def list_name(self) -> str:
        return self.list_kind or f"{self.row.kind}List"


@dataclass(frozen=True, slots=True)
class Remote:
    """A version that another server serves. ``resources`` are entries of aggregated discovery, as it sent them."""

    priority: Priority
    resources: Sequence[Mapping[str, Any]] = ()
    freshness: Freshness = "Stale"


@dataclass(slots=True)
class _Version:
    local: list[Published] = field(default_factory=list)
    remote: Remote | None = None


#: Told the group whose versions, resources or schemas are others now.
Changed = Callable[[str], None]


class Catalog:
    """All that is served. One per server, on its event loop."""

    def __init__(self, rows: Sequence[Resource] | None = None) -> None:
        self._groups: dict[str, dict[str, _Version]] = {}
        self._published: dict[str, tuple[Published, ...]] = {}
        self._changed: list[Changed] = []
        self._order: list[str] | None = None
        for row in table.RESOURCES if rows is None else rows:
            self._version(row.group, row.version).local.append(Published(row, built_in=True))

    def publish(self, owner: str, served: Sequence[Published]) -> None:
        """Show ``served`` (nothing else) as what ``owner`` serves. Equal to what is there: nothing happens."""
        new = tuple(served)
        old = self._published.get(owner, ())
        if new == old:
            return
        for one in old:
            self._version(one.row.group, one.row.version).local.remove(one)
        for one in new:
            self._version(one.row.group, one.row.version).local.append(one)
        if new:
            self._published[owner] = new
        else:
            self._published.pop(owner, None)
        self._tell({one.row.group for one in (*old, *new)})

    def withdraw(self, owner: str) -> None:
        """Show nothing of ``owner`` any more; unknown owners are fine."""
        self.publish(owner, ())

    def hide(self, is_hidden: Callable[[Resource], bool]) -> None:
        """Show built-in resources of which this is true no more; they are served all the same."""
        for group, versions in list(self._groups.items()):
            for name, version in list(versions.items()):
                version.local = [one for one in version.local if not (one.built_in and is_hidden(one.row))]
                if not version.local and version.remote is None:
                    del versions[name]
            if not versions:
                del self._groups[group]
        self._order = None

    def link(self, group: str, version: str, remote: Remote) -> None:
        """Another server serves this version, whatever else would."""
        found = self._version(group, version)
        if found.remote != remote:
            found.remote = remote
            self._tell({group})

    def unlink(self, group: str, version: str) -> None:
        """No other server serves this version any more."""
        if self.remote(group, version) is not None:
            self._version(group, version).remote = None
            self._tell({group})

    def subscribe(self, changed: Changed) -> None:
        self._changed.append(changed)

    def groups(self) -> Sequence[str]:
        """Names of groups, the most important first; the core group's is empty."""
        if self._order is None:
            self._order = sorted(self._groups, key=self._group_key)
        return self._order

    def versions(self, group: str) -> Sequence[str]:
        """Versions of a group, the preferred one first; none for an unknown group."""
        found = self._groups.get(group, {})
        return sorted(found, key=lambda version: (-self.priority(group, version).version, version_key(version)))

    def served(self, group: str, version: str) -> Sequence[Published]:
        """What this server itself serves of a version; nothing if another server serves it."""
        found = self._groups.get(group, {}).get(version)
        return () if found is None or found.remote is not None else found.local

    def remote(self, group: str, version: str) -> Remote | None:
        found = self._groups.get(group, {}).get(version)
        return found.remote if found is not None else None

    def has(self, group: str, version: str) -> bool:
        return version in self._groups.get(group, ())

    def priority(self, group: str, version: str) -> Priority:
        remote = self.remote(group, version)
        return remote.priority if remote is not None else BUILT_IN.get((group, version), CUSTOM)

    def _version(self, group: str, version: str) -> _Version:
        return self._groups.setdefault(group, {}).setdefault(version, _Version())

    def _group_key(self, group: str) -> tuple[int, str]:
        """A group stands where its most important version's APIService would."""
        return min((-self.priority(group, one).group, f"{one}.{group}") for one in self._groups[group])

    def _tell(self, groups: set[str]) -> None:
        for group in groups:
            versions = self._groups[group]
            for version in [one for one, found in versions.items() if not found.local and found.remote is None]:
                del versions[version]
            if not versions:
                del self._groups[group]
        self._order = None
        for group in sorted(groups):
            for changed in self._changed:
                changed(group)
