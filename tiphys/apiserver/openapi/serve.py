"""Answers for ``/openapi/v2`` and below ``/openapi/v3``."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import tiphys
from tiphys.apiserver.discovery import MINOR, Document, group_versions, resource_list
from tiphys.apiserver.openapi import binary, schemas
from tiphys.apiserver.openapi.paths import paths
from tiphys.apiserver.openapi.schemas import Dialect
from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.machinery import codec, errors
from tiphys.resources import table
from tiphys.resources.rules import Resource
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


class OpenApi:
    """Makes each document once, off the event loop, when somebody asks."""

    def __init__(self, rows: Sequence[Resource] = table.RESOURCES) -> None:
        self._rows = rows
        self._versions: dict[str, Sequence[Resource]] = {}
        for group, versions in group_versions(rows).items():
            for one, own in versions.items():
                self._versions[f"apis/{group}/{one}" if group else f"api/{one}"] = own
        self._hashes = {path: _hash(own) for path, own in self._versions.items()}
        self._index = Document(
            {"paths": {path: {"serverRelativeURL": self._url(path)} for path in sorted(self._versions)}}
        )
        self._documents: dict[str, asyncio.Task[Document]] = {}

    def routes(self) -> list[RawRoute]:
        return [
            RawRoute("/openapi/v2", self._serve_v2),
            RawRoute("/openapi/v3", self._serve_index),
            RawRoute("/openapi/v3/*", self._serve_v3),
        ]

    def _url(self, path: str) -> str:
        return f"/openapi/v3/{path}?hash={self._hashes[path]}"

    async def _serve_index(self, context: Context) -> Response:
        return self._index.tagged(context.request)

    async def _serve_v2(self, context: Context) -> Response:
        plain = await self._document("", self._rows, "v2")
        if _wants_binary(context):
            return (await self._made("v2 binary", partial(_in_binary, plain))).tagged(context.request)
        return plain.tagged(context.request)

    async def _serve_v3(self, context: Context) -> Response:
        if _wants_binary(context):
            raise errors.NotAcceptable("only the following media types are accepted: application/json")
        request = context.request
        path = request.path.removeprefix("/openapi/v3/").rstrip("/")
        rows = self._versions.get(path)
        if rows is None:
            return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404 page not found\n")
        asked = first(request.query, "hash")
        if asked and asked != self._hashes[path]:
            return Response(301, {"Location": self._url(path)})
        found = (await self._document(path, rows, "v3")).tagged(request)
        if asked and found.status == 200:
            expires = formatdate(context.clock.now().timestamp() + YEAR_SECONDS, usegmt=True)
            return Response(
                200, {**found.headers, "Cache-Control": "public, immutable", "Expires": expires}, found.body
            )
        return found

    async def _document(self, path: str, rows: Sequence[Resource], dialect: Dialect) -> Document:
        return await self._made(path, partial(document, rows, dialect))

    async def _made(self, name: str, make: Callable[[], Document]) -> Document:
        task = self._documents.get(name)
        if task is None or (task.done() and task.exception() is not None):
            task = self._documents[name] = asyncio.create_task(asyncio.to_thread(make), name=f"openapi-{name or 'v2'}")
        # Others may wait for the same document: one that goes away does not end the work.
        return await asyncio.shield(task)


def _wants_binary(context: Context) -> bool:
    """Whether only the binary form of OpenAPI would do."""
    clauses = [clause.strip() for clause in context.request.headers.get("accept", "").split(",") if clause.strip()]
    return bool(clauses) and all(PROTOBUF in clause for clause in clauses)


def _in_binary(plain: Document) -> Document:
    return Document(binary.encode(codec.decode_builtins(plain.body)), binary.MEDIA_TYPE)


def _hash(rows: Sequence[Resource]) -> str:
    """Changes whenever the document may have changed, and is known without making it."""
    facts = (FORM, tiphys.__version__, version("kubernetes-validate"), rows[0].group, rows[0].version)
    listed = codec.encode(resource_list(rows[0].group, rows[0].version, rows))
    return hashlib.sha512(repr(facts).encode() + listed).hexdigest().upper()


def document(rows: Sequence[Resource], dialect: Dialect) -> Document:
    """The whole document of some rows."""
    found = schemas.definitions()
    names = partial(schemas.name_of, found)
    listed = paths(rows, names, dialect)
    wanted = {names(row.group, row.version, kind) for row in rows for kind in (row.kind, f"{row.kind}List")}
    for row in rows:
        wanted |= {names(sub.group, sub.version, sub.kind) for sub in row.subresources if sub.kind}
    wanted |= {
        f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}" for kind in ("Status", "DeleteOptions", "Patch", "WatchEvent")
    }
    used = sorted(schemas.reachable(found, wanted))
    described = {name: schemas.definition(name, found[name], dialect) for name in used}
    content: dict[str, Any]
    if dialect == "v2":
        content = {"swagger": "2.0", "info": INFO, "paths": listed, "definitions": described}
        content |= {"securityDefinitions": SECURITY, "security": [{"BearerToken": []}]}
    else:
        components = {"schemas": described, "securitySchemes": SECURITY}
        content = {"openapi": "3.0.0", "info": INFO, "paths": listed, "components": components}
    return Document(content)
