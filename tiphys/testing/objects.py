"""What a test does with objects, as coroutines; ``Cluster`` runs them."""

import builtins
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tiphys.api import core_v1
from tiphys.cli.applying import annotation, diff
from tiphys.client import Client, ResourceClient
from tiphys.machinery import codec, errors
from tiphys.testing.expect import is_so
from tiphys.testing.kinds import Kind, Kinds
from tiphys.testing.views import View

Dict = dict[str, Any]


class Objects:
    """Of one user, who names no namespace where he means ``namespace``.

    ``settled`` returns once all has happened that could without time passing.
    """

    def __init__(self, client: Client, namespace: str, settled: Callable[[], Awaitable[None]]) -> None:
        self.client = client
        self.namespace = namespace
        self._settled = settled
        self._kinds = Kinds(client)

    async def get(self, reference: str, namespace: str = "") -> Any:
        kind, where, name = await self._kinds.of_reference(reference, namespace or self.namespace)
        return await self._calls(kind).get(name, where)

    async def find(self, reference: str, namespace: str = "") -> Any:
        try:
            return await self.get(reference, namespace)
        except (errors.NotFound, LookupError):
            return None

    async def list(self, word: str | type[Any], namespace: str, labels: str, fields: str) -> list[Any]:
        kind = await self._kinds.of_word(word)
        where = "" if namespace == "*" or not kind.namespaced else namespace or self.namespace
        return (await self._calls(kind).list(where, labels=labels, fields=fields)).items

    async def events(self, reference: str = "", reason: str = "") -> builtins.list[core_v1.Event]:
        """In the order in which they came."""
        found = (await self.client.of(core_v1.Event).list()).items
        if reference:
            kind, where, name = await self._kinds.of_reference(reference, self.namespace)
            found = [event for event in found if _is_about(event, kind, where, name)]
        found = [event for event in found if reason in ("", event.reason)]
        return sorted(found, key=lambda e: int(e.metadata.resourceVersion))

    async def patch(self, reference: str, change: Dict, namespace: str, subresource: str) -> Any:
        kind, where, name = await self._kinds.of_reference(reference, namespace or self.namespace)
        calls = self._calls(kind)
        path = calls.path(where, name, subresource)
        body = codec.encode(change)
        answer = await self.client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
        # Of another kind where the subresource has one; and a change may have been the object's end.
        return await calls.get(name, where) if subresource not in ("", "status") else calls.decode(answer)

    async def delete(self, reference: str, namespace: str, **options: Any) -> None:
        kind, where, name = await self._kinds.of_reference(reference, namespace or self.namespace)
        await self._calls(kind).delete(name, where, **options)

    async def create(self, found: Iterable[Dict]) -> builtins.list[Any]:
        made = []
        for given in found:
            kind, obj = await self._placed(given)
            made.append(await self._calls(kind).create(_as(kind, obj)))
            await self._serve(kind)
        return made

    async def apply(self, found: Iterable[Dict]) -> builtins.list[Any]:
        made = []
        for given in found:
            kind, obj = await self._placed(given)
            made.append(await self._applied(kind, obj))
            await self._serve(kind)
        return made

    async def _applied(self, kind: Kind, obj: Dict) -> Any:
        calls = self._calls(kind)
        modified = annotation.annotated(obj)
        meta = obj["metadata"]
        where = meta.get("namespace", "")
        try:
            there = await calls.get(meta["name"], where)
        except errors.NotFound:
            return await calls.create(_as(kind, modified))
        current = codec.to_builtins(there)
        original = annotation.last_applied(current) or {}
        if kind.cls is not None:
            change = diff.strategic_patch(kind.cls, original, modified, current)
            return await calls.patch(meta["name"], where, change, "strategic") if change else there
        change = diff.merge_patch(original, modified, current)
        return await calls.patch(meta["name"], where, change, "merge") if change else there

    async def _serve(self, kind: Kind) -> None:
        """What follows a definition may be of the kind that it defines, which takes the server a moment to serve."""
        if kind.kind in ("CustomResourceDefinition", "APIService"):
            await self._settled()

    async def _placed(self, obj: Dict) -> tuple[Kind, Dict]:
        """The object's kind, and the object with its namespace."""
        kind = await self._kinds.of_manifest(obj)
        meta = dict(obj.get("metadata") or {})
        if kind.namespaced:
            meta.setdefault("namespace", self.namespace)
        return kind, obj | {"metadata": meta}

    def _calls(self, kind: Kind) -> ResourceClient[Any]:
        return kind.calls(self.client)

    async def disappointment(self, reference: str, wanted: object) -> str:
        """Why an object is not as it should be: its status, and the last warnings about anything."""
        obj = await self.find(reference)
        status = "there is none" if obj is None else codec.encode(codec.to_builtins(obj).get("status") or {}).decode()
        lines = [f"{e.reason}: {e.message}" for e in await self.events() if e.type == "Warning"][-10:]
        return "\n".join([f"its status: {status}", *(["warnings:"] if lines else []), *lines])

    async def is_so(self, reference: str, wanted: Any) -> tuple[bool, Any]:
        obj = await self.find(reference)
        return is_so(obj, wanted), obj


def _as(kind: Kind, obj: Dict) -> Any:
    return View(obj) if kind.cls is None else codec.convert(kind.cls, obj)


def _is_about(event: core_v1.Event, kind: Kind, namespace: str, name: str) -> bool:
    about = event.involvedObject
    return (about.kind, about.name) == (kind.kind, name) and namespace in ("", about.namespace or namespace)
