"""What a word or a manifest means: kinds of the resource table, and all others that the cluster serves by now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.client import Client, ResourceClient
from tiphys.machinery import codec
from tiphys.resources import table
from tiphys.resources.rules import Resource
from tiphys.testing.views import View

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource. ``cls`` is its Struct; None where objects are dicts."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    cls: type[Any] | None = None
    names: frozenset[str] = frozenset()

    def calls(self, client: Client) -> ResourceClient[Any]:
        if self.cls is not None:
            return client.of(self.cls)
        return ResourceClient(client, self.group, self.version, self.plural, self.namespaced, _view)


class Kinds:
    """Raises LookupError for what nobody serves."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of_manifest(self, obj: Mapping[str, Any]) -> Kind:
        group, _, version = str(obj["apiVersion"]).rpartition("/")
        try:
            return _of_row(table.by_kind(group, version, str(obj["kind"])))
        except LookupError:
            pass
        for kind in await self._published():
            if (kind.group, kind.version, kind.kind) == (group, version, obj["kind"]):
                return kind
        raise LookupError(f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"')

    async def of_word(self, word: str | type[Any]) -> Kind:
        """Plural, singular, kind or short name, with ``.group`` where that is ambiguous; or a class."""
        if not isinstance(word, str):
            return _of_row(table.by_class(word))
        try:
            return _of_row(table.find(word))
        except LookupError:
            name, _, group = word.lower().partition(".")
            for kind in await self._published():
                if name in kind.names and group in ("", kind.group, f"{kind.version}.{kind.group}"):
                    return kind
            raise

    async def of_reference(self, text: str, namespace: str) -> tuple[Kind, str, str]:
        """``deployment/web`` or ``deployment/shop/web`` as kind, namespace (empty if it has none) and name."""
        word, *rest = text.split("/")
        if not rest or len(rest) > 2:
            raise LookupError(f"{text!r} is not kind/name or kind/namespace/name")
        kind = await self.of_word(word)
        where = rest[0] if len(rest) == 2 else namespace
        return kind, where if kind.namespaced else "", rest[-1]

    async def _published(self) -> list[Kind]:
        """All of discovery, preferred versions first."""
        body = await self._client.request("GET", "/apis", accept=AGGREGATED)
        return [
            _of_document(group["metadata"]["name"], version["version"], resource)
            for group in codec.decode_builtins(body)["items"]
            for version in group["versions"]
            for resource in version.get("resources") or ()
        ]


def _view(data: bytes) -> View:
    return View(codec.decode_builtins(data))


def _of_row(row: Resource) -> Kind:
    return Kind(row.group, row.version, row.plural, row.kind, row.namespaced, row.cls)


def _of_document(group: str, version: str, resource: Mapping[str, Any]) -> Kind:
    kind = str(resource["responseKind"]["kind"])
    plural = str(resource["resource"])
    names = {plural, resource.get("singularResource") or "", kind.lower(), *(resource.get("shortNames") or ())}
    return Kind(group, version, plural, kind, resource["scope"] == "Namespaced", None, frozenset(names - {""}))
