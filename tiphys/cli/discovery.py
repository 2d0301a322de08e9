"""What the server serves, and which of it a word such as ``po``, ``deploy`` or ``events.events.k8s.io`` means."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tiphys.cli.errors import UserError
from tiphys.cli.server import Server

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource in one version."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def label(self) -> str:
        """``deployment.apps``: how results name it."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(part for part in (f"{root}{middle}/{self.plural}", name, subresource) if part)

    def answers_to(self, word: str) -> bool:
        return word in (self.plural, self.singular, self.kind.lower(), *self.short_names)


class Discovery:
    """Asks the server once, when something is looked up."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @cached_property
    def kinds(self) -> list[Kind]:
        """All resources, the preferred version of each group first."""
        return [
            kind
            for path in ("/api", "/apis")
            for group in self._server.get(path, accept=_AGGREGATED).get("items") or ()
            for kind in _kinds_of(group)
        ]

    def find(self, word: str) -> Kind:
        """By plural, singular, kind or short name, alone or with ``.group`` or ``.version.group``."""
        name, _, group = word.lower().partition(".")
        for kind in self.kinds:
            if kind.answers_to(name) and (not group or group in (kind.group, f"{kind.version}.{kind.group}")):
                return kind
        raise UserError(f'the server doesn\'t have a resource type "{word}"')

    def find_all(self, word: str) -> list[Kind]:
        """Like ``find``, or all of a category such as ``all``."""
        members = {kind.group_resource: kind for kind in reversed(self.kinds) if word in kind.categories}
        return [*reversed(members.values())] or [self.find(word)]

    def of(self, api_version: str, kind: str) -> Kind:
        """The resource of a manifest."""
        for known in self.kinds:
            if known.kind == kind and known.api_version == api_version:
                return known
        raise UserError(
            f'no matches for kind "{kind}" in version "{api_version}"; ensure that what defines it is installed first'
        )


def _kinds_of(group: dict[str, Any]) -> Iterator[Kind]:
    for version in group.get("versions") or ():
        for found in version.get("resources") or ():
            kind = found.get("responseKind") or {}
            name = str(kind.get("kind") or "")
            yield Kind(
                group=str(group.get("metadata", {}).get("name") or ""),
                version=str(version.get("version")),
                kind=name,
                plural=str(found.get("resource")),
                singular=str(found.get("singularResource") or name.lower()),
                namespaced=found.get("scope") == "Namespaced",
                short_names=tuple(found.get("shortNames") or ()),
                categories=tuple(found.get("categories") or ()),
                verbs=tuple(found.get("verbs") or ()),
            )
