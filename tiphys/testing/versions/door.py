"""What users of an older cluster ask for, and what they are answered."""

from dataclasses import replace
from typing import Any

from tiphys.apiserver import decoding
from tiphys.apiserver.openapi import schemas
from tiphys.apiserver.requestinfo import attributes_of
from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote
from tiphys.resources import table
from tiphys.testing.versions.absence import Absence, definitions, unknown
from tiphys.wire.exchange import Handler, Request, Response

#: Methods with an object in the body.
WRITES = ("POST", "PUT", "PATCH")
OPENAPI = "/openapi/v"


class Door:
    """A handler before the server's."""

    def __init__(self, handler: Handler, absence: Absence) -> None:
        self._handler = handler
        self._absence = absence

    async def __call__(self, request: Request) -> Response:
        asked = attributes_of(request)
        if asked.is_resource_request and self._absence.lacks_resource(asked.group, asked.version, asked.resource):
            return _refused(errors.UnknownPath())
        if request.method in WRITES and asked.is_resource_request and not asked.subresource:
            try:
                request = self._checked(request, asked.group, asked.version, asked.resource)
            except errors.StatusError as problem:
                return _refused(problem)
        response = await self._handler(request)
        if request.path == "/version":
            return self._version(response)
        if request.path.startswith(OPENAPI):
            return self._schemas(response)
        return response

    def _checked(self, request: Request, group: str, version: str, plural: str) -> Request:
        """The request, with warnings of unknown fields. Raises BadRequest if they are to be refused."""
        try:
            row = table.by_path(group, version, plural)
            tree = self._absence.fields(row.cls)
            validation = decoding.directive(request)
            document = _document(request, row.kind) if tree and request.body else None
        except (LookupError, codec.DecodeError, errors.UnsupportedMediaType):
            # Custom, or for the server to complain of.
            return request
        found = [f"unknown field {quote(path)}" for path in unknown(document, tree)]
        if not found or validation == decoding.IGNORE:
            return request
        if validation == decoding.STRICT:
            raise codec.refusal(decoding.strict_message(found), row.version, row.kind, row.kind, request.body)
        return replace(request, warnings=[*request.warnings, *found])

    def _version(self, response: Response) -> Response:
        minor = self._absence.minor
        said = {"minor": str(minor), "gitVersion": f"v1.{minor}.0"}
        said |= {"emulationMinor": str(minor), "minCompatibilityMinor": str(minor - 1)}
        content: dict[str, Any] = codec.decode_builtins(response.body)
        return replace(response, body=codec.encode(content | {key: said[key] for key in said if key in content}))

    def _schemas(self, response: Response) -> Response:
        """Schemas of built-in types as the minor has them; those of custom resources as they are."""
        if response.status != 200 or not response.body.startswith(b"{"):
            return response
        content: dict[str, Any] = codec.decode_builtins(response.body)
        if "definitions" in content:
            content["definitions"] = self._older(content["definitions"], "v2")
        elif "components" in content:
            content["components"]["schemas"] = self._older(content["components"]["schemas"], "v3")
        else:
            return response
        headers = {name: text for name, text in response.headers.items() if name.lower() != "etag"}
        return replace(response, headers=headers, body=codec.encode(content))

    def _older(self, listed: dict[str, Any], dialect: schemas.Dialect) -> dict[str, Any]:
        found = definitions(self._absence.minor)
        newest = schemas.definitions()
        return {
            name: schemas.definition(name, found[name], dialect) if name in found else schema
            for name, schema in listed.items()
            if name in found or name not in newest
        }


def _document(request: Request, kind: str) -> Any:
    if request.method == "PATCH":
        # Operations of a JSON patch are a list, in which nothing is unknown.
        return codec.decode_yaml(request.body)[0]
    return codec.decode_builtins(decoding.body_of(request, kind).data)


def _refused(problem: errors.StatusError) -> Response:
    return Response(problem.code, {"Content-Type": "application/json"}, codec.encode(problem.status()))
