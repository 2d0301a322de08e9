"""Which resources the server serves, for controllers that handle all of them.

Asked of the server (aggregated discovery, two requests), so that custom
resources and a stock API server count; the resource table answers where the
server has no aggregated discovery.
"""

from dataclasses import dataclass, field

import msgspec

from tiphys.client import Client
from tiphys.machinery import errors
from tiphys.resources import table

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in its preferred version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def name(self) -> str:
        """``deployments.apps``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(slots=True)
class Discovered:
    """What is served as far as is known. ``failing`` are versions (``metrics.k8s.io/v1beta1``) whose server does not
    say what it serves; what is listed of them may be old."""

    resources: list[Served] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)


class _Kind(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct):
    resource: str = ""
    scope: str = ""
    verbs: list[str] = []
    responseKind: _Kind = msgspec.field(default_factory=_Kind)


class _Version(msgspec.Struct):
    version: str = ""
    freshness: str = ""
    resources: list[_Resource] = []


class _Meta(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    versions: list[_Version] = []


class _Groups(msgspec.Struct):
    kind: str = ""
    items: list[_Group] = []


_groups = msgspec.json.Decoder(_Groups)


async def served(client: Client) -> Discovered:
    """Every resource once, in the first version that lists it."""
    try:
        answers = [await client.request("GET", path, accept=ACCEPT) for path in ("/api", "/apis")]
        decoded = [_groups.decode(answer) for answer in answers]
    except (errors.NotFound, errors.NotAcceptable, msgspec.DecodeError):
        return Discovered(from_table())
    if any(found.kind != "APIGroupDiscoveryList" for found in decoded):
        return Discovered(from_table())
    failing = []
    result: dict[tuple[str, str], Served] = {}
    for found in decoded:
        for group in found.items:
            for version in group.versions:
                if version.freshness == "Stale":
                    failing.append(f"{group.metadata.name}/{version.version}")
                for resource in version.resources:
                    result.setdefault(
                        (group.metadata.name, resource.resource),
                        Served(
                            group.metadata.name,
                            version.version,
                            resource.resource,
                            resource.responseKind.kind,
                            resource.scope == "Namespaced",
                            frozenset(resource.verbs),
                        ),
                    )
    return Discovered(list(result.values()), failing)


def from_table() -> list[Served]:
    result: dict[tuple[str, str], Served] = {}
    for row in table.RESOURCES:
        if not row.virtual:
            entry = Served(row.group, row.version, row.plural, row.kind, row.namespaced, frozenset(row.verbs))
            result.setdefault((row.group, row.plural), entry)
    return list(result.values())
