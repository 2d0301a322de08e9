"""Answers for ``/openapi/v2`` and below ``/openapi/v3``."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from importlib.metadata import version
from typing import Any, Final, Protocol, Self

import tiphys
from tiphys.apiserver.aggregation.catalog import Catalog, Changed, Published
from tiphys.apiserver.discovery import MINOR, Document, resource_list
from tiphys.apiserver.openapi import binary, custom, schemas
from tiphys.apiserver.openapi.paths import Names, paths
from tiphys.apiserver.openapi.schemas import Dialect
from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.machinery import codec, errors
from tiphys.wire.exchange import Response

#: Grows when the documents' form changes: clients keep a document for ever by its hash.
FORM: Final = 1
YEAR_SECONDS: Final = 365 * 24 * 3600
PROTOBUF: Final = "proto-openapi"
INFO: Final = {"title": "Kubernetes", "version": f"v1.{MINOR}.0"}
SECURITY: Final = {
    "BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }
}


class RemoteDocuments(Protocol):
    """What other servers say about the versions that they serve."""

    def subscribe(self, changed: Changed) -> None:
        """Call ``changed(group)`` when a document of a group is another."""

    def index(self) -> Mapping[str, str]:
        """Address of each document of version 3 by its path, such as ``apis/metrics.k8s.io/v1beta1``."""

    def serves(self, path: str) -> bool: ...

    async def serve(self, context: Context, path: str) -> Response:
        """The document of version 3, from the server that has it."""

    def documents(self) -> Iterable[Mapping[str, Any]]:
        """Documents of version 2; their names do not collide with ours."""


class OpenApi:
    """Makes each document off the event loop, when somebody asks, and keeps it until its group changes."""

    def __init__(self, catalog: Catalog | None = None, remote: RemoteDocuments | None = None) -> None:
        self._catalog = catalog or Catalog()
        self._remote = remote
        self._hashes: dict[str, str] = {}
        self._documents: dict[str, asyncio.Task[Document]] = {}
        self._index: Document | None = None
        #: Version 2 of the built-in resources, which every document of version 2 begins with.
        self._base: Parts | None = None
        self._catalog.subscribe(self._forget)
        if remote is not None:
            remote.subscribe(self._forget)

    def _forget(self, group: str) -> None:
        root = f"apis/{group}/" if group else "api/"
        for kept in (self._hashes, self._documents):
            for path in [path for path in kept if path.startswith((root, "v2"))]:
                del kept[path]
        self._index = None

    def routes(self) -> list[RawRoute]:
        return [
            RawRoute("/openapi/v2", self._serve_v2),
            RawRoute("/openapi/v3", self._serve_index),
            RawRoute("/openapi/v3/*", self._serve_v3),
        ]

    def _versions(self) -> Iterator[tuple[str, str, str]]:
        """Path, group and version of all that are served here."""
        for group in self._catalog.groups():
            for one in self._catalog.versions(group):
                if self._catalog.remote(group, one) is None:
                    yield f"apis/{group}/{one}" if group else f"api/{one}", group, one

    def _served(self, path: str) -> Sequence[Published]:
        """What the document of a path is about; nothing for paths that are not served here."""
        root, *rest = path.split("/")
        if len(rest) != {"api": 1, "apis": 2}.get(root):
            return ()
        return self._catalog.served("" if root == "api" else rest[0], rest[-1])

    def _hash_of(self, path: str) -> str:
        if path not in self._hashes:
            self._hashes[path] = _hash(self._served(path))
        return self._hashes[path]

    def _url(self, path: str) -> str:
        return f"/openapi/v3/{path}?hash={self._hash_of(path)}"

    async def _serve_index(self, context: Context) -> Response:
        if self._index is None:
            listed = {path: {"serverRelativeURL": self._url(path)} for path, _, _ in self._versions()}
            if self._remote is not None:
                listed |= {path: {"serverRelativeURL": url} for path, url in self._remote.index().items()}
            self._index = Document({"paths": dict(sorted(listed.items()))})
        return self._index.tagged(context.request)

    async def _serve_v2(self, context: Context) -> Response:
        plain = await self._made("v2", self._whole())
        if _wants_binary(context):
            return (await self._made("v2 binary", partial(_in_binary, plain))).tagged(context.request)
        return plain.tagged(context.request)

    def _whole(self) -> Callable[[], Document]:
        """What makes version 2: the catalog is read now, on the event loop."""
        served = [one for _, group, version_ in self._versions() for one in self._catalog.served(group, version_)]
        others = list(self._remote.documents()) if self._remote is not None else []

        def make() -> Document:
            if self._base is None:
                self._base = Parts.of([one for one in served if one.built_in])
            extra = [one for one in served if not one.built_in]
            parts = [self._base, *([Parts.of(extra, common=False)] if extra else [])]
            for content in others:
                parts.append(Parts.merged(content, parts))
            return Parts.document(parts)

        return make

    async def _serve_v3(self, context: Context) -> Response:
        request = context.request
        path = request.path.removeprefix("/openapi/v3/").rstrip("/")
        if self._remote is not None and self._remote.serves(path):
            return await self._remote.serve(context, path)
        served = self._served(path)
        if _wants_binary(context):
            raise errors.NotAcceptable("only the following media types are accepted: application/json")
        if not served:
            return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
        asked = first(request.query, "hash")
        if asked and asked != self._hash_of(path):
            return Response(301, {"Location": self._url(path)})
        found = (await self._made(path, partial(document, tuple(served), "v3"))).tagged(request)
        if asked and found.status == 200:
            expires = formatdate(context.clock.now().timestamp() + YEAR_SECONDS, usegmt=True)
            return Response(
                200, {**found.headers, "Cache-Control": "public, immutable", "Expires": expires}, found.body
            )
        return found

    async def _made(self, name: str, make: Callable[[], Document]) -> Document:
        task = self._documents.get(name)
        if task is None or (task.done() and task.exception() is not None):
            task = self._documents[name] = asyncio.create_task(asyncio.to_thread(make), name=f"openapi-{name}")
        # Others may wait for the same document: one that goes away does not end the work.
        return await asyncio.shield(task)


def _wants_binary(context: Context) -> bool:
    """Whether only the binary form of OpenAPI would do."""
    clauses = [clause.strip() for clause in context.request.headers.get("accept", "").split(",") if clause.strip()]
    return bool(clauses) and all(PROTOBUF in clause for clause in clauses)


def _in_binary(plain: Document) -> Document:
    return Document(binary.encode(codec.decode_builtins(plain.body)), binary.MEDIA_TYPE)


def _hash(served: Sequence[Published]) -> str:
    """Changes whenever the document may have changed, and is known without making it."""
    row = served[0].row
    facts = (FORM, tiphys.__version__, version("kubernetes-validate"), row.group, row.version)
    listed = codec.encode(resource_list(row.group, row.version, served))
    schemas_given = codec.encode([[one.list_name, one.schema] for one in served if not one.built_in])
    return hashlib.sha512(repr(facts).encode() + listed + schemas_given).hexdigest().upper()


def described(served: Sequence[Published], dialect: Dialect, common: bool = True) -> tuple[Any, Any]:
    """Paths and schemas of what is served. Without ``common`` only schemas of custom resources, whose references
    to built-in ones then lead elsewhere."""
    found = schemas.definitions()
    extra = [one for one in served if not one.built_in]
    own = custom.names(extra)

    def names(group: str, version_: str, kind: str) -> str:
        return own.get((group, version_, kind)) or schemas.name_of(found, group, version_, kind)

    listed = paths(served, names, dialect)
    definitions: dict[str, Any] = {}
    if common:
        used = schemas.reachable(found, _wanted(served, names))
        definitions = {name: schemas.definition(name, found[name], dialect) for name in used}
    for one in extra:
        definitions |= custom.definitions(one, dialect)
    return listed, dict(sorted(definitions.items()))


def _wanted(served: Sequence[Published], names: Names) -> set[str]:
    """The schemas that paths and custom schemas refer to."""
    rows = [one.row for one in served]
    wanted = {names(one.row.group, one.row.version, kind) for one in served for kind in (one.row.kind, one.list_name)}
    for row in rows:
        wanted |= {names(sub.group, sub.version, sub.kind) for sub in row.subresources if sub.kind}
    wanted |= {f"{custom.META}{kind}" for kind in ("Status", "DeleteOptions", "Patch", "WatchEvent")}
    return wanted | set(custom.REFERRED)


def document(served: Sequence[Published], dialect: Dialect) -> Document:
    """The whole document of what is served."""
    listed, definitions = described(served, dialect)
    content: dict[str, Any]
    if dialect == "v2":
        content = {"swagger": "2.0", "info": INFO, "paths": listed, "definitions": definitions}
        content |= {"securityDefinitions": SECURITY, "security": [{"BearerToken": []}]}
    else:
        components = {"schemas": definitions, "securitySchemes": SECURITY}
        content = {"openapi": "3.0.0", "info": INFO, "paths": listed, "components": components}
    return Document(content)


@dataclass(frozen=True, slots=True)
class Parts:
    """Paths and definitions of version 2 as JSON, to be joined: most of a document never changes."""

    paths: bytes
    definitions: bytes
    #: Of paths and definitions: a name stands in a document once.
    names: frozenset[str]

    @classmethod
    def of(cls, served: Sequence[Published], common: bool = True) -> Self:
        return cls._of(*described(served, "v2", common))

    @classmethod
    def merged(cls, content: Mapping[str, Any], others: Iterable["Parts"]) -> Self:
        """The same of another server's document. What has a name that is taken is taken for the same: in practice
        these are Kubernetes' own types."""
        taken = frozenset[str]().union(*(one.names for one in others))
        listed, definitions = (
            {name: one for name, one in content.get(part, {}).items() if name not in taken}
            for part in ("paths", "definitions")
        )
        return cls._of(listed, definitions)

    @classmethod
    def _of(cls, listed: Mapping[str, Any], definitions: Mapping[str, Any]) -> Self:
        return cls(codec.encode(listed), codec.encode(definitions), frozenset((*listed, *definitions)))

    @staticmethod
    def document(parts: Sequence["Parts"]) -> Document:
        listed = _joined([one.paths for one in parts])
        definitions = _joined([one.definitions for one in parts])
        tail = codec.encode({"securityDefinitions": SECURITY, "security": [{"BearerToken": []}]})
        head = codec.encode({"swagger": "2.0", "info": INFO})
        return Document(b"".join((head[:-1], b',"paths":', listed, b',"definitions":', definitions, b",", tail[1:])))


def _joined(objects: Sequence[bytes]) -> bytes:
    """One JSON object of several."""
    inside = [one[1:-1] for one in objects if len(one) > len(b"{}")]
    return b"{" + b",".join(inside) + b"}"
